"""What a run refuses before it reads an image."""

import pytest

from cxr_keras.config.loader import load_config
from cxr_keras.recipes.run import open_run


@pytest.mark.parametrize(
    ("name", "verb", "overrides", "key"),
    [
        ("googlenet_binary", "train", ["split.kind=grouped"], "split.validation=0.15"),
        ("resnet50", "train", ["split.validation=0"], "split.validation=0.15"),
        ("resnet50", "cv", ["cross_validation.validation=0"], "cross_validation.validation=0.15"),
    ],
)
def test_an_epoch_cannot_be_chosen_without_a_validation_part(tmp_path, name, verb, overrides, key):
    with pytest.raises(ValueError, match=key):
        open_run(load_config(name, overrides), tmp_path / "run", verb=verb)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("name", "overrides", "message"),
    [
        ("resnet50", ["cross_validation.protocol=bozickovic", "model.weights='a-{fold}.h5'"], "begins with a split that is no fold"),
        ("cnn_94", ["augmentation.appearance={noise: 3}"], "would give the class away"),
        ("cnn_94", ["training.phases.all.average=0.99"], "batch_norm to recalibrated"),
        ("resnet50", ["training.phases.all={average: 0.9, batch_norm: recalibrated}"], "choose one of them"),
        ("mini_vgg", ["evaluation.validation_appearance={noise: 3}"], "would alter the test images"),
        ("mini_vgg", ["model.params.auxiliary=true"], "auxiliary outputs are not saved"),
    ],
)
def test_settings_that_contradict_each_other(name, overrides, message):
    with pytest.raises(ValueError, match=message):
        load_config(name, overrides)
