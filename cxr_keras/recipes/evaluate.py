"""`cxr evaluate`: scores of anyone's predictions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cxr_keras.evaluation import class_names, read_predictions
from cxr_keras.evaluation.thresholds import SENSITIVITY
from cxr_keras.recipes.results import score_fitted, write_results


def evaluate(
    predictions_path: str | Path,
    *,
    folder: str | Path,
    validation_path: str | Path | None = None,
    target_sensitivity: float = SENSITIVITY,
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
        target_sensitivity: what the operating points of high sensitivity must reach.
        prevalence: share of sick among those who will be tested, for predictive values.
        draws: bootstrap draws.
        seed: seed of the draws.

    Returns:
        The scores.

    Raises:
        ValueError: a table has faults, all listed; the two tables share images or patients; a share is not between 0 and 1.
    """
    predictions_path, folder = Path(predictions_path), Path(folder)
    predictions = read_predictions(predictions_path)
    validation = None if validation_path is None else read_predictions(validation_path, classes=class_names(predictions))
    fitted = score_fitted(predictions, validation, folder, target=target_sensitivity, prevalence=prevalence, draws=draws, seed=seed)
    scores = write_results(
        predictions,
        folder,
        name=predictions_path.stem,
        provenance={"data": str(predictions_path)},
        histories_in=predictions_path.parent,
        draws=draws,
        seed=seed,
        further=fitted,
    )
    print(f"Written to {folder}: metrics.json, summary.md, figures/")
    return scores
