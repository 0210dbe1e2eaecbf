"""Batches: every image once an epoch, the same order after an interruption, augmentation tied to the image."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from cxr_keras.data.augment import Affine, Augmentation, RandomCrop
from cxr_keras.data.cache import PixelCache
from cxr_keras.data.examples import Examples, examples_of, expand_classes
from cxr_keras.data.pipeline import evaluation_dataset, steps_per_epoch, training_dataset

N, SIDE = 23, 12
IMAGES = np.random.default_rng(0).integers(0, 256, (N, SIDE, SIDE, 1), dtype=np.uint8)
AFFINE = Affine(rotation_degrees=20, zoom=(0.8, 1.2), shift=0.1, horizontal_flip=True)


def _examples(n: int = N, *, rare: int = 5) -> Examples:
    """`n` examples in rows 0…, the first `rare` of class 0; keys are 100 + row."""
    columns = (np.arange(n) >= rare).astype(int)
    rows = np.arange(n)
    return Examples(rows=rows, copies=np.zeros(n, np.int64), keys=rows + 100, targets=np.eye(2, dtype=np.float32)[columns])


def _epochs(count: int, examples: Examples, **options: object) -> list[list[tuple[np.ndarray, ...]]]:
    """The batches of `count` epochs, as arrays."""
    options = {"batch_size": 4, "seed": 1, "fold": 0, **options}
    steps = steps_per_epoch(len(examples), int(options["batch_size"]), drop_remainder=bool(options.get("drop_remainder", False)))
    batches = training_dataset(IMAGES, examples, **options).as_numpy_iterator()  # type: ignore[arg-type]
    return [list(itertools.islice(batches, steps)) for _ in range(count)]


def _rows(epoch: list[tuple[np.ndarray, ...]]) -> list[int]:
    """Which images an epoch showed, in order, found by their pixels."""
    shown = np.concatenate([batch[0] for batch in epoch])
    return [int(np.flatnonzero((image == IMAGES).all(axis=(1, 2, 3)))[0]) for image in shown]


@settings(max_examples=12, deadline=None)
@given(n=st.integers(1, N), batch_size=st.integers(1, 9), seed=st.integers(0, 2**31), fold=st.integers(0, 9))
def test_every_image_once_an_epoch_with_its_target(n: int, batch_size: int, seed: int, fold: int) -> None:
    examples = _examples(n)
    for epoch in _epochs(2, examples, batch_size=batch_size, seed=seed, fold=fold):
        rows = _rows(epoch)
        assert sorted(rows) == list(range(n))
        assert [len(x) for x, _ in epoch[:-1]] == [batch_size] * (len(epoch) - 1)
        np.testing.assert_array_equal(np.concatenate([y for _, y in epoch]), examples.targets[rows])


def test_order_is_a_function_of_seed_fold_and_epoch() -> None:
    first, second = map(_rows, _epochs(2, _examples()))
    assert first != second
    assert [_rows(epoch) for epoch in _epochs(2, _examples())] == [first, second]
    assert _rows(_epochs(1, _examples(), fold=1)[0]) not in (first, second)
    assert _rows(_epochs(1, _examples(), seed=2)[0]) not in (first, second)


@pytest.mark.parametrize("augmentation", [None, Augmentation(AFFINE, RandomCrop(10, 8), each_epoch=(0, 1))], ids=["plain", "augmented"])
def test_a_continued_run_sees_the_same_batches(augmentation: Augmentation | None) -> None:
    options = {"augmentation": augmentation, "class_weights": np.array([3.0, 1.0])}
    whole = _epochs(4, _examples(), **options)
    continued = _epochs(2, _examples(), first_epoch=2, **options)
    for epoch, again in zip(whole[2:], continued, strict=True):
        for batch, same in zip(epoch, again, strict=True):
            for part, equal in zip(batch, same, strict=True):
                np.testing.assert_array_equal(part, equal)


def test_shapes_and_weights() -> None:
    dataset = training_dataset(IMAGES, _examples(), batch_size=4, seed=0, fold=0, class_weights=np.array([3.0, 1.0]))
    assert dataset.cardinality() == tf.data.INFINITE_CARDINALITY
    x, y, weights = next(iter(dataset))
    assert x.dtype == tf.float32 and x.shape == (4, SIDE, SIDE, 1) and y.shape == (4, 2)
    np.testing.assert_array_equal(weights, np.where(y[:, 0] == 1, 3.0, 1.0))
    assert dataset.element_spec[0].shape.as_list() == [None, SIDE, SIDE, 1]


def test_drop_remainder() -> None:
    epoch = _epochs(1, _examples(), drop_remainder=True)[0]
    assert [len(x) for x, _ in epoch] == [4] * 5
    assert len(set(_rows(epoch))) == 20
    with pytest.raises(ValueError, match="3 training examples do not fill a batch of 4"):
        training_dataset(IMAGES, _examples(3), batch_size=4, seed=0, fold=0, drop_remainder=True)


def test_evaluation_keeps_the_order() -> None:
    examples = _examples().take([5, 3, 19, 7, 0])
    dataset = evaluation_dataset(IMAGES, examples, batch_size=2)
    assert len(dataset) == 3
    batches = list(dataset.as_numpy_iterator())
    assert _rows(batches) == [5, 3, 19, 7, 0]
    np.testing.assert_array_equal(np.concatenate([y for _, y in batches]), examples.targets)
    cropped = evaluation_dataset(IMAGES, examples, batch_size=2, augmentation=Augmentation(AFFINE, RandomCrop(8, 6), each_epoch=(0, 1)))
    np.testing.assert_array_equal(np.concatenate([x for x, _ in cropped]), IMAGES[examples.rows, 2:10, 3:9])


def _pictures(examples: Examples, epoch: int, **options: object) -> dict[tuple[int, int], np.ndarray]:
    """What each (key, copy) looks like in an epoch; the target column of a fresh class tells which one it is."""
    identity = np.eye(len(examples), dtype=np.float32)
    marked = Examples(rows=examples.rows, copies=examples.copies, keys=examples.keys, targets=identity)
    batches = _epochs(1, marked, first_epoch=epoch, **options)[0]
    return {
        (int(examples.keys[index]), int(examples.copies[index])): image
        for x, y in batches
        for image, index in zip(x, y.argmax(axis=1), strict=True)
    }


def test_copies_are_fixed_and_originals_untouched() -> None:
    examples = expand_classes(_examples(), columns=[0], seed=1)
    augmentation = Augmentation(AFFINE)
    base = _pictures(examples, 0, augmentation=augmentation)
    for row in range(N):
        np.testing.assert_array_equal(base[row + 100, 0], IMAGES[row])
    copies = {name: image for name, image in base.items() if name[1] > 0}
    assert len(copies) == 13
    assert all(np.abs(image - IMAGES[key - 100]).mean() > 1 for (key, _), image in copies.items())
    fewer = examples.take(np.flatnonzero((examples.copies > 0) | (examples.keys % 3 == 0))[::-1])
    others = [_pictures(examples, 7, augmentation=augmentation), _pictures(fewer, 2, augmentation=augmentation, fold=3, batch_size=5)]
    for other in others:
        for name in set(copies) & set(other):
            np.testing.assert_array_equal(other[name], copies[name])
    stored = evaluation_dataset(IMAGES, examples, batch_size=6, augmentation=augmentation, seed=1)
    pictures = np.concatenate([x for x, _ in stored])
    np.testing.assert_array_equal(pictures[N:], [copies[name] for name in zip(examples.keys[N:], examples.copies[N:], strict=True)])


def test_chosen_classes_change_in_each_epoch() -> None:
    """Only column 0, the images 100 to 104, and each by its key and the epoch alone."""
    augmentation = Augmentation(AFFINE, each_epoch=(0,))

    def shown(epoch: int, chosen: list[int], fold: int) -> np.ndarray:
        """The picture of the only image of column 0 among `chosen`."""
        batches = _epochs(1, _examples().take(chosen), first_epoch=epoch, fold=fold, augmentation=augmentation)[0]
        sick = np.concatenate([x[y[:, 0] == 1] for x, y in batches])
        assert len(sick) == 1
        return sick[0]

    once, again, later = shown(3, [2, *range(5, 20)], 0), shown(3, [2, *range(7, 12)], 1), shown(4, [2, *range(5, 20)], 0)
    np.testing.assert_array_equal(once, again)
    assert np.abs(once - later).mean() > 1 and np.abs(once - IMAGES[2]).mean() > 1
    healthy = _epochs(1, _examples(N, rare=1), augmentation=augmentation)[0]
    unchanged = np.concatenate([x[y[:, 1] == 1] for x, y in healthy])
    assert all((image == IMAGES).all(axis=(1, 2, 3)).any() for image in unchanged)


@pytest.mark.parametrize(("to", "expected"), [("level", 18), (1.2, 15), (3.6, 5), (9, 5)])
def test_expansion_reaches_its_goal(to: str | float, expected: int) -> None:
    examples = expand_classes(_examples(), columns=[0], to=to, seed=3)
    assert np.bincount(examples.columns).tolist() == [expected, 18]
    assert len(set(zip(examples.keys, examples.copies, strict=True))) == len(examples)
    per_image = np.bincount(examples.keys[examples.columns == 0])[100:]
    assert per_image.max() - per_image.min() <= 1
    shuffled = expand_classes(_examples().take(np.random.default_rng(0).permutation(N)), columns=[0], to=to, seed=3)
    assert set(zip(shuffled.keys, shuffled.copies, strict=True)) == set(zip(examples.keys, examples.copies, strict=True))


def test_examples_of_a_manifest() -> None:
    cache = PixelCache(images=IMAGES, digests=np.array([f"{row:02d}".encode() for row in range(N)]), key="k", reused=True)
    manifest = pd.DataFrame({"image_id": ["b", "a"], "label": ["viral", "normal"], "sha256": ["07", "02"]})
    examples = examples_of(manifest, cache, ("normal", "viral"))
    assert examples.rows.tolist() == [7, 2] and examples.targets.tolist() == [[0, 1], [1, 0]]
    assert examples_of(manifest[1:], cache, ("normal", "viral")).keys[0] == examples.keys[1] >= 0
    with pytest.raises(ValueError, match="labels 'viral' are not among the classes normal, pneumonia"):
        examples_of(manifest, cache, ("normal", "pneumonia"))


def test_what_does_not_go_together() -> None:
    copies = expand_classes(_examples(), columns=[0], seed=1)
    train = {"batch_size": 4, "seed": 0, "fold": 0}
    with pytest.raises(ValueError, match="no augmentation says how the copies differ"):
        training_dataset(IMAGES, copies, **train)
    with pytest.raises(ValueError, match="13 augmented copies belong to classes that change in each epoch"):
        evaluation_dataset(IMAGES, copies, batch_size=4, augmentation=Augmentation(AFFINE, each_epoch=(0,)))
    with pytest.raises(ValueError, match="one class weight for each of the 2 classes"):
        training_dataset(IMAGES, _examples(), **train, class_weights=np.ones(3))
    with pytest.raises(ValueError, match="hold augmented copies already"):
        expand_classes(copies, columns=[0], seed=1)
    for columns, to, words in (([2], "level", "cannot be expanded"), ([0], "leveled", "`to` must be"), ([0], 0.5, "`to` must be")):
        with pytest.raises(ValueError, match=words):
            expand_classes(_examples(), columns=columns, to=to, seed=1)
    with pytest.raises(ValueError, match="same length"):
        Examples(rows=np.arange(2), copies=np.zeros(3), keys=np.zeros(3), targets=np.eye(3))


def test_the_window_moves_in_training_only_if_asked() -> None:
    def first_epoch(crop: RandomCrop, each_epoch: tuple[int, ...]) -> list[np.ndarray]:
        augmentation = Augmentation(crop=crop, each_epoch=each_epoch)
        dataset = training_dataset(IMAGES, _examples().take([3]), batch_size=1, seed=0, fold=0, augmentation=augmentation)
        return [x.numpy() for x, _ in dataset.take(6)]

    centre = IMAGES[_examples().rows[3], 2:10, 3:9]
    for each_epoch in ((), (0, 1)):
        assert all(np.array_equal(x[0], centre) for x in first_epoch(RandomCrop(8, 6, at_random=False), each_epoch))
        assert len({x.tobytes() for x in first_epoch(RandomCrop(8, 6), each_epoch)}) > 2


@pytest.mark.parametrize("alpha", [0.2, 1.0])
def test_mixup_mixes_images_and_targets_alike_and_the_same_after_an_interruption(alpha: float) -> None:
    weights = np.array([3.0, 1.0], np.float32)
    plain, mixed = (_epochs(2, _examples(), mixup=strength, class_weights=weights) for strength in (0.0, alpha))
    shares = []
    for (x, y, _), (x_mixed, y_mixed, w_mixed) in zip(itertools.chain(*plain), itertools.chain(*mixed), strict=True):
        other, n = x[::-1], len(x)
        for i in range(n):
            distance = ((x[i] - other[i]) ** 2).sum()
            share = 1.0 if distance == 0 else ((x_mixed[i] - other[i]) * (x[i] - other[i])).sum() / distance
            np.testing.assert_allclose(x_mixed[i], share * x[i] + (1 - share) * other[i], atol=1e-2)
            np.testing.assert_allclose(y_mixed[i], share * y[i] + (1 - share) * y[::-1][i], atol=1e-4)
            shares.append(share)
        np.testing.assert_allclose(w_mixed, y_mixed @ weights, rtol=1e-6)
    assert 0.499 < min(shares) < 0.9 and len(set(np.round(shares, 4))) > N  # drawn anew in the second epoch
    continued = _epochs(1, _examples(), mixup=alpha, class_weights=weights, first_epoch=1)
    for before, after in zip(mixed[1], continued[0], strict=True):
        for left, right in zip(before, after, strict=True):
            np.testing.assert_array_equal(left, right)
