"""Every application base loads a file of the official layout and then equals keras.applications."""

from __future__ import annotations

import keras
import numpy as np
import pytest

import models_zoo
from cxr_keras.weights import resolve_weights

BASES = {
    "resnet50": (keras.applications.ResNet50, keras.applications.resnet50),
    "inception_v3": (keras.applications.InceptionV3, keras.applications.inception_v3),
    "inception_resnet_v2": (keras.applications.InceptionResNetV2, keras.applications.inception_resnet_v2),
    "xception": (keras.applications.Xception, keras.applications.xception),
    "vgg16": (keras.applications.VGG16, keras.applications.vgg16),
}


def test_every_architecture_with_imagenet_weights_is_covered():
    having = {name for name in models_zoo.list_models() if models_zoo.get_spec(name).has_imagenet_weights}
    assert having == set(BASES)


@pytest.mark.parametrize("name", BASES)
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
