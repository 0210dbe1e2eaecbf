"""What lies in a weights file: layers and shapes, read without loading a single number.

Three layouts are known. Legacy `.h5` (files of `keras.applications`, also the whole-model kind): the attribute
`layer_names` lists groups, whose attribute `weight_names` lists arrays, in the order of the graph. `.weights.h5` of
Keras 3: groups `layers/<class>_<number>/vars/<number>`, with the layer's name as attribute of `vars`. `.keras`: a zip archive
with a `model.weights.h5` of that kind inside.
"""

from __future__ import annotations

import io
import itertools
import json
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py

Shape = tuple[int, ...]


@dataclass(frozen=True)
class StoredLayer:
    """One layer with weights.

    Attributes:
        key: where the layer lies in the file: a group's name.
        name: the layer's own name; the key where the file does not say.
        shapes: shape of each weight, trainable ones first.
    """

    key: str
    name: str
    shapes: tuple[Shape, ...]


def read_stored_layers(path: Path) -> list[StoredLayer]:
    """List the layers with weights of a `.h5`, `.weights.h5` or `.keras` file, in the order of the file.

    Raises:
        ValueError: the file is damaged or has none of the three layouts.
    """
    try:
        if path.suffix == ".keras":
            with zipfile.ZipFile(path) as archive, archive.open("model.weights.h5") as inner:
                content = io.BytesIO(inner.read())
            with h5py.File(content, "r") as file:
                layers = _numbered_layers(file)
        else:
            with h5py.File(path, "r") as file:
                _check_name_tells_layout(path, file)
                layers = _numbered_layers(file) if path.name.endswith(".weights.h5") else _listed_layers(file)
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        raise ValueError(
            f"weights {path}: not a weights file of Keras, or a damaged one ({error}). Fetch or save the file again."
        ) from error
    if not layers:
        raise ValueError(
            f"weights {path}: no layer with weights found. Expected a legacy .h5 (attribute layer_names), a .weights.h5 "
            "or a .keras file, as Keras writes them."
        )
    return layers


def read_base_names(path: Path) -> set[str]:
    """Give the names of the layers of a `.keras` model up to `features`, from its description, without building it.

    Raises:
        ValueError: the file is damaged, or its model has no layer `features`.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            description = json.loads(archive.read("config.json"))
        feeding = {layer["config"]["name"]: _sources(layer["inbound_nodes"]) for layer in description["config"]["layers"]}
    except (OSError, KeyError, TypeError, json.JSONDecodeError, zipfile.BadZipFile) as error:
        raise ValueError(f"weights {path}: not a model that this package saved, or a damaged one ({error}).") from error
    if "features" not in feeding:
        raise ValueError(f"weights {path}: the model has no layer 'features', so it is not one that this package saved.")
    # Not "all layers written before it": auxiliary heads begin inside the base.
    base: set[str] = set()
    open_ends = ["features"]
    while open_ends:
        name = open_ends.pop()
        if name not in base:
            base.add(name)
            open_ends.extend(feeding.get(name, ()))
    return base - {"features"}


def _sources(nodes: Any) -> list[str]:
    """List the layers whose outputs a layer reads, from the `inbound_nodes` of its description."""
    if isinstance(nodes, dict):
        if "keras_history" in nodes:
            return [nodes["keras_history"][0]]
        nodes = list(nodes.values())
    return [name for node in nodes for name in _sources(node)] if isinstance(nodes, list) else []


def _check_name_tells_layout(path: Path, file: h5py.File) -> None:
    """Raise ValueError where the layout is not that of the file's name: Keras chooses its reader by the name alone."""
    numbered = "layers" in file
    if numbered and not path.name.endswith(".weights.h5"):
        right = path.name.removesuffix(path.suffix) + ".weights.h5"
        raise ValueError(f"weights {path}: the layout inside is that of Keras 3. Rename the file to {right}.")
    if not numbered and path.name.endswith(".weights.h5") and ("layer_names" in file.attrs or "model_weights" in file):
        right = path.name.removesuffix(".weights.h5") + ".h5"
        raise ValueError(f"weights {path}: the layout inside is the legacy one. Rename the file to {right}.")


def _listed_layers(file: h5py.File) -> list[StoredLayer]:
    """Read the legacy layout; whole-model files hold it in the group `model_weights`."""
    root = file["model_weights"] if "layer_names" not in file.attrs and "model_weights" in file else file
    layers = []
    for name in _attribute_list(root, "layer_names"):
        group = root[name]
        shapes = tuple(tuple(group[weight].shape) for weight in _attribute_list(group, "weight_names"))
        if shapes:
            layers.append(StoredLayer(name, name, shapes))
    return layers


def _numbered_layers(file: h5py.File) -> list[StoredLayer]:
    """Read the layout of Keras 3."""
    layers = []
    for key, group in file.get("layers", {}).items():
        arrays = group.get("vars", {})
        shapes = tuple(tuple(arrays[number].shape) for number in sorted(arrays, key=int))
        if shapes:
            layers.append(StoredLayer(key, _text(arrays.attrs.get("name", key)), shapes))
    return layers


def _attribute_list(group: h5py.Group, name: str) -> list[str]:
    """Read a list of texts; Keras cuts long lists into attributes with numbers at the end."""
    if name in group.attrs:
        return [_text(entry) for entry in group.attrs[name]]
    entries: list[str] = []
    for number in itertools.count():
        chunk = group.attrs.get(f"{name}{number}")
        if chunk is None:
            break
        entries.extend(_text(entry) for entry in chunk)
    return entries


def _text(value: str | bytes) -> str:
    """Decode what h5py gives for a text, which depends on the writer."""
    return value.decode("utf-8") if isinstance(value, bytes) else str(value)
