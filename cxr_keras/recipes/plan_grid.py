"""`cxr plan --grid`: what all cells of a grid will need, a row each and their total."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

import models_zoo
from cxr_keras.config.schema import RunConfig
from cxr_keras.recipes.fold import prepare_backend
from cxr_keras.recipes.grid import MODELS, PAPER_STRATEGIES, cells_of
from cxr_keras.recipes.plan import NOTE, Timings, duration, images_to_plan, needs_of, peak_memory, sizes_of, time_job
from cxr_keras.recipes.weights import model_of
from cxr_keras.reporting.tables import Table, render_text


def plan_grid(config: RunConfig, *, models: Sequence[str] = MODELS, strategies: Sequence[str] = PAPER_STRATEGIES) -> dict[str, Any]:
    """Print what the cells of `cxr cv --grid` need. What two cells of a model have in common is timed once.

    Args:
        config: shared settings, as for `run_grid`.
        models: names of architectures.
        strategies: names of strategies.

    Returns:
        `cells`, by "<model>_<strategy>" as `plan_run` gives them, and of all together `seconds`, `pixel_cache_bytes`, `model_bytes` and
        `peak_memory_bytes`.

    Raises:
        ValueError: unknown or repeated names, no images, or what a cell's run refuses, missing weights left aside.
    """
    cells = cells_of(config, models=models, strategies=strategies, weights_needed=False)
    print(f"Plan of `cxr cv --grid`, {len(cells)} runs. Images are listed and hashed first.", flush=True)
    answers: dict[str, dict[str, Any]] = {}
    rows: list[tuple[str, ...]] = []
    timings: Timings = {}
    for name in models:
        keras.backend.clear_session()
        network = None
        for strategy in strategies:
            cell = cells[name, strategy]
            if not answers:  # all cells have the same images and folds
                manifest, classes = images_to_plan(cell, "cv")
                sizes = sizes_of(cell, manifest, classes, verb="cv")
            if network is None:  # strategies differ in dropout alone, which has no weights
                prepare_backend(cell, 0)
                network = models_zoo.build(name, cell.data.image_size, len(classes), **model_of(cell).params)
            for layer in network.layers:  # what the cell before froze; `network.trainable = True` does not reach layers frozen one by one
                layer.trainable = True
            answer = needs_of(cell, sizes, network, verb="cv")
            print(f"{name}, {strategy}: {answer['parameters']['all']:,} parameters, {answer['model_bytes'] / 1e6:,.0f} MB", flush=True)
            seconds, phases = time_job(cell, sizes, network, timings=timings)
            answer |= {"seconds_per_job": seconds, "seconds": seconds * answer["jobs"]}
            answers[cell.name] = answer
            steps = ", ".join(f"{phase[0]} {phase[2]} ({phase[3]} timed)" for phase in phases if phase[2])
            disk = f"{answer['model_bytes'] / 1e6:,.0f} MB"
            trainable = f"{answer['parameters']['trainable']:,}"
            rows.append((f"{name}, {strategy}", trainable, steps, duration(seconds), duration(answer["seconds"]), disk))
    total = {key: sum(answer[key] for answer in answers.values()) for key in ("seconds", "model_bytes")}
    total |= {"pixel_cache_bytes": max(answer["pixel_cache_bytes"] for answer in answers.values()), "peak_memory_bytes": peak_memory()}
    rows.append((f"all {len(cells)} runs", "", "", "", duration(total["seconds"]), f"{total['model_bytes'] / 1e6:,.0f} MB"))
    jobs = next(iter(answers.values()))["jobs"]
    note = (
        f"{jobs} jobs a run, one after another; times are at the most epochs. Besides the models "
        f"{total['pixel_cache_bytes'] / 1e6:,.0f} MB of disk for the pixel cache, shared by all. "
        f"{total['peak_memory_bytes'] / 1e9:.1f} GB of memory at the peak of the steps timed here. {NOTE}"
    )
    header = ("model, strategy", "trainable parameters", "a step", "a job", "all jobs", "models")
    print(render_text([Table("Plan of the grid", header, tuple(rows), note=note)]), end="")
    return {"cells": answers, **total}
