"""A tiny network with the named layers, and pictures as files."""

import cv2
import keras
import numpy as np
import pytest

from cxr_keras.export.formats import FORMATS
from cxr_keras.export.manifest import MANIFEST_FILE, describe_export, describe_files
from cxr_keras.export.serving import Serving, network_of
from cxr_keras.pixels.decode import DecodeSettings
from cxr_keras.runs.files import write_json
from models_zoo.head import dense_head, name_tensor

CLASSES = ("normal", "pneumonia")
SERVING = Serving(CLASSES, DecodeSettings(12, 14), (8, 8), 2.0, 0.3)


def tiny_model(seed, *, num_classes=2, dense=()):
    """A trained network's stand-in: images (n, 8, 8, 1), features (n, 6, 6, 4)."""
    keras.utils.set_random_seed(seed)
    image = keras.Input((8, 8, 1), name="image")
    x = keras.layers.Normalization(axis=None, mean=100.0, variance=4096.0)(image)  # keeps tensors beside its variables
    x = name_tensor(keras.layers.Conv2D(4, 3, activation="relu")(x), "features")
    return keras.Model(image, dense_head(x, num_classes, dense=dense))


@pytest.fixture(scope="session")
def models():
    return [tiny_model(1), tiny_model(2)]


@pytest.fixture(scope="session")
def pictures(tmp_path_factory):
    """Grey JPEG and PNG files of several sizes."""
    folder, random = tmp_path_factory.mktemp("pictures"), np.random.default_rng(0)
    found = []
    for number, (height, width) in enumerate([(40, 30), (12, 14), (64, 100), (9, 9)]):
        image = cv2.resize(random.integers(0, 256, (6, 6), np.uint8), (width, height))
        path = folder / f"{number}.{'png' if number % 2 else 'jpeg'}"
        assert cv2.imwrite(str(path), image)
        found.append(path)
    return found


def describe(format_name, serving, **changes):
    notes = {"operating_point": "sensitive", "no_temperature": None, "no_maps": None}
    run = {"data": "phantom 4", "model": "tiny", "evaluation": "held out"}
    return describe_export(FORMATS[format_name], serving, name="tiny", models=2, notes=notes | changes, run=run)


@pytest.fixture(scope="session")
def exported(models, tmp_path_factory):
    """A SavedModel export of two networks with maps."""
    folder = tmp_path_factory.mktemp("exported")
    FORMATS["saved_model"].write([network_of(model, maps=True) for model in models], SERVING, folder)
    write_json(folder / MANIFEST_FILE, describe("saved_model", SERVING) | {"files": describe_files(folder)})
    return folder
