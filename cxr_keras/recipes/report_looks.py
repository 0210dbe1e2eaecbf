"""What a run's network looks at: the check of its maps and the audit of looks, as far as they were made, for its report."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from cxr_keras.evaluation.crossed import NOTABLE
from cxr_keras.recipes.explain_check_tables import trust_table
from cxr_keras.recipes.finished_runs import FinishedRun
from cxr_keras.reporting.audit import audit_table, changes_of, in_words
from cxr_keras.reporting.sections import Picture, Section
from cxr_keras.reporting.tables import Table
from cxr_keras.runs.files import read_json

AUDIT_FOLDER, AUDIT_FILE = "audit", "audit.json"
CHECK_NAME = "check"
TOLD_IN_REPORT = "; the next `cxr report RUN` tells it too"
CHECK_COMMAND = "`cxr explain RUN --check` tells whether maps follow what the network has learned"
AUDIT_COMMAND = "`cxr audit RUN` tells whether it reads sharpness, contrast or the shape of files"

Found = tuple[list[str], Table, Picture]
"""Sentences, a table and a picture."""


def looks_section(run: FinishedRun) -> Section:
    """Say what the check of the maps and the audit of looks found, and which of them was not made."""
    check, audit = _of_check(run.folder / "explanations" / CHECK_NAME), _of_audit(run.folder / AUDIT_FOLDER)
    missing = [what for what, found in ((CHECK_COMMAND, check), (AUDIT_COMMAND, audit)) if found is None]
    made = [found for found in (check, audit) if found is not None]
    return Section(
        "What the network looks at",
        points=tuple(point for points, _, _ in made for point in points),
        remarks=(f"Not tested yet: {' and '.join(missing)}.",) if missing else (),
        folded=tuple(table for _, table, _ in made),
        pictures=tuple(picture for _, _, picture in made),
        phantom=run.conditions.phantom,
    )


def _of_check(folder: Path) -> Found | None:
    settings_path = folder / "explanation.json"
    settings = read_json(settings_path) if settings_path.is_file() else {}
    if "verdict" not in settings:
        return None
    trust = pd.read_csv(folder / "trust.csv")
    height, width = settings["cells"]
    points = [f"Maps of {settings['images']:,} held-out images were checked.", *settings["verdict"]]
    picture = Picture("Deletion and insertion", (folder / "curves.svg").read_bytes(), "image/svg+xml")
    return points, trust_table(trust, masks="hit_rate" in trust, grid=(height, width)), picture


def _of_audit(folder: Path) -> Found | None:
    if not (folder / AUDIT_FILE).is_file():
        return None
    told = read_json(folder / AUDIT_FILE)
    picture = Picture("One class with another look", (folder / "audit.svg").read_bytes(), "image/svg+xml")
    return [f"Audit of looks. {in_words(changes_of(told['looks']), notable=NOTABLE)}"], audit_table(told, notable=NOTABLE), picture
