"""The toy streets of the notebooks."""

import torch

from udalib import toy
from udalib.labels import CITYSCAPES


def test_streets_depend_on_their_seed_and_keep_their_grammar():
    images, labels = toy.streets(6, seed=1)
    again, other = toy.streets(6, seed=1), toy.streets(6, seed=2)
    assert torch.equal(images, again[0]) and torch.equal(labels, again[1]) and not torch.equal(labels, other[1])
    assert images.shape == (6, 3, 32, 32) and labels.shape == (6, 32, 32) and labels.dtype == torch.uint8
    assert (labels[:, :4] == 0).all() and (labels[:, 23:] == 2).all() and set(labels.unique().tolist()) == {0, 1, 2, 3}
    assert (toy.streets(6, seed=1, roofs=(0, 1))[1] != 0).all(), "no sky above houses that reach the top"


def test_the_target_has_the_same_layouts_in_another_light():
    source, target = toy.streets(3, seed=0), toy.streets(3, seed=0, target=True)
    assert torch.equal(source[1], target[1])
    light = torch.tensor(toy.TINT).view(3, 1, 1)
    torch.testing.assert_close(target[0], toy.CONTRAST * source[0] + light)


def test_a_network_learns_the_source_and_leaves_the_random_state_alone():
    images, labels = toy.streets(16, seed=0)
    before = torch.get_rng_state()
    net = toy.source_only(images, labels, steps=60)
    assert torch.equal(before, torch.get_rng_state())
    assert toy.iou(net, images, labels)[2] > 80  # the road


def test_iou_and_pictures_by_hand():
    labels = torch.tensor([[[0, 0, 2, 2]]], dtype=torch.uint8)

    class Fixed(torch.nn.Module):
        def forward(self, images):
            return toy.models.Output(torch.eye(4)[[0, 1, 2, 2]].T[None, :, None])

    assert toy.iou(Fixed(), torch.zeros(1, 3, 1, 4), labels).tolist() == [50, 0, 100, 0]
    image, painted = toy.pictures(torch.full((3, 1, 4), 2.0), labels[0])
    assert image.max() == 255 and painted.unique().tolist() == sorted(map(CITYSCAPES.index, ("sky", "road")))
