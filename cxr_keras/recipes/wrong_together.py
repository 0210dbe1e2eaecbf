"""What several finished runs miss together, as a table with the paths of the images and as a section of a comparison."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from cxr_keras.evaluation.paired import why_unpaired
from cxr_keras.evaluation.wrong_together import (
    NEEDS_CLEANLAB,
    describe_together,
    label_errors_can_be_found,
    likely_label_errors,
    missed_by_most,
)
from cxr_keras.recipes.finished_runs import FinishedRun
from cxr_keras.reporting.comparison import wrong_together_section
from cxr_keras.reporting.sections import Section

FILE = "wrong_together.csv"

COLUMNS = (
    *("image_id", "group_id", "label", "path", "models", "wrong", "p_label", "named_instead", "p_named"),
    *("likely_label_error", "phantom"),
)
"""Columns of the file."""


def wrong_together(runs: Sequence[FinishedRun]) -> tuple[pd.DataFrame, Section] | None:
    """Find images that most runs miss, and labels that look wrong.

    Args:
        runs: the first one decides on the images; runs of other images are left out.

    Returns:
        A row an image that most runs miss or whose label looks wrong, the most missed first, with the columns `COLUMNS`; and a section
        that shows the first of them. `None` where fewer than two runs are of the same images.
    """
    first = runs[0]
    members = [run for run in runs if run is first or not why_unpaired(first.predictions, run.predictions)]
    if len(members) < 2:
        return None
    tables = {run.name: run.predictions for run in members}
    described = describe_together(tables)
    why_not = _why_no_label_errors(first)
    described["likely_label_error"] = "not looked for"
    if not why_not:
        doubtful = described["image_id"].isin(likely_label_errors(tables)["image_id"])
        described["likely_label_error"] = doubtful.map({True: "yes", False: "no"})
    counts = described["wrong"].value_counts()
    kept = described[missed_by_most(described) | (described["likely_label_error"] == "yes")]
    kept = kept.sort_values(["wrong", "p_label", "image_id"], ascending=[False, True, True])
    kept = kept.assign(path=kept["image_id"].map(_paths(first)), phantom=first.conditions.phantom)[list(COLUMNS)]
    section = wrong_together_section(
        [{str(name): value for name, value in row.items()} for row in kept.to_dict("records")],
        runs=list(tables),
        images_by_wrong=[int(counts.get(number, 0)) for number in range(len(tables) + 1)],
        why_no_label_errors=why_not,
        phantom=first.conditions.phantom,
    )
    return kept, section


def _why_no_label_errors(run: FinishedRun) -> str:
    if run.predictions["fold"].nunique() < 2:
        # On a test folder of another look every sure mistake would pass for a wrong label: 114 of 624 for two runs of cnn_94.
        return "Likely label errors were not looked for: that takes out-of-fold predictions, of `cxr cv`."
    if not label_errors_can_be_found():
        return NEEDS_CLEANLAB
    if absent := sorted(set(run.conditions.classes) - set(run.predictions["label"])):
        return f"Likely label errors were not looked for, because no image is labelled {', '.join(absent)}."
    return ""


def _paths(run: FinishedRun) -> dict[str, str]:
    """Path of each image as the run's manifest has it; empty where the run keeps none."""
    path = run.folder / "manifest.csv"
    if not path.exists():
        return {}
    table = pd.read_csv(path, dtype=str, keep_default_na=False, usecols=lambda name: name in ("image_id", "path"))
    return dict(zip(table["image_id"], table["path"], strict=True)) if "path" in table else {}
