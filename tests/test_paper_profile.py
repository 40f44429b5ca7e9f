"""The papers' profiles at work: batches in parts, rates of parts, sizes, a run on small trees, and two processes."""

import dataclasses
import os
import shutil

import numpy as np
import pytest
import torch
import trees
from lightning.fabric import Fabric
from torch import nn
from torchvision.models.resnet import Bottleneck, ResNet

from udalib import cli, data, evaluation, labels, models, predict, processes, recipes, runs, select, train
from udalib.labels import IGNORE
from udalib.models import deeplabv2_resnet101
from udalib.recipes.paper_experiment import PaperAugmentation, Seen, at_scale
from udalib.recipes.self_training import SelfTraining

CLASSES = 5
FIVE = labels.ClassSet(
    "five", labels.CITYSCAPES.names[:CLASSES], labels.CITYSCAPES.palette[:CLASSES], tuple(range(CLASSES))
)


class Plain(nn.Module):
    """A network without batch normalisation; half of its output is coarser than its input."""

    def __init__(self, num_classes=CLASSES):
        super().__init__()
        torch.manual_seed(0)
        self.num_classes = num_classes
        self.trunk = nn.Conv2d(3, 6, 3, stride=2, padding=1)
        self.classifier = nn.Conv2d(6, num_classes, 1)

    def forward(self, images):
        features = self.trunk(images.float() / 255).relu()
        return models.Output(self.classifier(features), features=features)


def batch_of(count, seed=0):
    """Images and labels of which each image has another share; the first has a single labelled pixel."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 256, (count, 3, 16, 24), dtype=torch.uint8, generator=generator)
    labels = torch.randint(0, CLASSES, (count, 16, 24), dtype=torch.uint8, generator=generator)
    for number in range(count):
        labels[number].flatten()[1 + number * 90 :] = IGNORE
    return images, labels


def gradients(net, images, labels, network=None):
    net.zero_grad()
    train.cross_entropy((network or net)(images).logits, labels).backward()
    return [weight.grad.clone() for weight in net.parameters()]


def same(first, second):
    return all(torch.allclose(a, b, rtol=1e-4, atol=1e-6) for a, b in zip(first, second, strict=True))


# Batches in parts ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("parts", [1, 2, 3, 4, 7])
def test_the_gradient_of_parts_is_that_of_the_whole_batch(parts):
    net, (images, labels) = Plain(), batch_of(4)
    whole = gradients(net, images, labels)
    assert same(gradients(net, images, labels, train.InParts(net, parts)), whole)
    # The mean of the parts' own means, which plain accumulation takes, is another one.
    halves = [gradients(net, images[part], labels[part]) for part in (slice(0, 2), slice(2, 4))]
    assert not same([(a + b) / 2 for a, b in zip(*halves, strict=True)], whole)


def test_both_decoders_keep_their_place():
    torch.manual_seed(0)
    net = models.build("mini_dual", CLASSES).train()
    with train.frozen_statistics(net):
        images = batch_of(3)[0]
        whole, parts = net(images), train.InParts(net, 2)(images)
    assert parts.aux.shape == whole.aux.shape and torch.allclose(parts.aux, whole.aux, atol=1e-5)


def test_batch_normalisation_sees_each_part_once_and_frozen_statistics_stay():
    torch.manual_seed(0)
    net, (images, labels) = models.build("mini", CLASSES).train(), batch_of(4)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    with train.frozen_statistics(net):
        whole = gradients(net, images, labels)
        output = train.InParts(net, 2)(images)
    net.zero_grad()
    train.cross_entropy(output.logits, labels).backward()  # after the context: parts are computed again as in it
    assert same([weight.grad for weight in net.parameters()], whole)
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    gradients(net, images, labels, train.InParts(net, 2))
    moved = net.stem[0][1].running_mean.clone()
    net.load_state_dict(before)
    for part in images.chunk(2):
        net(part)
    assert torch.equal(net.stem[0][1].running_mean, moved)
    assert net.stem[0][1].momentum == 0.1 and net.stem[0][1].training


# Rates ---------------------------------------------------------------------------------------------------


def test_rates_are_those_of_the_parts():
    net = Plain()
    plan = train.Plan(1, 0.1, "constant", "sgd", weight_decay=0.5, momentum=0.0)
    lists, plans = train.parameter_groups(net, plan, {"classifier": 10.0}, bias_lr=2.0, bias_decay=False)
    found = {id(weight): plans[name] for name, weights in lists.named_children() for weight in weights}
    chosen = {name: (found[id(w)].lr, found[id(w)].weight_decay) for name, w in net.named_parameters()}
    assert chosen == {
        "trunk.weight": (0.1, 0.5),
        "trunk.bias": (0.2, 0.0),
        "classifier.weight": (1.0, 0.5),
        "classifier.bias": (2.0, 0.0),
    }
    before, (images, labels) = {name: w.detach().clone() for name, w in net.named_parameters()}, batch_of(2)
    gradient = dict(zip(before, gradients(net, images, labels), strict=True))
    trained = train.InParts(net)
    trained.groups = lists
    train.fit(
        trained,
        lambda start: iter([(images, labels)]),
        lambda net, batch, step: train.cross_entropy(net(batch[0]).logits, batch[1]),
        {f"groups.{name}": of_group for name, of_group in plans.items()},
        train.make_fabric(torch.device("cpu")),
    )
    for name, weight in net.named_parameters():
        lr, decay = chosen[name]
        assert torch.allclose(weight, before[name] - lr * (gradient[name] + decay * before[name]), atol=1e-6)


def test_rates_leave_discriminators_alone_and_name_the_parts_there_are():
    both = nn.Module()
    both.net, both.discriminators = Plain(), nn.Linear(2, 2)
    plans = {"net": train.Plan(1, 0.1), "discriminators": train.Plan(1, 0.3)}
    lists, found = train.parameter_groups(both, plans, {"trunk": 0.5}, bias_lr=2.0)
    # Shifts of the trunk and weights of the classifier have the same rate, and so one group.
    assert sorted(plan.lr for plan in found.values()) == pytest.approx([0.05, 0.1, 0.2, 0.3])
    assert sum(len(weights) for weights in lists) == 6
    with pytest.raises(ValueError, match="Plain has no part 'layer5' for rates; it has: trunk, classifier"):
        train.parameter_groups(Plain(), train.Plan(1, 0.1), {"layer5": 10.0})


def test_schedules_and_the_optimiser_of_the_released_codes():
    assert train.SCHEDULES["poly_150_of_250"](0.5) == pytest.approx((1 - 75 / 250) ** 0.9)
    assert train.SCHEDULES["poly_120_of_250"](1.0) == pytest.approx((130 / 250) ** 0.9)
    weight, other = (nn.Parameter(torch.ones(2)) for _ in range(2))
    optimiser = train.loop.OPTIMISERS["adam"]([weight], train.Plan(1, 0.1, optimiser="adam", weight_decay=0.5))
    reference = torch.optim.Adam([other], 0.1, weight_decay=0.5)
    for each, own in ((weight, optimiser), (other, reference)):
        each.grad = torch.tensor([1.0, -1.0])
        own.step()
    assert torch.equal(weight, other)


# Augmentation --------------------------------------------------------------------------------------------


def test_windows_are_drawn_by_their_side():
    augmentation = PaperAugmentation((8, 8), (0.5, 2.0), False, 0.0, evenly="window")
    ramp = torch.arange(64.0).view(1, 1, 1, 64).expand(200, 3, 64, 64).to(torch.uint8)
    images, labels = augmentation(ramp, ramp[:, 0], data.seeded(0, 0))
    assert images.shape == (200, 3, 8, 8) and labels.shape == (200, 8, 8)
    side = images[:, 0, 0, -1] - images[:, 0, 0, 0]  # 7 of the window's 8 pixels: 7/8 of sides of 4 to 16
    assert side.min() >= 3.4 and side.max() <= 14.1 and abs(side.mean() - 8.75) < 0.8
    evenly_zoomed = dataclasses.replace(augmentation, evenly="zoom")(ramp, None, data.seeded(0, 0))[0]
    assert (evenly_zoomed[:, 0, 0, -1] - evenly_zoomed[:, 0, 0, 0]).mean() < 7.5


def test_whole_images_keep_their_size_and_few_change_colour():
    kind = at_scale(SelfTraining)
    whole = kind(crop=1.0, scale=(1.0, 1.0), mirror=False, jitter=0.5, jitter_share=0.3).augmentation((12, 20))
    images = torch.randint(0, 256, (100, 3, 9, 14), dtype=torch.uint8)
    seen, labels = whole(images, images[:, 0], data.seeded(0, 0))
    assert whole.crop == (12, 20) and torch.equal(labels, images[:, 0])
    kept = (seen - images).flatten(1).abs().amax(dim=1) < 0.01
    assert 55 <= kept.sum() <= 85
    assert kind(crop_size=[10, 14]).augmentation((64, 128)).crop == (10, 14)
    assert kind(crop=0.5).augmentation((64, 128)).crop == (32, 64)


# Settings ------------------------------------------------------------------------------------------------


def test_iast_starts_from_its_own_warm_up():
    first = recipes.start_of("iast", "gta5-cityscapes", "paper")
    assert first.recipe == "adaptseg" and first.settings["network"] == "deeplabv2_resnet101_iast"
    warm_up = recipes.settings("adaptseg", "paper", **first.settings)
    assert (warm_up.gan, warm_up.weight, warm_up.level_weight) == ("least_squares", 0.05, 0.0)
    assert warm_up.pretrained == ""
    second = recipes.start_of("adaptseg", "gta5-cityscapes", "paper", **first.settings)
    source = recipes.settings("source", "paper", **second.settings)
    assert second.recipe == "source" and source.pretrained == "imagenet" and source.lr == 1e-4
    assert recipes.start_of("source", "gta5-cityscapes", "paper", **second.settings) is None
    assert recipes.start_of("cbst", "gta5-cityscapes", "paper").settings == {}


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"crop_size": (5,)}, r"crop_size is \(5,\); give height and width in pixels"),
        ({"target_size": (0, 5)}, r"target_size is \(0, 5\)"),
        ({"evenly": "side"}, "evenly is 'side'; choose one of: zoom, window"),
        ({"accumulate": 0}, "accumulate is 0; give the parts of a batch, 1 or more"),
        ({"label_scales": ()}, "label_scales is .*give factors above 0"),
        ({"rates": 10.0}, "Setting 'rates' of recipe 'st' can't be 10.0; give a value like {}"),
        ({"mining": "gold"}, "There is no mining 'gold'"),
    ],
)
def test_settings_that_can_not_be_used_are_refused(values, sentence):
    with pytest.raises(ValueError, match=sentence):
        recipes.settings("st", "paper", **values)


def test_the_profiles_are_for_real_datasets_and_their_settings_for_them():
    with pytest.raises(ValueError, match="Profile 'paper' is for real datasets; choose a benchmark such as"):
        recipes.run("st", "game-city", "paper")
    with pytest.raises(ValueError, match="has no setting 'accumulate'"):
        recipes.settings("st", "quick", accumulate=2)


# Runs ----------------------------------------------------------------------------------------------------


def small():
    """GTA5 to Cityscapes, as if they were published at 48x88 and 64x128 pixels."""
    pair = data.REAL_PAIRS["gta5-cityscapes"]

    def shrunk(part, size):
        return dataclasses.replace(part, dataset=dataclasses.replace(part.dataset, size=size))

    data.REAL_PAIRS["gta5-cityscapes"] = dataclasses.replace(
        pair,
        source=shrunk(pair.source, (48, 88)),
        target=shrunk(pair.target, (64, 128)),
        val=shrunk(pair.val, (64, 128)),
    )
    return pair


@pytest.fixture
def root(tmp_path):
    trees.gta5(tmp_path)
    trees.cityscapes(tmp_path)
    pair = small()
    yield tmp_path
    data.REAL_PAIRS["gta5-cityscapes"] = pair


SMALL = {"batch_size": 2, "crop_size": (24, 32), "target_size": (32, 64)}
ROUND = {**SMALL, "network": "mini", "rounds": 1, "epochs": 0.5, "test_scales": (1.0,), "accumulate": 2}
START = {**SMALL, "steps": 2, "rates": {"classifier": 10.0}}
RUN = {**ROUND, "start_settings": START, "accumulate": 1}
# Of discriminators, which halve their maps down to 1/32 of the image.
GAME = {
    "batch_size": 2,
    "steps": 2,
    "source_size": (40, 72),
    "target_size": (32, 64),
    "crop_size": (32, 64),
    "width": 8,
}


def run(name, root, **settings):
    return recipes.run(name, "gta5-cityscapes", "paper", root=root, device="cpu", report=lambda text: None, **settings)


def test_a_round_of_cbst_from_the_command_line(root, capsys):
    words = ["run", "cbst", "--benchmark", "gta5-cityscapes", "--data-root", str(root), "--device", "cpu"]
    words += ["--profile", "paper", "--set", f"start_settings={START}", *(f"{k}={v}" for k, v in ROUND.items())]
    assert cli.main(words) == 0
    out = capsys.readouterr().out
    assert "source     GTA5 all, 7 images, 1 excluded; 48x88;" in out
    assert "target     Cityscapes train, 6 images, labels hidden; 32x64 (published: 64x128)" in out
    assert "val        Cityscapes val, 3 images; 64x128;" in out and "no mirror images, seen at 32x64" in out
    path = out.splitlines()[-1].removeprefix("record: ")
    record = runs.read_record(path)
    assert record["settings"]["portion"] == 0.2 and record["settings"]["accumulate"] == 2
    (entry,) = record["rounds"]
    counted = sum(map(sum, entry["confusion"]))
    assert 0 < counted <= 3 * 64 * 128 and len(entry["thresholds"]) == 19
    assert record["start"].startswith("source-gta5-cityscapes-paper-seed0")
    assert cli.main(words) == 0  # fetched
    assert capsys.readouterr().out.splitlines()[-1] == f"record: {path}"
    shutil.rmtree(root / "GTA5")
    assert cli.main(["evaluate", path.replace("record.json", "round1.pt"), "--data-root", str(root)]) == 0
    out = capsys.readouterr().out
    assert f"mIoU {100 * entry['miou']:.1f} % over" in out and "profile paper" in out
    assert "for the network bicubic to 32x64; logits bilinear, align_corners=False" in out


def test_initial_weights_come_from_a_file_that_must_be_there(root, tmp_path, capsys):
    words = ["run", "minent", "--benchmark", "gta5-cityscapes", "--data-root", str(root), "--profile", "paper"]
    assert cli.main(words) == 2
    assert "DeepLab_resnet_pretrained_init-f81d91e8.pth can't be read" in capsys.readouterr().err
    torch.manual_seed(5)
    torch.save(models.build("mini", 19).state_dict(), tmp_path / "weights.pth")
    options = {**SMALL, "source_size": (), "steps": 1, "network": "mini", "rates": {}, "lr": 1e-12, "weight_decay": 0.0}
    result = run("minent", root, pretrained=str(tmp_path / "weights.pth"), **options)
    given, ended = torch.load(tmp_path / "weights.pth"), train.load(result.weights())
    assert torch.allclose(ended["classifier.weight"], given["classifier.weight"], atol=1e-6)
    assert result.record["start"] is None and len(result.record["pretrained"]) == 12


def test_the_steps_of_shen_end_with_a_fresh_network_that_starts_from_imagenet(root, monkeypatch):
    asked = []

    def pretrained(name, num_classes):
        asked.append(name)
        return models.build(name, num_classes)

    monkeypatch.setattr(models, "pretrained", pretrained)
    alone = {key: value for key, value in GAME.items() if key != "width"}
    settings = {**alone, "network": "mini_fusion", "test_scales": (1.0,)}
    last = run(
        "proxies", root, start_settings={**GAME, "start_settings": {**alone, "pretrained": "imagenet"}}, **settings
    )
    (entry,) = last.rounds
    assert (
        asked == ["mini_fusion"] * 3
    )  # source training; the network that the aligned one is loaded into; the fresh one
    assert 0 < entry["labels"]["coverage"] < 1 and len(entry["thresholds"]) == 19 and 0 <= last.miou <= 1
    aligned = runs.read_record(last.record_path.parent.with_name(last.record["start"]) / "record.json")
    assert aligned["recipe"] == "multiadv" and aligned["settings"]["level_weight"] == 0.0002
    assert len(aligned["rounds"][0]["game"]["aux_accuracy"]) == 2
    assert aligned["start"].startswith("source-gta5-cityscapes-paper-seed0")


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("oracle", {"steps": 2}),
        ("hist-match", {"steps": 2}),
        ("labelled", {"steps": 2, "labelled_share": 0.5, "pretrained": "", "rates": {}}),
        ("control", {"rounds": 1, "epochs": 0.5, "test_scales": (1.0,), "start_settings": START}),
        ("adabn", {"start_settings": START}),
    ],
)
def test_what_methods_are_held_against_runs_too(name, settings, root):
    result = run(name, root, network="mini", **SMALL, **settings)
    assert 0 <= result.miou <= 1 and "seen at 32x64" in result.record["protocol"]["test"]


def test_two_levels_of_the_papers_network(root, monkeypatch):
    # One block a stage: the same names and channels, a fifth of the weights.
    monkeypatch.setattr(deeplabv2_resnet101, "resnet101", lambda: ResNet(Bottleneck, [1, 1, 1, 1]))
    sizes = {"source_size": (32, 64), "target_size": (32, 64), "crop_size": (), "batch_size": 1}
    result = run("adaptseg", root, pretrained="", **{**GAME, **sizes, "steps": 1})
    assert result.record["settings"]["network"] == "deeplabv2_resnet101_multi" and result.record["start"] is None
    before, after = train.load(result.weights(0)), train.load(result.weights())
    moved = {
        name for name in after if "running" not in name and "num" not in name and (before[name] != after[name]).any()
    }
    assert {"layer5.conv2d_list.0.weight", "layer6.conv2d_list.3.weight", "layer4.0.conv3.weight"} <= moved
    assert not any("bn" in name for name in moved)
    (entry,) = result.rounds
    assert len(entry["game"]["aux_losses"][0]) == 2 and (result.record_path.parent / "discriminator_aux.pt").exists()


def test_the_profiles_are_listed(capsys):
    assert cli.main(["list"]) == 0
    assert "paper-released the same as in the authors' code" in capsys.readouterr().out


def test_images_are_seen_smaller_and_few_at_once(monkeypatch):
    seen = []

    class Watch(nn.Module):
        def forward(self, images):
            seen.append(tuple(images.shape))
            return models.Output(images[:, :2].float())

    monkeypatch.setattr("udalib.recipes.paper_experiment.PIXELS", 1000)
    assert Seen(Watch(), (0.5, 0.25))(batch_of(3)[0]).logits.shape == (3, 2, 8, 6)
    assert Seen(Watch())(batch_of(5)[0]).logits.shape == (5, 2, 16, 24)
    assert seen == [(3, 3, 8, 6), (2, 3, 16, 24), (2, 3, 16, 24), (1, 3, 16, 24)]


# Two processes ---------------------------------------------------------------------------------------------


def everything(folder, root):
    """What one process or several compute: thresholds, labels, scores, gradients, and a run."""
    torch.set_num_threads(1)
    net, count = Plain(), 7
    images, truth = (part.numpy() for part in batch_of(count, seed=1))
    val = data.ArrayDataset(images, truth, [str(number) for number in range(count)])
    found = {"names": []}

    def stream(batch_size=2):
        return predict.shared(lambda batches: predict.whole(net, batches), val, batch_size)

    for name, selector in (("cbst", select.ClassBalanced(0.3)), ("st", select.SelfTraining(0.3))):
        found[name] = torch.as_tensor(selector.fit(stream()).thresholds)
        found[f"{name} labels"] = torch.cat([selector.label(probs) for probs, _ in stream()])
    moving = select.InstanceAdaptive(0.2, 0.9, 8.0, "official")
    found["iast labels"] = torch.cat([moving.label(probs, names) for probs, names in stream()])
    found["iast"] = moving.thresholds
    found["names"] = [name for _, names in stream(3) for name in names]
    bench = data.Benchmark("x", "smoke", 0, val, val, val, FIVE, "itself", (16, 24))
    found["matrix"] = evaluation.confusion(net, bench).matrix
    for size in (4, 3):  # the second can't be split evenly
        with processes.in_step(net):
            found[f"gradients {size}"] = gradients(net, *batch_of(size), train.InParts(net, 2))
    os.environ["UDALIB_HOME"] = str(folder / "home")
    # Without batch normalisation, whose statistics are those of a process's own share of a batch.
    aligned = run("adaptseg", root, **GAME, network="plain", pretrained="", level_weight=0.0, rates={})
    found["game"] = [train.load(file) for file in (aligned.weights(), aligned.record_path.parent / "discriminator.pt")]
    return {**found, "aligned": aligned.record, "record": run("st", root, **RUN).record}


def one_of_two(fabric, folder, root):
    small()
    models.NETWORKS["plain"] = Plain
    torch.save(everything(folder, root), folder / f"{processes.rank()}.pt")
    assert processes.count() == 2 and fabric.world_size == 2


def test_two_processes_give_what_one_gives(root, tmp_path, monkeypatch):
    threads = torch.get_num_threads()
    monkeypatch.setenv("UDALIB_HOME", str(tmp_path / "alone/home"))
    monkeypatch.setitem(models.NETWORKS, "plain", Plain)
    # Both start from the same network.
    run("source", root, **START, network="mini")
    shutil.copytree(tmp_path / "alone/home", tmp_path / "home")
    one = everything(tmp_path / "alone", root)
    torch.set_num_threads(threads)
    # A fork needs no second import of everything; where there are GPUs, gradients can't be computed in one.
    how = "ddp_spawn" if torch.cuda.is_available() else "ddp_fork"
    fabric = Fabric(accelerator="cpu", devices=2, strategy=how)
    fabric.launch(one_of_two, tmp_path, root)
    two = [torch.load(tmp_path / f"{rank}.pt") for rank in range(2)]
    for each in two:
        for name in one.keys() - {"record", "aligned", "game", "names", "gradients 4", "gradients 3"}:
            assert torch.equal(one[name], each[name]), name
        assert each["names"] == one["names"] == [str(number) for number in range(7)]
        assert same(each["gradients 4"], one["gradients 4"]) and same(each["gradients 3"], one["gradients 3"])
        for found, expected in zip(each["game"], one["game"], strict=True):
            for name, value in expected.items():
                torch.testing.assert_close(found[name], value, rtol=1e-4, atol=1e-6)
    assert two[0]["record"] == two[1]["record"] and two[0]["record"]["device"].endswith(", 2 processes")
    ((alone,), (together,)) = (found["aligned"]["rounds"] for found in (one, two[0]))
    assert together["confusion"] == alone["confusion"] and together["game"]["accuracy"] == alone["game"]["accuracy"]
    assert np.array(together["game"]["losses"]) == pytest.approx(np.array(alone["game"]["losses"]), rel=1e-4)
    ((alone,), (together,)) = (found["record"]["rounds"] for found in (one, two[0]))
    assert together["thresholds"] == alone["thresholds"] and together["labels"] == alone["labels"]
    assert np.array(together["curve"]) == pytest.approx(np.array(alone["curve"]), rel=1e-4)
    difference = np.abs(np.array(together["confusion"]) - np.array(alone["confusion"])).sum()
    assert difference <= 0.01 * np.sum(alone["confusion"])


@pytest.mark.parametrize("device", ["cuda:1", "mps"])
def test_processes_do_not_share_one_device(device, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ValueError, match="2 processes can't share the device"):
        processes.join(device)
    monkeypatch.setenv("WORLD_SIZE", "1")
    assert processes.join(device) == device
