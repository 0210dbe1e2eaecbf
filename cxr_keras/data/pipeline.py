"""From the pixel cache to batches: gathered by index, in an order that (seed, fold, epoch) decides.

Nothing is kept but one index an image, so memory does not grow with the images; and a training that continues at some epoch sees
exactly the batches that it would have seen without the interruption.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import tensorflow as tf

from cxr_keras.data.appearance import DRAWS, Appearance, change_appearance
from cxr_keras.data.augment import Affine, Augmentation, draw_transforms, draw_uniform, transform_images
from cxr_keras.data.examples import Examples
from cxr_keras.data.parallel import default_workers

_PREFETCH = 2
"""Batches made ahead; two keep a training step from waiting and cost 13 MB at 32 × 224 × 224."""


_LOOK, _LOOK_OF_ALL, _WINDOW, _MIXING = 2**40, 2**41, 2**42, 2**43
"""Added to the seed, so that look, window and mixing are drawn apart from an image's place, and evaluation's apart from training's."""


def steps_per_epoch(n: int, batch_size: int, *, drop_remainder: bool = False) -> int:
    """Batches in one epoch of `n` examples."""
    return n // batch_size if drop_remainder else -(-n // batch_size)


def training_dataset(
    images: np.ndarray,
    examples: Examples,
    *,
    batch_size: int,
    seed: int,
    fold: int,
    first_epoch: int = 0,
    augmentation: Augmentation | None = None,
    mixup: float = 0.0,
    class_weights: np.ndarray | None = None,
    drop_remainder: bool = False,
) -> tf.data.Dataset:
    """Make the endless stream of training batches, epoch after epoch, each image once an epoch.

    Args:
        images: uint8 (m, h, w, 1), usually `PixelCache.images`; or what a network made of pictures, float32 (m, ...), one row for each
            original and each copy.
        examples: what to show.
        batch_size: images a batch; the last one of an epoch may be smaller.
        seed: of the run.
        fold: number of the fold; folds get different orders.
        first_epoch: the epoch to begin with, from 0, for a run that continues.
        augmentation: how images are changed; None shows them as they are, which copies do not allow.
        mixup: α of the Beta distribution by which each image is mixed with another of its batch, see `mixed`; 0 mixes none.
        class_weights: float (k,), the weight of each class; None gives no weights. A mixed image has the mean of its classes' weights.
        drop_remainder: whether to leave out a smaller last batch.

    Returns:
        Endless dataset of x float32 (b, h, w, 1) in [0, 255] (or (b, ...) of another array), y float32 (b, k) and, with class weights, w
        float32 (b,). Take `steps_per_epoch` batches an epoch.

    Raises:
        ValueError: no example, fewer than one batch, copies without an augmentation, or weights of another length.
    """
    n = len(examples)
    if steps_per_epoch(n, batch_size, drop_remainder=drop_remainder) < 1:
        raise ValueError(f"{n} training examples do not fill a batch of {batch_size}; lower the batch size")
    if class_weights is not None and np.shape(class_weights) != examples.targets.shape[1:]:
        raise ValueError(
            f"there must be one class weight for each of the {examples.targets.shape[1]} classes, got shape {np.shape(class_weights)}"
        )

    def order_of(epoch: tf.Tensor) -> tf.data.Dataset:
        order = tf.random.experimental.stateless_shuffle(tf.range(n, dtype=tf.int64), seed=[seed, fold * 2**32 + epoch])
        batches = tf.data.Dataset.from_tensor_slices(order).batch(batch_size, drop_remainder=drop_remainder)
        return batches.map(lambda indices: (indices, epoch))

    epochs = tf.data.Dataset.counter(start=first_epoch, dtype=tf.int64)
    batches = _gather(epochs.flat_map(order_of), images, examples, seed=seed, augmentation=augmentation)
    if mixup:
        first_batch = first_epoch * steps_per_epoch(n, batch_size, drop_remainder=drop_remainder)
        numbered = batches.enumerate(start=first_batch)
        batches = numbered.map(lambda number, pair: mixed(*pair, mixup, seed=tf.stack([seed + _MIXING, fold * 2**32 + number])))
    if class_weights is not None:
        weights = tf.constant(class_weights, tf.float32)
        batches = batches.map(lambda x, y: (x, y, tf.linalg.matvec(y, weights)))
    # Said aloud, since `flat_map` does not know it and Keras asks.
    endless = tf.data.experimental.assert_cardinality(tf.data.INFINITE_CARDINALITY)
    return batches.apply(endless).prefetch(_PREFETCH)


def mixed(x: tf.Tensor, y: tf.Tensor, alpha: float, *, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Mix each image of a batch with another, and their targets alike (Zhang et al. 2018, mixup, arXiv:1710.09412).

    The batch's order is random, so the other one is that at the same place from the end; the one in the middle stays as it is.

    Args:
        x: float32 (b, ...).
        y: float32 (b, k), one-hot.
        alpha: of Beta(α, α), from which each image draws its own share; small values mix little.
        seed: int64 (2,), of the batch.

    Returns:
        x and y of the same shapes; the larger share is an image's own.
    """
    draws = tf.random.stateless_gamma([2, tf.shape(x)[0]], seed, alpha=alpha)
    share = tf.math.divide_no_nan(draws[0], draws[0] + draws[1])  # Beta(α, α); two zeros, of a tiny α, leave the image alone
    own = tf.maximum(share, 1.0 - share)

    def mix(values: tf.Tensor) -> tf.Tensor:
        part = tf.reshape(own, tf.concat([[-1], tf.ones(tf.rank(values) - 1, tf.int32)], axis=0))
        return part * values + (1.0 - part) * tf.reverse(values, [0])

    return tf.ensure_shape(mix(x), x.shape), tf.ensure_shape(mix(y), y.shape)


def evaluation_dataset(
    images: np.ndarray,
    examples: Examples,
    *,
    batch_size: int,
    augmentation: Augmentation | None = None,
    appearance: Appearance | None = None,
    seed: int = 0,
) -> tf.data.Dataset:
    """Make one pass over the examples in their order.

    Originals are shown unchanged (their centre, if the augmentation crops), copies as the training shows them: this is how
    features of an expanded training part are computed.

    Args:
        images: as in `training_dataset`.
        examples: what to show.
        batch_size: images a batch; the last one may be smaller.
        augmentation: the training's, needed for its crop and for copies.
        appearance: a change of look that every image gets, the same in every pass: so a validation part comes to resemble images of
            elsewhere. None leaves it out.
        seed: of the run, needed for copies and for the look.

    Returns:
        Finite dataset of x float32 (b, h, w, 1) in [0, 255] and y float32 (b, k).

    Raises:
        ValueError: copies without an augmentation, or copies of a class that changes in each epoch and so has no fixed picture.
    """
    if augmentation is not None:
        moving = np.isin(examples.columns, augmentation.each_epoch) & (examples.copies > 0)
        if moving.any():
            raise ValueError(
                f"{int(moving.sum())} augmented copies belong to classes that change in each epoch, so they have no fixed "
                "picture to evaluate: expand the class, or augment it in each epoch, not both"
            )
        crop = None if augmentation.crop is None else replace(augmentation.crop, at_random=False)
        augmentation = replace(augmentation, each_epoch=(), crop=crop)
    order = tf.data.Dataset.range(len(examples)).batch(batch_size)
    batches = order.map(lambda indices: (indices, tf.constant(0, tf.int64)))
    gathered = _gather(batches, images, examples, seed=seed, augmentation=augmentation, appearance_of_all=appearance)
    return gathered.prefetch(_PREFETCH)


def _gather(
    batches: tf.data.Dataset,
    images: np.ndarray,
    examples: Examples,
    *,
    seed: int,
    augmentation: Augmentation | None,
    appearance_of_all: Appearance | None = None,
) -> tf.data.Dataset:
    """Turn a dataset of (indices, epoch) into one of (x, y)."""
    if augmentation is None and examples.copies.any():
        raise ValueError("these examples hold augmented copies, but no augmentation says how the copies differ")
    shape, kind = images.shape[1:], tf.as_dtype(images.dtype)
    num_classes = examples.targets.shape[1]
    columns = examples.columns

    def read(indices: np.ndarray, epoch: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        pixels = images[examples.rows[indices]]
        keys, copies = examples.keys[indices], examples.copies[indices]
        if appearance_of_all is not None:
            uniform = draw_uniform(seed + _LOOK_OF_ALL, keys, copies, np.zeros_like(keys), count=DRAWS)
            pixels = change_appearance(pixels, appearance_of_all, uniform, np.ones(len(indices), bool))
        if augmentation is None:
            return pixels, examples.targets[indices], np.zeros((0, 8), np.float32)
        each_epoch = np.isin(columns[indices], augmentation.each_epoch)
        epochs = np.where(each_epoch, int(epoch) + 1, 0)
        changed = each_epoch | (copies > 0)
        if augmentation.appearance is not None:
            uniform = draw_uniform(seed + _LOOK, keys, copies, epochs, count=DRAWS)
            pixels = change_appearance(pixels, augmentation.appearance, uniform, changed)
        uniform = draw_uniform(seed, keys, copies, epochs)
        centred = augmentation.crop is None or not augmentation.crop.at_random
        if not centred:
            # The window moves in every epoch, also where the rest of the picture is fixed.
            uniform[:, 5:7] = draw_uniform(seed + _WINDOW, keys, copies, np.full_like(keys, int(epoch) + 1), count=2)
        transforms = draw_transforms(augmentation, uniform, changed, height=shape[0], width=shape[1], centred=centred)
        return pixels, examples.targets[indices], transforms

    def load(indices: tf.Tensor, epoch: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        x, y, transforms = tf.numpy_function(read, [indices, epoch], [kind, tf.float32, tf.float32])
        x = tf.ensure_shape(x, (None, *shape))
        return x, tf.ensure_shape(y, (None, num_classes)), tf.ensure_shape(transforms, (None, 8))

    def change(x: tf.Tensor, y: tf.Tensor, transforms: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        x = tf.cast(x, tf.float32)
        if augmentation is None:
            return x, y
        fill_mode = (augmentation.affine or Affine()).fill_mode
        x = transform_images(x, transforms, augmentation.output_shape(*shape[:2]), fill_mode=fill_mode)
        return x, y

    loaded = batches.map(load)
    return loaded.map(change, num_parallel_calls=default_workers(), deterministic=True)
