"""Every application base loads a file of the official layout and then equals keras.applications."""

from __future__ import annotations

import keras
import numpy as np
import pytest

import models_zoo
from cxr_keras.weights import resolve_weights

BASES = {
    "resnet50": (keras.applications.ResNet50, keras.applications.resnet50),
    "resnet152": (keras.applications.ResNet152, keras.applications.resnet),
    "inception_v3": (keras.applications.InceptionV3, keras.applications.inception_v3),
    "inception_resnet_v2": (keras.applications.InceptionResNetV2, keras.applications.inception_resnet_v2),
    "xception": (keras.applications.Xception, keras.applications.xception),
    "vgg16": (keras.applications.VGG16, keras.applications.vgg16),
}


def test_every_architecture_with_imagenet_weights_is_covered():
    having = {name for name in models_zoo.list_models() if models_zoo.get_spec(name).has_imagenet_weights}
    assert having == set(BASES) | {"efficientnet_b0"}


@pytest.mark.parametrize("name", [pytest.param(name, marks=pytest.mark.slow if name == "resnet152" else ()) for name in BASES])
def test_legacy_file_gives_the_outputs_of_keras(name, random_network, write_legacy, tmp_path):
    constructor, module = BASES[name]
    side = models_zoo.get_spec(name).minimum_image_size
    network = random_network(constructor, side)
    path = write_legacy(network, tmp_path / f"{name}_weights_tf_dim_ordering_tf_kernels_notop.h5")
    assert resolve_weights(str(path), architecture=name) == path

    grey = np.random.default_rng(2).integers(0, 256, (2, side, side, 1)).astype("float32")
    expected = np.asarray(network(module.preprocess_input(np.repeat(grey, 3, axis=-1))))
    model = models_zoo.build(name, (side, side), 4, weights=path)
    found = np.asarray(models_zoo.base_model(model)(grey))
    assert expected.std() > 0
    np.testing.assert_allclose(found, expected, atol=1e-5 * max(1.0, np.abs(expected).max()), rtol=0)


def test_efficientnet_file_gives_what_keras_gives_with_imagenet(random_network, write_legacy, monkeypatch, tmp_path):
    """keras.applications itself loads the file as the downloaded one, with the layer that it adds for that case only."""
    network = random_network(keras.applications.EfficientNetB0, 40)
    path = write_legacy(network, tmp_path / "efficientnetb0_notop.h5")
    monkeypatch.setattr("keras.src.utils.file_utils.get_file", lambda *arguments, **options: str(path))
    published = keras.applications.EfficientNetB0(include_top=False, weights="imagenet", input_shape=(40, 40, 3))
    assert len(published.layers) == len(network.layers) + 1

    assert resolve_weights(str(path), architecture="efficientnet_b0") == path
    grey = np.random.default_rng(2).integers(0, 256, (2, 40, 40, 1)).astype("float32")
    expected = np.asarray(published(np.repeat(grey, 3, axis=-1)))
    assert expected.std() > 0
    for weights in (path, "imagenet"):
        found = np.asarray(models_zoo.build_base("efficientnet_b0", (40, 40), weights=weights)(grey))
        print(f"largest difference {np.abs(found - expected).max():.1e} at values up to {np.abs(expected).max():.2f}")
        np.testing.assert_allclose(found, expected, atol=1e-5 * max(1.0, np.abs(expected).max()), rtol=0)
