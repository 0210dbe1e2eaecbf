"""Weights files in the official layout, written from random networks."""

from __future__ import annotations

import re
from collections import Counter

import h5py
import keras
import numpy as np
import pytest


def _randomise(network: keras.Model) -> None:
    """Random numbers everywhere, also where a new network has zeros and ones, so that a swap cannot hide."""
    generator = np.random.default_rng(17)
    for layer in network.layers:
        values = []
        for weight, value in zip(layer.weights, layer.get_weights(), strict=True):
            if weight.path.split("/")[-1] in ("gamma", "moving_variance"):
                values.append(generator.uniform(0.8, 1.2, value.shape))
            elif weight.path.split("/")[-1] == "variance":
                values.append(generator.uniform(0.2, 0.3, value.shape))
            elif value.ndim == 1:
                values.append(generator.uniform(-0.1, 0.1, value.shape))
            else:
                values.append(value)
        layer.set_weights(values)


def _official_name(name: str, counts: Counter) -> str:
    """Name of a layer in the published files, made with Keras 2.0: numbered layers count from 1."""
    match = re.fullmatch(r"(conv2d|batch_normalization)(_\d+)?", name)
    if not match:
        return name
    counts[match[1]] += 1
    return f"{match[1]}_{counts[match[1]]}"


@pytest.fixture(scope="session")
def write_legacy():
    """Function that writes the layers of a network as a legacy `.h5` and gives its path."""

    def write(network, path, *, leave_out=()):
        counts: Counter = Counter()
        with h5py.File(path, "w") as file:
            names = []
            for layer in network.layers:
                if layer.name in leave_out:
                    continue
                name = _official_name(layer.name, counts)
                group = file.create_group(name)
                weights = [f"{name}/{weight.path.split('/')[-1]}:0" for weight in layer.weights]
                group.attrs["weight_names"] = np.array(weights, dtype="S")
                for weight, value in zip(weights, layer.get_weights(), strict=True):
                    group[weight] = value
                names.append(name)
            file.attrs["layer_names"] = np.array(names, dtype="S")
            file.attrs["backend"], file.attrs["keras_version"] = b"tensorflow", b"2.0.4"
        return path

    return write


@pytest.fixture(scope="session")
def random_network():
    """Function from a constructor of keras.applications and a size to a no-top network with random weights."""

    def make(constructor, side):
        network = constructor(include_top=False, weights=None, input_shape=(side, side, 3))
        _randomise(network)
        return network

    return make


@pytest.fixture(scope="session")
def vgg16_file(random_network, write_legacy, tmp_path_factory):
    """A legacy no-top file of VGG16."""
    network = random_network(keras.applications.VGG16, 32)
    return write_legacy(network, tmp_path_factory.mktemp("vgg16") / "vgg16_notop.h5")
