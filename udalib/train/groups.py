"""Parameter groups: other learning rates for parts of a network, and for its biases."""

import dataclasses
import math
from collections.abc import Mapping

from torch import nn

from udalib.train.loop import Plan


def parameter_groups(
    net: nn.Module,
    plan: Plan | Mapping[str, Plan],
    rates: Mapping[str, float],
    bias_lr: float = 1.0,
    bias_decay: bool = True,
) -> tuple[nn.ModuleList, dict[str, Plan]]:
    """The weights that `plan` trains as groups with a plan of each, by the groups' number.

    net: a network, or a module that holds it as `net` beside others, such as discriminators, whose plans stay.
    plan: as that of `train.fit`. rates: factors of the learning rate, for parts of the network by their names.
    bias_lr: factor for biases, the shifts of batch normalisation included. bias_decay: whether they decay.

    `train.fit` takes the groups as submodules, with an optimiser for each: that is what one optimiser with these groups
    does, as SGD and Adam treat every weight by itself.

    Raises ValueError for a part that the network doesn't have.
    """
    network = getattr(net, "net", net)
    names = {weight: name for name, weight in network.named_parameters()}
    for part in rates:
        if not any(name.startswith(f"{part}.") for name in names.values()):
            parts = ", ".join(name for name, child in network.named_children() if list(child.parameters()))
            raise ValueError(f"{type(network).__name__} has no part {part!r} for rates; it has: {parts}.")
    groups: dict[Plan, list[nn.Parameter]] = {}
    for of_plan, own in (plan if isinstance(plan, Mapping) else {"": plan}).items():
        for weight in net.get_submodule(of_plan).parameters():
            chosen, name = own, names.get(weight)
            if name is not None:
                lr = own.lr * math.prod(rate for part, rate in rates.items() if name.startswith(f"{part}."))
                chosen = dataclasses.replace(own, lr=lr)
                if name.endswith(".bias"):
                    decay = own.weight_decay if bias_decay else 0.0
                    chosen = dataclasses.replace(own, lr=lr * bias_lr, weight_decay=decay)
            groups.setdefault(chosen, []).append(weight)
    lists = nn.ModuleList(nn.ParameterList(weights) for weights in groups.values())
    return lists, {str(number): chosen for number, chosen in enumerate(groups)}
