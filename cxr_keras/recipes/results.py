"""Predictions to results: scores, tables and figures, the same for a run and for anyone's predictions."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from cxr_keras.evaluation import class_names, score_predictions
from cxr_keras.evaluation.calibration import calibration
from cxr_keras.evaluation.subgroups import attributes_of, score_subgroups
from cxr_keras.evaluation.thresholds import operating_points
from cxr_keras.reporting import (
    all_tables,
    calibration_figure,
    confusion_matrix_figure,
    learning_curves_figure,
    precision_recall_figure,
    render_markdown,
    render_text,
    roc_figure,
    save_figure,
    score_histograms_figure,
    thresholds_figure,
)
from cxr_keras.runs.files import write_csv, write_json, write_text

CALIBRATED_FILE = "calibrated_predictions.csv"
"""Predictions after temperature scaling, each row by a temperature that was fitted on others."""

_NOT_ALWAYS = ("calibration", "thresholds", "learning_curves")
"""Figures that depend on what is known of the predictions."""


def write_results(
    predictions: pd.DataFrame,
    folder: Path,
    *,
    name: str,
    provenance: Mapping[str, Any],
    histories_in: Path | None,
    draws: int,
    seed: int,
    further: Mapping[str, Any],
    manifest: pd.DataFrame | None = None,
    scored: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Score predictions and write `metrics.json`, `summary.md` and `figures/` (PNG and SVG) into `folder`.

    Figures that an earlier call left there and this one does not draw are removed.

    Args:
        predictions: a checked predictions table.
        folder: where the results go.
        name: what tables and figures call it; figures in a folder `seed-<n>` name the seed too.
        provenance: what the headline row says of data, pixels, epochs, seeds, weights and conditions.
        histories_in: a run or fold directory; learning curves are drawn where `history.csv` files lie in it. None draws none.
        draws: bootstrap draws.
        seed: their seed.
        further: what goes beside the scores: `operating_points` and `calibration` from `score_fitted`, `by_model`.
        manifest: rows of all predicted images; subgroups are scored where it knows source, view, sex or age.
        scored: what `score_predictions` gave for these predictions, draws and seed, if it was called before.

    Returns:
        The scores with their provenance, as in `metrics.json`.
    """
    scored = score_predictions(predictions, draws=draws, seed=seed) if scored is None else scored
    scores = dict(scored) | {"provenance": dict(provenance), **further}
    if manifest is not None:
        points = further.get("operating_points") or ()
        scores["subgroups"] = score_subgroups(predictions, attributes_of(manifest), points=points, draws=draws, seed=seed)
    write_json(folder / "metrics.json", scores)
    tables = all_tables(scores, provenance=provenance, name=name)
    write_text(folder / "summary.md", f"# {name}\n\n{render_markdown(tables)}")
    title = f"{name}, {folder.name.replace('-', ' ')}" if re.fullmatch(r"seed-\d+", folder.name) else name
    figures = figures_of(predictions, scores, name=title)
    if histories_in is not None and (histories := read_histories(histories_in)):
        figures["learning_curves"] = learning_curves_figure(
            histories, title=f"{title}: learning curves", scored_part=scored_part(histories_in)
        )
    for figure_name, figure in figures.items():
        save_figure(figure, folder / "figures" / f"{figure_name}.png", svg=True)
    for figure_name in set(_NOT_ALWAYS) - set(figures):
        for suffix in ("png", "svg"):
            (folder / "figures" / f"{figure_name}.{suffix}").unlink(missing_ok=True)
    print(render_text(tables))
    return scores


def figures_of(predictions: pd.DataFrame, scores: Mapping[str, Any], *, name: str) -> dict[str, Figure]:
    """Draw what predictions and their scores show, each figure under the name of its file.

    Args:
        predictions: a checked predictions table.
        scores: as in `metrics.json`; figures of the operating points and of the calibration need theirs.
        name: begins every title.
    """
    classes = class_names(predictions)
    points = scores.get("operating_points")
    figures = {
        "confusion_matrix": confusion_matrix_figure(scores["confusion_matrix"], classes, title=f"{name}: confusion matrix"),
        "roc": roc_figure(predictions, classes, scores=scores, points=points, title=f"{name}: ROC"),
        "precision_recall": precision_recall_figure(
            predictions, classes, scores=scores, points=points, title=f"{name}: precision and recall"
        ),
        "probabilities": score_histograms_figure(predictions, classes, title=f"{name}: predicted probabilities"),
    }
    if scores.get("calibration"):
        figures["calibration"] = calibration_figure(scores["calibration"], title=f"{name}: calibration")
    if len(classes) == 2:
        figures["thresholds"] = thresholds_figure(predictions, classes, points=points, title=f"{name}: thresholds")
    return figures


def score_fitted(
    predictions: pd.DataFrame,
    validation: pd.DataFrame | None,
    folder: Path,
    *,
    target: float,
    prevalence: float | None,
    draws: int,
    seed: int,
    flaw: str = "",
) -> dict[str, Any]:
    """Fit thresholds and temperatures on the rows that may serve, score them on the others, and write `calibrated_predictions.csv`.

    Args:
        predictions: a checked predictions table; with several folds each is fitted on the others.
        validation: predictions of a validation part, for one fold.
        folder: where the calibrated predictions go, if there are any.
        target: sensitivity that the operating points of high sensitivity must reach.
        prevalence: share of sick among those who will be tested, for predictive values; `None` leaves them out.
        draws: bootstrap draws.
        seed: their seed.
        flaw: why the validation part is not like new images, from `cxr_keras.evaluation.fitting.flaw_of`.

    Returns:
        `operating_points` (None for more than two classes) and `calibration`, as they go into `metrics.json`.
    """
    points = operating_points(predictions, validation, target=target, prevalence=prevalence, flaw=flaw, draws=draws, seed=seed)
    found, calibrated = calibration(predictions, validation, flaw=flaw, draws=draws, seed=seed)
    write_calibrated(calibrated, folder)
    return {"operating_points": points, "calibration": found}


def write_calibrated(table: pd.DataFrame | None, folder: Path) -> None:
    """Write `calibrated_predictions.csv`; where there is none, one of an earlier call is removed."""
    if table is None:
        (folder / CALIBRATED_FILE).unlink(missing_ok=True)
    else:
        write_csv(folder / CALIBRATED_FILE, table)


def read_histories(folder: Path) -> list[tuple[str, pd.DataFrame]]:
    """Read the `history.csv` of a fold folder, or of every fold of a run directory.

    Returns:
        Name of the fold and its history, in the order of the names; empty where there is none.
    """
    own = [folder / "history.csv"] if (folder / "history.csv").exists() else []
    found = own or sorted([*folder.glob("fold-*/history.csv"), *folder.glob("split/history.csv")])
    return [(path.parent.name.replace("-", " "), pd.read_csv(path)) for path in found]


def scored_part(folder: Path) -> str:
    """Say which images the columns val_* of the histories are of: the validation part, or the test part where there is none."""
    parts = next((path for path in (folder / "parts.csv", *sorted(folder.glob("*/parts.csv"))) if path.exists()), None)
    if parts is None or "validation" in set(pd.read_csv(parts, usecols=["part"])["part"]):
        return "validation"
    return "test (nothing is chosen on it)"
