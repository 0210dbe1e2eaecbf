"""`cxr plan` of a classifier on stored features: what extraction, memory and disk will take."""

from __future__ import annotations

import math
import sys
from typing import Any

from cxr_keras.config.schema import RunConfig
from cxr_keras.data.labels import class_order
from cxr_keras.features.engines import open_engine
from cxr_keras.features.extract import BATCH_SIZE, layer_model
from cxr_keras.features.gram import bytes_needed
from cxr_keras.recipes.classifier import check_classifier
from cxr_keras.recipes.classifier_fold import search_settings
from cxr_keras.recipes.data import manifest_of
from cxr_keras.recipes.fixed_network import build_up_to
from cxr_keras.recipes.plan import FLOAT_BYTES, Verb, begin_plan, duration, sizes_of
from cxr_keras.recipes.weights import check_model
from cxr_keras.reporting.tables import Table, render_text
from cxr_keras.runs.memory import free_memory
from cxr_keras.training.measure import LONG_STEP, STEPS, time_prediction

NOTE = (
    f"Extraction was timed on noise just now, {STEPS} batches, fewer where one takes more than {LONG_STEP:.0f} s; a busy "
    "machine is slower, and images that an earlier run extracted cost nothing. The grid search is not timed: it grows with "
    "the square of the training images and, at large C, with the steps that lbfgs needs."
)


def plan_classifier(config: RunConfig, *, verb: Verb | None = None) -> dict[str, Any]:
    """Print what a classifier on stored features needs; nothing is written but what phantoms need.

    Args:
        config: all settings, with a classifier and the images.
        verb: "cv" or "train"; by default the one that the config's split is made for.

    Returns:
        What is printed: images, numbers an image, fits, memory and disk in bytes, seconds of the extraction.

    Raises:
        ValueError: the config names no images, or cannot be run.
    """
    assert config.classifier is not None
    verb = begin_plan(config, verb)
    jobs = config.cross_validation.folds if verb == "cv" else 1
    unweighted = config.model.model_copy(update={"weights": None})
    check_model(unweighted, image_size=config.data.image_size, folds=range(jobs))
    check_classifier(config)
    manifest = manifest_of(config.data, seed=config.seed_of_splits)
    sizes = sizes_of(config, manifest, class_order(manifest["label"]), verb=verb)
    settings = search_settings(config)
    # Without the weights: they change nothing of this, and need not be here yet.
    network = layer_model(build_up_to(config, layer=config.classifier.layer, weights=None), config.classifier.layer)
    columns = math.prod(network.outputs[0].shape[1:])
    forward = open_engine(network, config.classifier.engine, precision=config.training.precision, batch_size=BATCH_SIZE)
    print(f"timing: {config.model.name}, prediction, {BATCH_SIZE} images at a time", file=sys.stderr, flush=True)
    each = time_prediction(forward, network.inputs[0].shape[1:], batch_size=BATCH_SIZE).seconds
    # A base for each fold makes the features of all images anew, and random weights are drawn by the seed.
    own_for_each_fold = "{fold}" in (config.model.weights or "")
    bases = jobs if own_for_each_fold else len(config.seeds) or 1 if config.model.weights is None else 1
    stored_size = config.data.stored_size or config.data.image_size
    fits = (len(settings.values) * settings.folds + 1) * jobs * max(len(config.seeds), 1)
    answer = {
        "images": {"training": sizes.training, "validation": sizes.validation, "test": sizes.test},
        "features": columns,
        "fits": fits,
        "parameters": {"trainable": 0, "all": network.count_params()},
        "memory_bytes": bytes_needed(len(manifest), columns, on_products=settings.kind.on_products),
        "pixel_cache_bytes": sizes.decoded * math.prod(stored_size),
        "feature_store_bytes": bases * sizes.decoded * columns * FLOAT_BYTES,
        "seconds": bases * sizes.decoded * each,
    }
    row = {
        "config": f"cxr {verb} {config.name}",
        "jobs": f"{jobs} after one that extracts" if not own_for_each_fold else f"{jobs}, each after one that extracts",
        "training images": f"{sizes.training:,}",
        "scored at the end": f"{sizes.validation:,} to choose thresholds, {sizes.test:,} test",
        "network": f"{network.count_params():,} parameters, all fixed; {columns:,} numbers an image",
        "classifier": f"{settings.classifier.replace('_', ' ')}, {fits:,} fits in all",
        "memory": f"{answer['memory_bytes'] / 1e9:.1f} GB for reduction and search, {free_memory() / 1e9:.1f} GB are free",
        "disk": f"{answer['pixel_cache_bytes'] / 1e6:,.0f} MB pixel cache, {answer['feature_store_bytes'] / 1e6:,.0f} MB features",
        "time": f"at most {duration(answer['seconds'])} of extraction, {1 / each:.1f} images/s; then the grid search",
    }
    print(render_text([Table("Plan", tuple(row), (tuple(row.values()),), note=NOTE)]), end="")
    return answer
