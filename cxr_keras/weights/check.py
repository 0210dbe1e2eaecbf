"""Comparing a weights file with the architecture it is meant for, layer by layer."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras

import models_zoo
from cxr_keras.weights.files import StoredLayer, read_base_names, read_stored_layers

# Weighted layers of every head of models_zoo. A `.weights.h5` file says the names but not the order of its layers.
HEAD_LAYER = re.compile(r"hidden_\d+(_bn)?|logits|auxiliary_\d+_.*")
SHOWN_FAULTS = 8  # so many lines tell which network the file is of; hundreds would hide the remedy


def check_weights(path: str | Path, *, architecture: str, parameters: Mapping[str, Any] | None = None) -> None:
    """Raise ValueError unless the file's layers are those of the architecture's base, shape by shape.

    Builds the base once with random weights (0.2 to 2.5 s) and reads no numbers from the file. What Keras passes over in
    silence is refused here too: layers of a `.weights.h5` file that the architecture does not have.

    Args:
        path: an existing `.h5`, `.weights.h5` or `.keras` file.
        architecture: a name of `models_zoo.list_models()`.
        parameters: the parameters that the model will be built with.

    Raises:
        ValueError: the file is damaged, or differs; the message lists the layers with both shapes.
    """
    path = Path(path)
    stored = read_stored_layers(path)
    side = models_zoo.get_spec(architecture).minimum_image_size
    model = models_zoo.build(architecture, (side, side), 2, **(parameters or {}))
    wanted = expected_layers(models_zoo.base_layers(model))
    if path.suffix == ".keras":
        base_names = read_base_names(path)
        faults = _compare_keyed(wanted, [layer for layer in stored if layer.name in base_names], by="name")
    elif path.name.endswith(".weights.h5"):
        faults = _compare_keyed(wanted, [layer for layer in stored if not HEAD_LAYER.fullmatch(layer.name)], by="key")
    else:
        faults = _compare_in_order(wanted, stored)
    if faults:
        shown = "\n  ".join(faults[:SHOWN_FAULTS])
        more = f"\n  and {len(faults) - SHOWN_FAULTS} more" if len(faults) > SHOWN_FAULTS else ""
        raise ValueError(
            f"weights {path} do not fit the base of {architecture}; {len(faults)} differences:\n  {shown}{more}\n"
            f"Give a file of {architecture} without its top (names of such files end in notop.h5), a .weights.h5 of its "
            "base, or a .keras model trained as it with the same parameters; or weights=null for random weights."
        )


def expected_layers(layers: list[keras.layers.Layer]) -> list[StoredLayer]:
    """Say under which keys Keras 3 would store `layers`, in the order of the graph, those without weights left out."""
    counts: dict[str, int] = defaultdict(int)
    expected = []
    for layer in layers:
        stem = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", type(layer).__name__).lower()
        key = f"{stem}_{counts[stem]}" if counts[stem] else stem
        counts[stem] += 1
        # Trainable weights first: the order of both file layouts, whatever was frozen since.
        shapes = tuple(tuple(weight.shape) for weight in layer.trainable_weights + layer.non_trainable_weights)
        if shapes:
            expected.append(StoredLayer(key, layer.name, shapes))
    return expected


def _compare_keyed(wanted: list[StoredLayer], stored: list[StoredLayer], *, by: str) -> list[str]:
    """Compare layers under the same key or name; `stored` is the file without its head."""
    given = {getattr(layer, by): layer for layer in stored}
    faults = []
    for layer in wanted:
        found = given.pop(getattr(layer, by), None)
        if found is None:
            faults.append(f"{layer.name}: expected {_text(layer)}, not in the file")
        elif found.shapes != layer.shapes:
            label = layer.name if found.name == layer.name else f"{layer.name} (in the file {found.name})"
            faults.append(f"{label}: expected {_text(layer)}, got {_text(found)}")
    faults += [f"{extra.name}: in the file only, {_text(extra)}" for extra in given.values()]
    return faults


def _compare_in_order(wanted: list[StoredLayer], stored: list[StoredLayer]) -> list[str]:
    """Compare the n-th layer with the n-th, as Keras loads the legacy layout, whatever the names.

    Where file and base have the same names they must also come in the same order: two swapped layers of one shape would
    load without a word.
    """
    faults = []
    same_names = {layer.name for layer in wanted} == {layer.name for layer in stored}
    for place, (layer, found) in enumerate(zip(wanted, stored, strict=False), start=1):
        if found.shapes != layer.shapes:
            faults.append(f"{layer.name} (in the file {found.name}): expected {_text(layer)}, got {_text(found)}")
        elif same_names and found.name != layer.name:
            faults.append(f"{layer.name}: expected in place {place}, which {found.name} has in the file")
    faults += [f"{layer.name}: expected {_text(layer)}, not in the file" for layer in wanted[len(stored) :]]
    faults += [f"{extra.name}: in the file only, {_text(extra)}" for extra in stored[len(wanted) :]]
    return faults


def _text(layer: StoredLayer) -> str:
    """Write the shapes of a layer, as (3, 3, 1, 32) + (32,)."""
    return " + ".join(str(shape) for shape in layer.shapes)
