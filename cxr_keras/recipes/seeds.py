"""One run a seed, then all of them side by side: each seed's scores, their mean and spread, and the ensemble."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from cxr_keras.config.schema import RunConfig
from cxr_keras.evaluation import class_names, read_predictions, score_predictions
from cxr_keras.evaluation.predictions import probability_columns
from cxr_keras.recipes.readings import ledger_of
from cxr_keras.recipes.tracking import with_store_of
from cxr_keras.reporting.tables import Table, format_value, headline_table, render_markdown, render_text
from cxr_keras.runs.files import read_json, write_csv, write_json, write_text

SUMMARY = "seeds.json"


def run_seeds(recipe: Callable[[RunConfig, Path], dict[str, Any]], config: RunConfig, folder: str | Path) -> dict[str, Any]:
    """Run a recipe once for each of `config.seeds`, in folders `seed-<n>`, and sum up; the same call continues.

    The seed draws splits and folds too, unless `config.split_seed` holds them still: then the spread is that of training alone.

    Args:
        recipe: `cross_validate` or `train`.
        config: settings with `seeds`.
        folder: the folder of all these runs.

    Returns:
        `seeds.json`: per seed and score the value with its interval, over seeds mean and sample standard deviation, and the scores of
        the ensemble where all seeds predicted the same images (else None).
    """
    folder = Path(folder)
    # One ledger for all of them, beside their common folder.
    ledger = str(ledger_of(config, folder))
    evaluation = config.evaluation.model_copy(update={"ledger": ledger})
    config = with_store_of(config, folder)
    runs = []
    for seed in config.seeds:
        one = config.model_copy(update={"seed": seed, "seeds": (), "evaluation": evaluation})
        recipe(one, folder / f"seed-{seed}")
        runs.append(folder / f"seed-{seed}")
    scores = [read_json(run / "metrics.json") for run in runs]
    ensemble = ensemble_predictions([read_predictions(run / "predictions.csv") for run in runs])
    ensemble_scores = None
    if ensemble is not None:
        write_csv(folder / "ensemble_predictions.csv", ensemble)
        ensemble_scores = score_predictions(ensemble, draws=config.evaluation.bootstrap_draws, seed=config.seeds[0])
    summary = {
        "seeds": {str(seed): found["scores"] for seed, found in zip(config.seeds, scores, strict=True)},
        "over_seeds": over_seeds([found["scores"] for found in scores]),
        "ensemble": None if ensemble_scores is None else ensemble_scores["scores"],
    }
    write_json(folder / SUMMARY, summary)
    named = [(f"seed {seed}", found, found["provenance"]) for seed, found in zip(config.seeds, scores, strict=True)]
    if ensemble_scores is not None:
        joined = scores[0]["provenance"] | {"seeds": ", ".join(map(str, config.seeds))}
        named.append(("ensemble (mean probability)", ensemble_scores, joined))
    tables = [headline_table(named), seeds_table(config.seeds, summary)]
    write_text(folder / "summary.md", f"# {config.name}, {len(config.seeds)} seeds\n\n{render_markdown(tables)}")
    print(render_text(tables))
    print(f"Everything lies in {folder}")
    return summary


def ensemble_predictions(tables: Sequence[pd.DataFrame]) -> pd.DataFrame | None:
    """Mean probability of each image over several prediction tables.

    Every row is of a model that did not train on that image, so the mean is too; folds, which may differ from table to table, all
    become 0.

    Returns:
        A predictions table in the order of the first one, or None where the tables are not of the same images.
    """
    first = tables[0]
    columns = probability_columns(class_names(first))
    if any(set(table["image_id"]) != set(first["image_id"]) for table in tables[1:]):
        return None
    aligned = [table.set_index("image_id").loc[first["image_id"], columns].to_numpy() for table in tables]
    mean = first.assign(fold=0)
    mean[columns] = sum(aligned) / len(aligned)
    return mean


def over_seeds(scores: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, float | int | None]]:
    """Mean and sample standard deviation (n - 1) of each score over the seeds where it is defined, and how many those are."""
    summary: dict[str, dict[str, float | int | None]] = {}
    for name in scores[0]:
        values = [found[name]["value"] for found in scores if found[name]["value"] is not None]
        summary[name] = {
            "mean": statistics.fmean(values) if values else None,
            "standard_deviation": statistics.stdev(values) if len(values) > 1 else None,
            "defined": len(values),
        }
    return summary


def seeds_table(seeds: Sequence[int], summary: Mapping[str, Any]) -> Table:
    """Tabulate every score: each seed with its interval, mean ± standard deviation, and the ensemble."""
    ensemble = summary["ensemble"]
    header = ("score", *(f"seed {seed}" for seed in seeds), f"mean ± sd of {len(seeds)} seeds", *(("ensemble",) if ensemble else ()))
    rows = []
    for name, spread in summary["over_seeds"].items():
        mean = "n/a" if spread["mean"] is None else f"{spread['mean']:.3f}"
        if spread["standard_deviation"] is not None:
            mean += f" ± {spread['standard_deviation']:.3f}"
        row = [format_value(summary["seeds"][str(seed)][name]) for seed in seeds]
        rows.append((name.replace("_", " "), *row, mean, *((format_value(ensemble[name]),) if ensemble else ())))
    return Table("Over seeds", header, tuple(rows), note="Intervals: drawing patients again. Spread over seeds: training again.")
