"""Engines: the same features from Keras and OpenVINO within stated bounds, and none that falls back."""

from __future__ import annotations

import importlib.util

import keras
import numpy as np
import pytest

import models_zoo
from cxr_keras.config.loader import load_config
from cxr_keras.features.engines import check_engine, describe_engine, open_engine
from cxr_keras.features.extract import describe_model, layer_model

SIDE = 48
IMAGES = np.random.default_rng(0).integers(0, 256, (8, SIDE, SIDE, 1)).astype(np.float32)
BOUNDS = {"float32": 1e-5, "mixed_bfloat16": 0.05}
"""Largest difference, in parts of the largest feature."""


def network(name, layer="features"):
    keras.utils.set_random_seed(1)
    return layer_model(models_zoo.build(name, (SIDE, SIDE), 2), layer)


@pytest.mark.parametrize("precision", BOUNDS)
@pytest.mark.parametrize("name", ["mini_vgg", "mini_resnet", "efficientnet_b0"])
def test_openvino_gives_the_features_of_keras_and_each_row_for_itself(name, precision):
    pytest.importorskip("openvino")
    part = network(name)
    try:
        forward = open_engine(part, "openvino", precision=precision, batch_size=len(IMAGES))
    except ValueError as error:
        assert precision == "mixed_bfloat16" and "without bfloat16" in str(error)
        pytest.skip("this processor has no bfloat16")
    found, exact = forward(IMAGES).copy(), part.predict_on_batch(IMAGES)
    assert found.dtype == np.float32 and found.shape == exact.shape
    assert np.abs(found - exact).max() <= BOUNDS[precision] * np.abs(exact).max()
    order = np.random.default_rng(1).permutation(len(IMAGES))
    np.testing.assert_array_equal(forward(IMAGES[order]), found[order])


def test_features_of_another_engine_or_precision_are_described_apart():
    model = models_zoo.build("mini_vgg", (16, 16), 2)
    by_keras = describe_model(model, "features")
    assert "engine" not in by_keras and by_keras["precision"] == "float32"
    if importlib.util.find_spec("openvino"):
        exact, rounded = (describe_model(model, "features", engine="openvino", precision=each) for each in BOUNDS)
        assert exact["engine"] == "openvino" and exact["backend"].startswith("openvino 20")
        assert len({str(sorted(each.items())) for each in (by_keras, exact, rounded)}) == 3
    assert describe_engine("keras")["backend"].split()[0] == keras.backend.backend()


def test_an_engine_that_cannot_run_is_refused(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    check_engine("keras", "mixed_bfloat16")
    with pytest.raises(ValueError, match=r"pip install 'cxr-keras\[openvino\]'"):
        check_engine("openvino", "float32")
    with pytest.raises(ValueError, match="computes in float32 or mixed_bfloat16"):
        load_config("vgg16_features", ["classifier.engine=openvino", "training.precision=mixed_float16"])


def test_a_processor_without_bfloat16_does_not_fall_back(monkeypatch):
    openvino = pytest.importorskip("openvino")

    class Core:
        def get_property(self, device, name):
            return ["FP32", "INT8"]

    monkeypatch.setattr(openvino, "Core", Core)
    with pytest.raises(ValueError, match="processor without bfloat16 .*training.precision=float32"):
        check_engine("openvino", "mixed_bfloat16")
