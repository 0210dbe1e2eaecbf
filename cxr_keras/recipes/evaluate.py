"""`cxr evaluate`: scores of anyone's predictions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cxr_keras.evaluation import read_predictions
from cxr_keras.evaluation.thresholds import operating_points
from cxr_keras.recipes.results import write_results


def evaluate(predictions_path: str | Path, *, folder: str | Path, draws: int = 2000, seed: int = 0) -> dict[str, Any]:
    """Score a predictions table, print it and write `metrics.json`, `summary.md` and the figures.

    Args:
        predictions_path: a CSV file, see `cxr_keras.evaluation.predictions`; learning curves are drawn too where the `history.csv`
            files of a run lie beside it.
        folder: where the results go.
        draws: bootstrap draws.
        seed: seed of the draws.

    Returns:
        The scores.

    Raises:
        ValueError: the table has faults; all are listed.
    """
    predictions_path, folder = Path(predictions_path), Path(folder)
    predictions = read_predictions(predictions_path)
    scores = write_results(
        predictions,
        folder,
        name=predictions_path.stem,
        provenance={"data": str(predictions_path)},
        histories_in=predictions_path.parent,
        draws=draws,
        seed=seed,
        further={"operating_points": operating_points(predictions, draws=draws, seed=seed)},
    )
    print(f"Written to {folder}: metrics.json, summary.md, figures/")
    return scores
