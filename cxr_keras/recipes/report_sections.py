"""What a report says of one run, section by section in the order in which it is read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from cxr_keras.config.loader import read_config
from cxr_keras.data.groups import count_copies
from cxr_keras.data.labels import class_order
from cxr_keras.data.manifest import manifest_digest, read_manifest
from cxr_keras.recipes.classifier import grid_tables
from cxr_keras.recipes.compare import paper_sections
from cxr_keras.recipes.data import BAD_FILES
from cxr_keras.recipes.finished_runs import FinishedRun
from cxr_keras.recipes.report_looks import looks_section
from cxr_keras.recipes.report_mistakes import mistakes_section
from cxr_keras.recipes.report_summary import summary_section
from cxr_keras.recipes.weights import PARTS_FILE
from cxr_keras.reporting import all_tables
from cxr_keras.reporting.sections import Listing, Picture, Section
from cxr_keras.reporting.tables import Table
from cxr_keras.runs.directory import CONFIG_FILE
from cxr_keras.runs.files import file_sha256, read_json
from cxr_keras.runs.provenance import commits_of, starts_of

FIGURES = (
    ("roc", "ROC"),
    ("precision_recall", "Precision and recall"),
    ("confusion_matrix", "Confusion matrix"),
    ("thresholds", "Sensitivity and specificity against the threshold"),
    ("calibration", "Calibration"),
    ("probabilities", "Predicted probabilities"),
    ("learning_curves", "Learning curves"),
    ("grid", "Grid search"),
)
"""Files in a run's folder `figures`, in the order in which they are read."""

WIDE_FIGURES = ("learning_curves",)
"""Those that need the whole width of the page."""

PANEL_FIGURES = ("roc", "precision_recall", "confusion_matrix", "calibration", "probabilities")
"""Those that need it where the classes are more than two."""

LIMITS = (
    "The figures are of these images. Other hospitals, machines, ages and shares of sick patients give other figures; "
    "`cxr evaluate RUN --on MANIFEST` tells which.",
    "Intervals come from drawing the patients again. They do not hold what another seed, or other labels, would change.",
    "A map shows where a network's evidence lies, and neither why nor whether it is right.",
    "This is software for research. It is no medical device and no second reader.",
)


def run_sections(run: FinishedRun, *, mistakes: int) -> list[Section]:
    """Everything a report says of one run, in the order in which it is read."""
    manifest = read_manifest(run.folder / "manifest.csv")
    phantom = run.conditions.phantom
    tables = [*all_tables(run.scores, provenance=run.provenance, name=run.name), *grid_tables(run.folder)]
    sections = [
        summary_section(run, manifest),
        data_section(run, manifest),
        Section("Figures", pictures=tuple(stored_figures(run.folder / "figures", classes=len(run.scores["classes"]))), phantom=phantom),
        Section("Scores", tables=tuple(tables[1:]), phantom=phantom),
        mistakes_section(run, mistakes=mistakes),
        *([] if read_config(run.folder / CONFIG_FILE).classifier else [looks_section(run)]),
    ]
    return [*sections, *paper_sections(run), Section("Limits", points=LIMITS), origin_section(run, manifest, headline=tables[0])]


def data_section(run: FinishedRun, manifest: pd.DataFrame) -> Section:
    """Files read, left out and shared, and how many images and patients of each class lie in which part."""
    points = data_points(files=len(manifest), patients=manifest["group_id"].nunique(), bad=len(pd.read_csv(run.folder / BAD_FILES)))
    points += copies_points(count_copies(manifest))
    classes = class_order(manifest["label"])
    folders = sorted(path.parent for path in run.folder.glob(f"*/{PARTS_FILE}"))
    several = len(folders) > 1
    rows = []
    for folder in folders:
        parts = pd.read_csv(folder / PARTS_FILE, dtype=str).set_index("image_id")["part"]
        shown = manifest.assign(part=manifest["image_id"].map(parts))
        for part in ("train", "validation", "test", "unused"):
            members = shown[shown["part"] == part]
            if len(members):
                counts = members["label"].value_counts()
                sizes = (f"{len(members):,}", f"{members['group_id'].nunique():,}")
                per_class = (f"{int(counts.get(name, 0)):,}" for name in classes)
                rows.append((*((folder.name,) if several else ()), part, *sizes, *per_class))
    table = Table("Images in each part", (*(("fold",) if several else ()), "part", "images", "patients", *classes), tuple(rows))
    return Section("Data", points=tuple(points), tables=(table,), phantom=run.conditions.phantom)


def data_points(*, files: int, patients: int, bad: int) -> list[str]:
    """Say how many files were read and used; bad ones only where there are any."""
    of_patients = f"of {counted(patients, 'patient')}"
    if not bad:
        return [f"{counted(files, 'file')} read and used, {of_patients}."]
    return [f"{counted(files + bad, 'file')} read, {bad:,} bad, {files:,} used, {of_patients}."]


def copies_points(copies: Mapping[str, int]) -> list[str]:
    """Say how many files are identical to others; nothing where none is.

    Args:
        copies: files, groups and across_patients, from `cxr_keras.data.groups.count_copies`.
    """
    if not copies["files"]:
        return []
    told = f"{counted(copies['files'], 'file')} are identical to others, in {counted(copies['groups'], 'group')}"
    if shared := copies["across_patients"]:
        told += f"; {shared:,} of these {'holds' if shared == 1 else 'hold'} images of several patients, who are then dealt as one"
    return [f"{told}."]


def counted(number: int, what: str) -> str:
    """A number with its noun: "1 file", "1,200 files"."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def stored_figures(folder: Path, *, classes: int) -> list[Picture]:
    """Read the figures that a run has drawn, as SVG where it is there; those with a panel a class are wide where panels are several."""
    wide = (*WIDE_FIGURES, *(PANEL_FIGURES if classes > 2 else ()))
    pictures = []
    for name, title in FIGURES:
        for suffix, media_type in ((".svg", "image/svg+xml"), (".png", "image/png")):
            path = folder / f"{name}{suffix}"
            if path.exists():
                pictures.append(Picture(title, path.read_bytes(), media_type, small=name not in wide))
                break
    return pictures


def origin_section(run: FinishedRun, manifest: pd.DataFrame, *, headline: Table) -> Section:
    """What another person needs to do it again: command, commit, versions, hashes and the resolved config."""
    environment = read_json(run.folder / "environment.json")
    hashes = [("manifest (images and labels)", manifest_digest(manifest))]
    hashes += [
        (str(path.relative_to(run.folder)), file_sha256(path))
        for path in sorted([*run.folder.glob("*/model.*"), *run.folder.glob("fold-*/base/model.keras")])
    ]
    rows = [(name, version) for name, version in environment["packages"].items()]
    machine = environment["machine"]
    points = [
        f"Command: {environment['command']}",
        f"Commit: {commits_of(environment)}; Python {environment['python']}, {environment['backend']}; "
        f"{machine['processor']}, {machine['cores']} cores, {machine['memory_gib']} GiB.",
    ]
    if further := starts_of(environment)[1:]:
        often = "once" if len(further) == 1 else f"{len(further)} times"
        points.append(f"Continued under other conditions {often} (code, versions or machine; environment.json has them).")
    return Section(
        "Origin",
        points=tuple(points),
        tables=(
            headline,
            Table("SHA-256", ("what", "hash"), tuple(hashes)),
            Table("Versions", ("package", "version"), tuple(rows)),
        ),
        listings=(Listing("Resolved config (config.yaml)", (run.folder / CONFIG_FILE).read_text()),),
    )
