"""Networks from the checkpoints that the papers' authors published, read without running any code in them.

The files of AdaptSegNet (Tsai et al., CVPR 2018), ADVENT (Vu et al., CVPR 2019) and CRST (Zou et al., ICCV 2019) hold
weights of nearly the same shapes and names for networks that compute different things. Which one a file is for can't be
seen in it, and has to be said.
"""

import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from udalib.models.deeplabv2_resnet101 import (
    ASPP,
    RATES,
    DeepLabV2ResNet101,
    DeepLabV2ResNet101IAST,
    DeepLabV2ResNet101Multi,
)
from udalib.models.inputs import CaffeInput, TorchvisionInput
from udalib.models.parts import Normalise, Output

PREFIXES = ("module.", "Scale.")  # of a network in a data-parallel wrapper; of the multi-scale one of DeepLab-v2
COUNTER = "num_batches_tracked"  # of batch normalisation; older than it are the files of AdaptSegNet


@dataclass(frozen=True)
class Form:
    """How one code base publishes its networks, and how it tests them on Cityscapes.

    input: the convention of the network. branches: of each ASPP that take part, in a network of one level and, where
    there is one, of two. test_height: the image is first resized to this height, in pixels. test_scales: of the
    averaged predictions.
    """

    input: type[Normalise]
    branches: tuple[int, ...]
    test_height: int | None = None
    test_scales: tuple[float, ...] = (1.0,)


FORMS = {
    "adaptsegnet": Form(CaffeInput, branches=(len(RATES), 2), test_height=512),
    "advent": Form(CaffeInput, branches=(len(RATES), len(RATES)), test_height=512),
    "crst": Form(TorchvisionInput, branches=(len(RATES),)),
    # 1024x512, 1280x640, 1536x768, 1800x900 and 2048x1024 pixels
    "iast": Form(TorchvisionInput, branches=(len(RATES),), test_scales=(0.5, 0.625, 0.75, 900 / 1024, 1.0)),
}


def find_form(name: str) -> Form:
    """The form of checkpoints called `name`. Raises ValueError, listing the choices, for any other name."""
    if name not in FORMS:
        raise ValueError(f"There is no released form {name!r}; choose one of: {', '.join(FORMS)}.")
    return FORMS[name]


def load_released(path: str | Path, form: str, branches: int | None = None) -> nn.Module:
    """The network of a published checkpoint, with its own input convention, in evaluation mode on the CPU.

    form: whose checkpoint it is, "adaptsegnet", "advent", "crst" or "iast". One level or two and the number of classes
        follow from the file.
    branches: of each ASPP that take part, in place of the form's: 2 for the two-level files of AdaptSegNet and 4 for
        all others. Older states of AdaptSegNet's code have 2 for one level as well.

    Weights are read with `weights_only`. Raises ValueError, naming the file and what is wrong, where it is missing,
    damaged, holds more than tensors, or doesn't fit the form.
    """
    chosen = find_form(form)
    if branches is not None and not 1 <= branches <= len(RATES):
        raise ValueError(f"branches is {branches}; give 1 to {len(RATES)}, or leave it out.")
    weights = _read(path)
    if form == "iast":
        # The warm-up's files also hold its discriminators.
        weights = {name: value for name, value in weights.items() if not name.startswith("discriminators.")}
        head, network = "decoder.aspp.conv2d_list.0.weight", DeepLabV2ResNet101IAST
        levels = 1
    else:
        if form == "advent" and not any(name.startswith("layer5.") for name in weights):
            weights = {name.replace("layer6.", "layer5."): value for name, value in weights.items()}
        levels = 2 if any(name.startswith("layer6.") for name in weights) else 1
        head, network = "layer5.conv2d_list.0.weight", (DeepLabV2ResNet101, DeepLabV2ResNet101Multi)[levels - 1]
    if head not in weights or weights[head].dim() != 4 or levels > len(chosen.branches):
        raise ValueError(f"{path} is no checkpoint of {form}: {_guess(weights)}.")
    with torch.device("meta"):  # without drawing 44 million weights that are replaced at once
        net = network(len(weights[head]))
    wanted = net.state_dict()
    weights = {**{name: torch.tensor(0) for name in wanted if name.endswith(COUNTER)}, **weights}
    _check(path, form, wanted, weights)
    net.load_state_dict({name: _as(value, wanted[name].dtype) for name, value in weights.items()}, assign=True)
    net.normalise = chosen.input()
    for aspp in (module for module in net.modules() if isinstance(module, ASPP)):
        aspp.branches = branches or chosen.branches[levels - 1]
    return net.to(memory_format=torch.channels_last).eval()


def load_initial(net: nn.Module, path: str | Path) -> list[str]:
    """Start a network of AdaptSegNet's form from the checkpoint its authors start from; return what it left out.

    Tensors of the same name and shape are copied into `net`, a `CaffeResNet101` with any head. The file's head has the
    classes and the place of another network; where the shapes differ, `net` keeps its own weights, and their names are
    returned.

    Raises ValueError as `load_released`, and where the file lacks a weight of the trunk.
    """
    weights, wanted = _read(path), net.state_dict()
    kept = [name for name in wanted if name not in weights or weights[name].shape != wanted[name].shape]
    lacking = [name for name in kept if not name.startswith(("layer5.", "layer6.")) and not name.endswith(COUNTER)]
    if lacking:
        raise ValueError(
            f"{path} has no {lacking[0]} of {_shape(wanted[lacking[0]])} for {type(net).__name__}; give the initial "
            "weights that AdaptSegNet distributes, and a network of its form."
        )
    net.load_state_dict({name: weights[name] for name in wanted if name not in kept}, strict=False)
    return [name for name in kept if not name.endswith(COUNTER)]


class AsReleased(nn.Module):
    """A network tested the way the released codes do it: logits enlarged to the image with their corners aligned.

    height: the image is first resized to this height in pixels, bicubic and keeping its proportions; None: not at all.

    Input: images [B, 3, H, W] in 0..255. Output: logits [B, C, H, W].

    Raises ValueError for a height below 1.
    """

    def __init__(self, net: nn.Module, height: int | None = None):
        super().__init__()
        if height is not None and height < 1:
            raise ValueError(f"height is {height}; give a number of pixels, such as 512, or leave it out.")
        self.net, self.height, self.num_classes = net, height, net.num_classes

    def forward(self, images: Tensor) -> Output:
        size = images.shape[-2:]
        if self.height and self.height != size[0]:
            seen = (self.height, round(size[1] * self.height / size[0]))
            images = F.interpolate(images.float(), seen, mode="bicubic", antialias=True).round().clamp(0, 255)
        return Output(F.interpolate(self.net(images).logits, size, mode="bilinear", align_corners=True))


def _read(path: str | Path) -> dict[str, Tensor]:
    """The tensors of a checkpoint by their names without prefixes."""
    try:
        weights = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise ValueError(f"There is no checkpoint {path}; download it from its authors' page.") from error
    except pickle.UnpicklingError as error:
        raise ValueError(
            f"{path} is damaged, or holds more than tensors and could run code when read; "
            "download it again, or save its state_dict alone."
        ) from error
    except Exception as error:  # torch raises a different type for every kind of damage
        raise ValueError(f"{path} is not a readable checkpoint ({error}); download it again.") from error
    if not isinstance(weights, Mapping) or not all(isinstance(value, Tensor) for value in weights.values()):
        raise ValueError(f"{path} is not a plain state_dict, names with tensors; save its state_dict alone.")
    return {_without_prefixes(name): value for name, value in weights.items()}


def _without_prefixes(name: str) -> str:
    for prefix in PREFIXES:
        name = name.removeprefix(prefix)
    return name


def _guess(weights: Mapping[str, Tensor]) -> str:
    if any(name.startswith("backbone.") for name in weights):
        return "its names are those of iast"
    if any(name.startswith("layer6.") for name in weights):
        return "its names are those of advent, or of adaptsegnet"
    if any(name.startswith("layer5.") for name in weights):
        return "its names are those of adaptsegnet, or of crst"
    return "it has no head; give that of a whole network"


def _check(path: str | Path, form: str, wanted: Mapping[str, Tensor], weights: Mapping[str, Tensor]) -> None:
    """Raise ValueError unless `weights` has just the names and shapes of `wanted`."""
    for name, tensor in wanted.items():
        if name not in weights:
            raise ValueError(f"{path} has no {name}, which checkpoints of {form} have; it isn't whole, or another's.")
        if weights[name].shape != tensor.shape:
            raise ValueError(
                f"{path}: {name} is {_shape(weights[name])}, and {form} has {_shape(tensor)}; "
                "it is of another network than ResNet-101, or of another form."
            )
    for name in weights:
        if name not in wanted:
            raise ValueError(f"{path} has a weight {name}, which checkpoints of {form} don't have; choose its form.")


def _as(value: Tensor, dtype: torch.dtype) -> Tensor:
    """A tensor of its own (in a file several may share memory) in the number type of the network."""
    return value.to(dtype, copy=True)


def _shape(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "a single number"
