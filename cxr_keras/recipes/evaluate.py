"""`cxr evaluate`: scores of anyone's predictions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cxr_keras.evaluation.predictions import read_predictions
from cxr_keras.evaluation.scores import score_predictions
from cxr_keras.recipes.histories import read_histories
from cxr_keras.reporting.figures import save_run_figures
from cxr_keras.reporting.tables import markdown_report, scores_text
from cxr_keras.runs.files import write_json, write_text


def evaluate(predictions_path: Path, *, folder: Path, draws: int = 2000, seed: int = 0) -> dict[str, Any]:
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
    predictions, classes = read_predictions(predictions_path)
    scores = score_predictions(predictions, draws=draws, seed=seed, classes=classes)
    write_json(folder / "metrics.json", scores)
    write_text(folder / "summary.md", markdown_report(scores))
    histories = read_histories(predictions_path.parent)
    save_run_figures(folder / "figures", predictions=predictions, classes=classes, histories=histories, title=predictions_path.stem)
    print(scores_text(scores))
    print(f"Written to {folder}: metrics.json, summary.md, figures/")
    return scores
