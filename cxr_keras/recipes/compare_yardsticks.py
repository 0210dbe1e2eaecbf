"""Figures of others on the official test folder, under those of runs that were scored on the same images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cxr_keras.papers import yardsticks
from cxr_keras.recipes.finished_runs import FinishedRun
from cxr_keras.reporting.comparison import yardsticks_section
from cxr_keras.reporting.sections import Section
from cxr_keras.reporting.tables import format_value

SOURCE = "kermany"


def beside_yardsticks(runs: Sequence[FinishedRun]) -> tuple[list[dict[str, Any]], Section] | None:
    """Rows and section for the runs that were scored on those very images; `None` where there is none."""
    scored = [run for run in runs if _on_these_images(run)]
    if not scored:
        return None
    texts = [
        {"who": run.name, "weights": run.provenance.get("weights", "")}
        | {score: format_value(run.scores["scores"][score]) for score in ("accuracy", "auroc")}
        for run in scored
    ]
    rows = []
    for row in yardsticks().rows:
        texts.append({"who": row.who, "weights": row.weights, "accuracy": row.accuracy, "auroc": row.auroc})
        for score in ("accuracy", "auroc"):
            if printed := getattr(row, score):
                shared = {"kind": "yardstick", "run": row.who, "score": score, "weights": row.weights, "n": yardsticks().images}
                rows.append(shared | {"paper": float(printed), "paper_printed": printed, "paper_shown": printed, "phantom": False})
    return rows, yardsticks_section(texts, description=yardsticks().description)


def _on_these_images(run: FinishedRun) -> bool:
    told = run.conditions
    return (
        told.part == "official"
        and set(told.classes) == set(yardsticks().classes)
        and set(told.sources) == {SOURCE}
        and not told.permuted_labels
        and run.scores["n_images"] == yardsticks().images
    )
