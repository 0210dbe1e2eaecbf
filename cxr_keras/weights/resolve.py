"""From what a user wrote for `weights` to what `models_zoo.build` takes."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import models_zoo
from cxr_keras.weights.check import check_weights

SUFFIXES = (".h5", ".weights.h5", ".keras")


def resolve_weights(value: str | Path | None, *, architecture: str, parameters: Mapping[str, Any] | None = None) -> str | Path | None:
    """Check the wish for weights; call it before slow work.

    Never falls back: what cannot be had is an error, so that no result from random weights passes for a pretrained one.

    Args:
        value: None for random weights, "imagenet", or the path of a file for the base.
        architecture: a name of `models_zoo.list_models()`.
        parameters: the parameters that the model will be built with; they decide which shapes fit.

    Returns:
        None, "imagenet" or the absolute path of a file that fits.

    Raises:
        ValueError: unknown architecture, no ImageNet weights for it, or a file that is missing, of another kind, damaged
            or of other shapes.
    """
    spec = models_zoo.get_spec(architecture)
    if value is None:
        return None
    if value == "imagenet":
        if not spec.has_imagenet_weights:
            having = [name for name in models_zoo.list_models() if models_zoo.get_spec(name).has_imagenet_weights]
            hint = f" {spec.imagenet_hint}" if spec.imagenet_hint else " Give a file, or take one of " + ", ".join(having) + "."
            raise ValueError(f"weights 'imagenet': {architecture} has none to fetch.{hint} Or weights=null for random weights.")
        return "imagenet"
    if not str(value):
        raise ValueError("weights '': expected null, 'imagenet' or the path of a file.")
    path = Path(value).expanduser().absolute()
    if not path.is_file():
        # Of networks whose ImageNet weights have to be converted, a file of that name is what the converter would write.
        hint = f" {spec.imagenet_hint}" if spec.imagenet_hint and "imagenet" in path.name.lower() else ""
        raise ValueError(_say_missing(str(value), path) + hint)
    if not path.name.endswith(SUFFIXES):
        raise ValueError(f"weights {path}: expected a file ending in {', '.join(SUFFIXES)}, got {path.suffix or 'no ending'!r}.")
    check_weights(path, architecture=architecture, parameters=parameters)
    return path


def _say_missing(value: str, path: Path) -> str:
    """Write the message for a path that is no file, with what may have been meant."""
    if path.is_dir():
        return f"weights {path}: this is a folder, expected a file ending in {', '.join(SUFFIXES)}."
    words = difflib.get_close_matches(value.lower(), ("imagenet", "null", "none"), n=1)
    if words:
        meant = f" Did you mean {'imagenet' if words[0] == 'imagenet' else 'null'}?"
    elif path.parent.is_dir():
        near = difflib.get_close_matches(path.name, [entry.name for entry in path.parent.iterdir()], n=1)
        meant = f" Did you mean {near[0]}?" if near else ""
    else:
        meant = f" The folder {path.parent} does not exist either."
    return f"weights {value!r}: there is no such file.{meant} Expected null, 'imagenet' or the path of a file."
