"""The config's data settings as the arguments of cache and pipeline."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from cxr_keras.config.schema import RunConfig
from cxr_keras.data.appearance import Appearance
from cxr_keras.data.augment import Affine, Augmentation, RandomCrop
from cxr_keras.data.cache import PixelCache, open_pixel_cache
from cxr_keras.data.examples import Examples, expand_classes
from cxr_keras.data.pipeline import evaluation_dataset, steps_per_epoch, training_dataset
from cxr_keras.pixels.decode import DecodeSettings
from cxr_keras.training.fit import TrainingData


def cache_folder() -> Path:
    """Where decoded pixels lie: `CXR_CACHE`, else `cxr_keras` in the user's cache folder."""
    if given := os.environ.get("CXR_CACHE"):
        return Path(given).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "cxr_keras"


def decode_settings(config: RunConfig) -> DecodeSettings:
    """How the config's files become pixels, at the size that is stored."""
    height, width = config.data.stored_size or config.data.image_size
    return DecodeSettings(height=height, width=width, resize=config.data.resize, clahe=config.data.clahe)


def open_cache(manifest: pd.DataFrame, config: RunConfig, *, show_progress: bool) -> PixelCache:
    """Open (or fill) the pixel cache for these images at the config's size."""
    return open_pixel_cache(manifest, decode_settings(config), cache_dir=cache_folder() / "pixels", show_progress=show_progress)


def expanded(examples: Examples, config: RunConfig, classes: tuple[str, ...]) -> Examples:
    """The training examples, with augmented copies where the config expands classes."""
    settings = config.augmentation
    if settings.mode != "copies":
        return examples
    return expand_classes(examples, columns=augmented_columns(config, classes), to=settings.expand_to, seed=config.seed)


def augmented_columns(config: RunConfig, classes: tuple[str, ...]) -> list[int]:
    """Columns of the classes that the config varies.

    Raises:
        ValueError: a class is named that the images do not have.
    """
    chosen = classes if config.augmentation.classes == "all" else config.augmentation.classes
    if unknown := sorted(set(chosen) - set(classes)):
        raise ValueError(f"augmentation.classes names {', '.join(unknown)}; the classes here are {', '.join(classes)}.")
    return [classes.index(name) for name in chosen]


def augmentation_of(config: RunConfig, classes: tuple[str, ...]) -> Augmentation | None:
    """What is varied in training images; `None` for nothing."""
    settings = config.augmentation
    appearance = settings.appearance.made()
    if not settings.affine and not appearance.changes and not settings.random_crop and config.data.stored_size is None:
        return None
    affine = Affine(
        rotation_degrees=settings.rotation_degrees,
        zoom=settings.zoom,
        shift=settings.shift,
        horizontal_flip=settings.horizontal_flip,
        aspect=settings.aspect,
    )
    varied = tuple(augmented_columns(config, classes)) if settings.mode == "each_epoch" else ()
    return Augmentation(
        affine=affine if settings.affine else None,
        appearance=appearance if appearance.changes else None,
        crop=_crop(config),
        each_epoch=varied,
    )


def _crop(config: RunConfig) -> RandomCrop | None:
    """The window that training cuts at random and evaluation at the centre; `None` where images are stored at their final size."""
    return RandomCrop(*config.data.image_size, at_random=config.augmentation.random_crop) if config.data.stored_size else None


def batches_in_order(images: np.ndarray, examples: Examples, config: RunConfig, *, appearance: Appearance | None = None) -> object:
    """One pass over examples in their order, unvaried but for `appearance`, for validation and prediction."""
    crop = _crop(config)
    augmentation = Augmentation(crop=crop) if crop else None
    return evaluation_dataset(
        images,
        examples,
        batch_size=config.evaluation.batch_size,
        augmentation=augmentation,
        appearance=appearance,
        seed=config.seed_of_splits,
    )


def look_of(part: str, config: RunConfig) -> Appearance | None:
    """The change of look that the images of a part get when they are scored; only validation images may have one."""
    look = config.evaluation.validation_appearance
    return look.made() if look is not None and part == "validation" else None


def training_data(
    images: np.ndarray,
    training: Examples,
    validation: Examples | None,
    *,
    config: RunConfig,
    fold: int,
    classes: tuple[str, ...],
    weights: np.ndarray | None,
    jit: bool,
) -> TrainingData:
    """The batches of one fold.

    Args:
        images: the pixel cache's images.
        training: what is trained on.
        validation: what each epoch is scored on, if anything.
        config: batch size, augmentation, seed.
        fold: number of the fold.
        classes: class names in the order of the outputs.
        weights: class weights, float32 (classes,), or `None`.
        jit: under XLA every batch has the same size, because another size would be compiled again; the last, smaller one is left out.
    """
    augmentation = augmentation_of(config, classes)
    batches, steps = batch_stream(images, training, augmentation, config=config, fold=fold, weights=weights, drop_remainder=jit)
    shown = None if validation is None else batches_in_order(images, validation, config, appearance=look_of("validation", config))
    return TrainingData(batches, steps, shown)


def batch_stream(
    images: np.ndarray,
    training: Examples,
    augmentation: Augmentation | None,
    *,
    config: RunConfig,
    fold: int,
    weights: np.ndarray | None,
    drop_remainder: bool,
) -> tuple[Callable[[int], object], int]:
    """Give the training batches of one fold as a function of the first epoch, and how many of them make an epoch.

    Args:
        images: pixels, or what a base made of them, see `training_dataset`.
        training: what is trained on.
        augmentation: how pictures are varied, if at all.
        config: batch size and seed, which decide the order together with `fold`.
        fold: number of the fold.
        weights: class weights, float32 (classes,), or `None`.
        drop_remainder: whether a smaller last batch is left out.
    """
    size = min(config.data.batch_size, len(training))

    def batches(first_epoch: int) -> object:
        return training_dataset(
            images,
            training,
            batch_size=size,
            seed=config.seed,
            fold=fold,
            first_epoch=first_epoch,
            augmentation=augmentation,
            mixup=config.augmentation.mixup,
            class_weights=weights,
            drop_remainder=drop_remainder,
        )

    return batches, steps_per_epoch(len(training), size, drop_remainder=drop_remainder)
