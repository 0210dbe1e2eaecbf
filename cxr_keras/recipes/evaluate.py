"""`cxr evaluate`: scores of anyone's predictions."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pandas as pd

from cxr_keras.evaluation import class_names, read_predictions
from cxr_keras.evaluation.calls import check_prevalence, refuse_idle_prevalence
from cxr_keras.evaluation.thresholds import SENSITIVITY
from cxr_keras.recipes.results import read_histories, score_fitted, write_results
from cxr_keras.reporting.figures import HISTORY_COLUMNS
from cxr_keras.runs.directory import refuse_file


def evaluate(
    predictions_path: str | Path,
    *,
    folder: str | Path,
    validation_path: str | Path | None = None,
    target_sensitivity: float | None = None,
    prevalence: float | None = None,
    draws: int = 2000,
    seed: int = 0,
) -> dict[str, Any]:
    """Score a predictions table, print it and write `metrics.json`, `summary.md` and the figures.

    Args:
        predictions_path: a CSV file, see `cxr_keras.evaluation.predictions`; learning curves are drawn too where the `history.csv`
            files of a run lie beside it.
        folder: where the results go.
        validation_path: predictions of a validation part, for a table of one fold; thresholds and a temperature are fitted on it. It
            must have served for nothing else, such as choosing the epoch, or nothing is guaranteed. A table of several folds needs none.
        target_sensitivity: what the operating points of high sensitivity must reach; by default 0.95.
        prevalence: share of sick among those who will be tested, for predictive values.
        draws: bootstrap draws.
        seed: seed of the draws.

    Returns:
        The scores.

    Raises:
        ValueError: a table has faults, all listed; the two tables share images or patients; a share is not between 0 and 1; a prevalence is
            given for more than two classes, or a target where no threshold can be chosen; or the folder is a file.
    """
    check_prevalence(prevalence)
    predictions_path, folder = Path(predictions_path), Path(folder)
    refuse_file(folder, option="--out")
    predictions = read_predictions(predictions_path)
    refuse_idle_prevalence(prevalence, class_names(predictions))
    if target_sensitivity is not None:
        _refuse_idle_target(predictions, validated=validation_path is not None)
    validation = None if validation_path is None else read_predictions(validation_path, classes=class_names(predictions))
    target = SENSITIVITY if target_sensitivity is None else target_sensitivity
    fitted = score_fitted(predictions, validation, folder, target=target, prevalence=prevalence, draws=draws, seed=seed)
    scores = write_results(
        predictions,
        folder,
        name=predictions_path.stem,
        provenance={"data": str(predictions_path)},
        histories_in=_histories_beside(predictions_path),
        draws=draws,
        seed=seed,
        further=fitted,
    )
    print(f"Written to {folder}: metrics.json, summary.md, figures/")
    return scores


def _histories_beside(predictions_path: Path) -> Path | None:
    """The folder of the predictions, whose learning curves are drawn; None, and a line that says so, where its history is no run's."""
    folder = predictions_path.parent
    try:
        histories = read_histories(folder)
    except (pd.errors.EmptyDataError, pd.errors.ParserError, UnicodeDecodeError) as error:
        print(f"{folder}: no learning curves, as a history.csv there is no table ({error})", file=sys.stderr)
        return None
    for name, history in histories:
        if missing := [column for column in HISTORY_COLUMNS if column not in history]:
            print(f"{folder}: no learning curves, as the history.csv ({name}) lacks {', '.join(missing)} and is of no run", file=sys.stderr)
            return None
        if history.empty:
            print(f"{folder}: no learning curves, as the history.csv ({name}) holds no epochs", file=sys.stderr)
            return None
    return folder


def _refuse_idle_target(predictions: pd.DataFrame, *, validated: bool) -> None:
    """Raise ValueError where a target sensitivity would have no effect."""
    if len(class_names(predictions)) != 2:
        raise ValueError(f"a target sensitivity is of two classes; these predictions are of {', '.join(class_names(predictions))}.")
    if not validated and predictions["fold"].nunique() < 2:
        raise ValueError(
            "a threshold for the target sensitivity needs rows that it is not scored on: give --validation PREDICTIONS.csv, or predictions "
            "of several folds."
        )
