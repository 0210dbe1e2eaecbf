"""What the keys of a torchvision checkpoint mean in our networks.

A key such as `features.denseblock1.denselayer1.norm1.weight` is a module and one of its arrays. Our layers bear the modules'
names with `_` for `.`; the few that do not are listed here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

ARRAYS = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
IGNORED_ARRAY = "num_batches_tracked"  # counts training steps for a momentum that depends on them, which nobody uses here


@dataclass(frozen=True)
class TorchNames:
    """Names of one architecture.

    Attributes:
        replaced: patterns of modules with what they become, before `_` takes the place of `.`; all are applied in order.
        flattened: our layers that read a flattened map, each with the layer that flattens it: PyTorch flattens channel by
            channel, we position by position.
        optional: pattern of modules that may stand in a checkpoint and be left out where the network has no such layers.
    """

    replaced: Mapping[str, str]
    flattened: Mapping[str, str] = field(default_factory=dict)
    optional: str = r"(?!)"


NAMES: Mapping[str, TorchNames] = {
    "googlenet": TorchNames(
        replaced={r"^fc$": "logits", r"^aux([12])\b": r"auxiliary_\1"},
        flattened={"auxiliary_1_fc1": "auxiliary_1_flatten", "auxiliary_2_fc1": "auxiliary_2_flatten"},
        optional=r"aux[12]\..*",
    ),
    "densenet161": TorchNames(
        # Files from before 2018 have a dot before the number, which module names may not end in since PyTorch 0.4.
        replaced={r"^classifier$": "logits", r"(?<=\.)(norm|conv)\.([12])$": r"\1\2"},
    ),
    "alexnet": TorchNames(
        replaced={r"^classifier\.1$": "hidden_1", r"^classifier\.4$": "hidden_2", r"^classifier\.6$": "logits"},
        flattened={"hidden_1": "flatten"},
    ),
}


def our_name(module: str, names: TorchNames) -> str:
    """Give the name that our layer for a module has, if there is one."""
    for pattern, replacement in names.replaced.items():
        module = re.sub(pattern, replacement, module)
    return module.replace(".", "_")


def is_ignored(key: str, names: TorchNames, layers: set[str]) -> bool:
    """Say whether a key is left out by intent: a counter, or a part of the network that ours was built without."""
    module, _, array = key.rpartition(".")
    return array == IGNORED_ARRAY or (re.fullmatch(names.optional, module) is not None and our_name(module, names) not in layers)
