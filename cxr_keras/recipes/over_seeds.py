"""What several seeds of one recipe come to: mean and spread of every score, and the ensemble."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from cxr_keras.evaluation import class_names
from cxr_keras.evaluation.predictions import probability_columns
from cxr_keras.reporting.tables import Table, format_value, label_of

SUMMARY, ENSEMBLE_FILE = "seeds.json", "ensemble_predictions.csv"


def ensemble_provenance(of_seeds: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """What a line of results says of an ensemble: what all seeds share, and their numbers; how long each took stands in its own line."""
    shared = {key: text for key, text in of_seeds[0].items() if key != "training"}
    return shared | {"seeds": ", ".join(told["seeds"] for told in of_seeds)}


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
        rows.append((label_of(name), *row, mean, *((format_value(ensemble[name]),) if ensemble else ())))
    return Table("Over seeds", header, tuple(rows), note="Intervals: drawing patients again. Spread over seeds: training again.")
