import keras
import numpy as np
import pytest

import models_zoo
from cxr_keras.explain.randomise import cascade, randomised


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    return models_zoo.build("mini_resnet", (16, 16), 2, widths=[4, 6], blocks=1)


def test_the_copy_shares_names_and_shapes_but_no_weights_even_with_the_seed_of_the_training(model):
    before = [np.copy(weight) for weight in model.get_weights()]
    copy = randomised(model, seed=0)
    assert [layer.name for layer in copy.layers] == [layer.name for layer in model.layers]
    for layer in model.layers:
        if isinstance(layer, keras.layers.Conv2D | keras.layers.Dense):
            own, drawn = layer.get_weights()[0].ravel(), copy.get_layer(layer.name).get_weights()[0].ravel()
            assert abs(np.corrcoef(own, drawn)[0, 1]) < 0.9
    for weight, former in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weight, former)


def test_the_seed_decides_the_copy(model):
    first, again, other = (randomised(model, seed=seed).get_weights() for seed in (1, 1, 2))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert any(not np.array_equal(a, b) for a, b in zip(first, other, strict=True))


def test_the_cascade_forgets_from_the_last_layer_down(model):
    weighted = [layer.name for layer in model.layers if layer.weights]
    seen = []
    for name, changed in cascade(model, seed=0, steps=4):
        seen.append(name)
        for place, layer in enumerate(weighted):
            own, now = model.get_layer(layer).get_weights()[0], changed.get_layer(layer).get_weights()[0]
            if layer in ("logits", "stem"):  # kernels: a batch normalisation before training is the same when it is new
                assert np.array_equal(own, now) == (place < weighted.index(name))
    assert seen[0] == "logits" and seen[-1] == weighted[0] and len(seen) == 4
