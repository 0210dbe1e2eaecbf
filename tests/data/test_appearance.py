import cv2
import numpy as np
import pytest

from cxr_keras.data.appearance import DRAWS, Appearance, change_appearance
from cxr_keras.data.augment import Augmentation
from cxr_keras.data.examples import Examples
from cxr_keras.data.pipeline import evaluation_dataset, training_dataset


@pytest.fixture
def images():
    smooth = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 256, (6, 32, 40), dtype=np.uint8).transpose(1, 2, 0), (0, 0), 2)
    return np.ascontiguousarray(smooth.transpose(2, 0, 1))[..., np.newaxis]


def change(images, draws=0.5, changed=True, **ranges):
    n = len(images)
    return change_appearance(images, Appearance(**ranges), np.full((n, DRAWS), draws), np.full(n, changed))


def test_nothing_changes_without_ranges_or_for_unchosen_images(images):
    assert np.array_equal(change(images), images)
    assert np.array_equal(change(images, changed=False, contrast=(0.1, 0.1), noise=20), images)


def test_each_range_does_what_it_says(images):
    spread = change(images, contrast=(0.5, 0.5)).std() / images.std()
    assert spread == pytest.approx(0.5, abs=0.02)
    assert change(images, 1.0, brightness=0.1).mean() - images.mean() == pytest.approx(25.5, abs=0.5)
    expected = 255 * (images / 255.0) ** 2
    assert np.abs(change(images, gamma=(2, 2)) - expected).max() <= 0.5
    noisy = change(images, 1.0, noise=5).astype(float) - images
    assert noisy.std() == pytest.approx(5, abs=0.5)
    detail = [np.abs(np.diff(x.astype(float), axis=2)).mean() for x in (images, change(images, rescale=(0.25, 0.25)))]
    assert detail[1] < 0.7 * detail[0]
    mean_error = [np.abs(change(images, jpeg_quality=(q, q)).astype(float) - images).mean() for q in (95, 10)]
    assert mean_error[0] < 1.5 < mean_error[1]


def test_compression_is_that_of_opencv(images):
    wanted = cv2.imdecode(cv2.imencode(".jpg", images[2, ..., 0], [cv2.IMWRITE_JPEG_QUALITY, 30])[1], cv2.IMREAD_GRAYSCALE)
    assert np.array_equal(change(images, jpeg_quality=(30, 30))[2, ..., 0], wanted)


def test_all_impossible_ranges_are_named_together():
    with pytest.raises(ValueError, match="rescale .*; contrast .*; jpeg_quality .*; brightness .*; noise"):
        Appearance(rescale=(0.5, 2.0), contrast=(0, 1), jpeg_quality=(0, 50), brightness=1.0, noise=-1)


@pytest.fixture
def examples():
    return Examples(np.arange(6), np.zeros(6, np.int64), np.arange(6) * 7 + 1, np.eye(2, dtype=np.float32)[[0, 1, 0, 1, 0, 1]])


def test_training_draws_anew_each_epoch_and_resumes_alike(images, examples):
    look = Augmentation(appearance=Appearance(contrast=(0.3, 2.0), noise=4.0), each_epoch=(0, 1))

    def epoch(first):
        x, y = next(iter(training_dataset(images, examples, batch_size=6, seed=3, fold=0, first_epoch=first, augmentation=look)))
        return x.numpy(), y.numpy()

    assert not np.array_equal(np.sort(epoch(0)[0].mean((1, 2, 3))), np.sort(epoch(1)[0].mean((1, 2, 3))))
    assert all(np.array_equal(a, b) for a, b in zip(epoch(1), epoch(1), strict=True))


def test_validation_gets_one_look_whatever_the_pass_or_order(images, examples):
    look = Appearance(contrast=(0.3, 2.0), jpeg_quality=(10, 60))

    def shown(part):
        return np.concatenate([x.numpy() for x, _ in evaluation_dataset(images, part, batch_size=4, appearance=look)])

    first = shown(examples)
    assert np.array_equal(first, shown(examples)) and not np.array_equal(first, images)
    assert np.array_equal(shown(examples.take([5, 2])), first[[5, 2]])
