import numpy as np
import pytest

from cxr_keras.config.loader import load_config
from cxr_keras.data.examples import Examples
from cxr_keras.recipes.batches import augmentation_of, expanded, training_data

CLASSES = ("bacterial", "covid19", "normal", "viral")


def examples(counts=(6, 2, 4, 4)):
    columns = np.repeat(np.arange(4), counts)
    n = len(columns)
    return Examples(np.arange(n), np.zeros(n, np.int64), np.arange(n), np.eye(4, dtype=np.float32)[columns])


def test_the_rare_class_is_expanded_to_the_largest():
    config = load_config("resnet50")
    counts = np.bincount(expanded(examples(), config, CLASSES).columns)
    assert counts.tolist() == [6, 6, 4, 4]


def test_batches_carry_weights_and_the_size_of_the_network():
    config = load_config(
        "resnet50",
        ["data.stored_size=[20, 20]", "data.image_size=[16, 16]", "augmentation.random_crop=true", "training.frozen_base=in_loop"],
    )
    images = np.random.default_rng(0).integers(0, 255, (16, 20, 20, 1), dtype=np.uint8)
    data = training_data(
        images, expanded(examples(), config, CLASSES), examples(), config=config, fold=0, classes=CLASSES, weights=np.ones(4), jit=False
    )
    x, y, w = next(iter(data.batches(0)))
    assert x.shape == (20, 16, 16, 1) and y.shape == (20, 4) and w.shape == (20,)
    assert next(iter(data.validation))[0].shape == (16, 16, 16, 1)


def test_nothing_to_vary_is_no_augmentation():
    assert augmentation_of(load_config("mini_vgg"), ("normal", "pneumonia")) is None


def test_unknown_augmented_classes_are_refused():
    with pytest.raises(ValueError, match="names covid19; the classes here are normal, pneumonia"):
        expanded(examples(), load_config("resnet50"), ("normal", "pneumonia"))
