"""Putting pretrained weights into a base that has no head yet."""

from __future__ import annotations

from pathlib import Path

import keras

from models_zoo.parts import base_layers, finalize_statistics
from models_zoo.spec import ArchitectureSpec

SUFFIXES = (".weights.h5", ".h5", ".keras")


def load_base_weights(base: keras.Model, weights: str | Path, *, spec: ArchitectureSpec) -> None:
    """Load `weights` into `base`, all of them or none.

    The base alone, because Keras loads legacy files by counting layers: with a head attached the count is wrong.

    Args:
        base: the model from `image` to `features`.
        weights: "imagenet", or a file: a no-top legacy `.h5`, a `.weights.h5`, or a `.keras` model of this package, of
            which the base is taken and the head left.
        spec: the architecture of `base`.

    Raises:
        ValueError: the weights do not exist or do not fit.
    """
    if weights == "imagenet":
        if spec.load_imagenet is None:
            hint = f" {spec.imagenet_hint}" if spec.imagenet_hint else ""
            raise ValueError(
                f"{spec.name} has no ImageNet weights to fetch.{hint} Give a file as weights=PATH, or weights=null for random ones."
            )
        spec.load_imagenet(base)
        return
    path = Path(weights)
    if not path.name.endswith(SUFFIXES):
        raise ValueError(f"weights {path}: expected null, 'imagenet' or a file ending in {', '.join(SUFFIXES)}.")
    if not path.is_file():
        raise ValueError(f"weights {path}: there is no such file. Mend the path, or give weights=null or 'imagenet'.")
    if path.suffix == ".keras":
        copy_by_name(path, base, spec=spec)
    else:
        load_hdf5(path, base, spec=spec)


def load_hdf5(path: Path, base: keras.Model, *, spec: ArchitectureSpec) -> None:
    """Load a legacy `.h5` or a `.weights.h5` file, with the file and the remedy in every error."""
    try:
        base.load_weights(path)
    except (ValueError, KeyError, OSError) as error:
        raise ValueError(f"weights {path} do not fit the base of {spec.name}: {error}\n{remedy(spec)}") from error


def copy_by_name(path: Path, base: keras.Model, *, spec: ArchitectureSpec) -> None:
    """Copy the base layers of a saved model into `base`, layer by layer under the same name."""
    try:
        saved = keras.models.load_model(path, compile=False, safe_mode=True)
    except (ValueError, TypeError, KeyError, OSError) as error:
        raise ValueError(f"weights {path} cannot be read as a Keras model: {error}\n{remedy(spec)}") from error
    if "features" not in {layer.name for layer in saved.layers}:
        raise ValueError(f"weights {path}: the model {saved.name!r} has no layer 'features'. {remedy(spec)}")
    given = {layer.name: layer for layer in base_layers(saved) if layer.weights}
    wanted = {layer.name: layer for layer in base.layers if layer.weights}
    faults = [f"{name}: in the file only" for name in given.keys() - wanted.keys()]
    faults += [f"{name}: not in the file" for name in wanted.keys() - given.keys()]
    for name in wanted.keys() & given.keys():
        expected, found = ([tuple(weight.shape) for weight in layers[name].weights] for layers in (wanted, given))
        if expected != found:
            faults.append(f"{name}: expected {expected}, got {found}")
    if faults:
        raise ValueError(
            f"weights {path} hold {saved.name!r}, whose base differs from that of {spec.name} in {len(faults)} "
            f"layers: {'; '.join(sorted(faults)[:8])}. {remedy(spec)}"
        )
    for name, layer in wanted.items():
        layer.set_weights(given[name].get_weights())
    finalize_statistics(base)


def remedy(spec: ArchitectureSpec) -> str:
    """Say what file is needed."""
    return (
        f"Give a no-top .h5 or .weights.h5 file of {spec.name}, or a .keras model that was trained as {spec.name} with "
        "the same parameters, or weights=null to start from random weights."
    )
