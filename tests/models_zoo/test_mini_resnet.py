import keras
import numpy as np
import pytest

import models_zoo


def test_parameters_and_shapes():
    model = models_zoo.build("mini_resnet", (128, 128), 2)
    assert model.get_layer("features").output.shape[1:] == (8, 8, 192)
    assert model.count_params() == 1_576_826


def test_exposure_and_contrast_do_not_reach_the_features():
    keras.utils.set_random_seed(0)
    base = models_zoo.build_base("mini_resnet", (32, 32), widths=[8, 16], blocks=1)
    plain = models_zoo.build_base("mini_resnet", (32, 32), widths=[8, 16], blocks=1, normalise_image=False)
    image = np.random.default_rng(0).uniform(80, 160, (1, 32, 32, 1)).astype(np.float32)
    first, second = (np.asarray(base(x)) for x in (image, 0.7 * image + 40))
    assert np.abs(first).max() > 0.1 and np.abs(first - second).max() < 0.05 * np.abs(first).max()
    first, second = (np.asarray(plain(x)) for x in (image, 0.7 * image + 40))
    assert np.abs(first - second).max() > 0.05 * np.abs(first).max()


@pytest.mark.parametrize("parameters", [{"widths": []}, {"blocks": 0}, {"widths": [8, -1]}])
def test_bad_parameters_are_refused(parameters):
    with pytest.raises(ValueError, match="widths"):
        models_zoo.build("mini_resnet", (32, 32), 2, **parameters)
