"""What a report says of one run, section by section in the order in which it is read."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from cxr_keras.data.describe import patients_unknown
from cxr_keras.data.groups import count_copies
from cxr_keras.data.labels import class_order
from cxr_keras.data.manifest import manifest_digest, read_manifest
from cxr_keras.evaluation.predictions import PROBABILITY_PREFIX
from cxr_keras.recipes.classifier import grid_tables
from cxr_keras.recipes.compare import paper_sections
from cxr_keras.recipes.data import BAD_FILES
from cxr_keras.recipes.finished_runs import FinishedRun
from cxr_keras.recipes.weights import PARTS_FILE
from cxr_keras.reporting import all_tables
from cxr_keras.reporting.sections import PHANTOM_TITLE, Card, Listing, Picture, Section
from cxr_keras.reporting.tables import Table, format_value, label_of
from cxr_keras.runs.directory import CONFIG_FILE
from cxr_keras.runs.files import file_sha256, read_json

METHOD = "hires_cam"
"""Of the maps: exact where the head pools, and with no empty maps where it flattens."""

PICTURE_DOTS = 80
"""Dots an inch of the pictures of mistakes; eight of them are about 1 MB."""

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
        Section("Figures", pictures=tuple(stored_figures(run.folder / "figures")), phantom=phantom),
        Section("Scores", tables=tuple(tables[1:]), phantom=phantom),
        mistakes_section(run, mistakes=mistakes),
    ]
    return [*sections, *paper_sections(run), Section("Limits", points=LIMITS), origin_section(run, manifest, headline=tables[0])]


def summary_section(run: FinishedRun, manifest: pd.DataFrame) -> Section:
    """What was trained on what, how good it is, and what must be known before that is believed."""
    scores, told = run.scores, run.provenance
    binary = "auroc" in scores["scores"]
    names = ("auroc" if binary else "macro_auroc", "accuracy", "balanced_accuracy", "macro_f1")
    cards = [Card(label_of(name), *_value_and_interval(scores["scores"][name])) for name in names]
    points = [point for point in scores.get("operating_points") or () if point["scores"] is not None and point["name"] != "0.5"]
    if points:
        chosen = points[-1]
        lowest, highest = min(chosen["thresholds"].values()), max(chosen["thresholds"].values())
        # Each fold has its own threshold, chosen on the others; the locked one is for images of elsewhere.
        at = f"{lowest:.3f}" if lowest == highest else f"{lowest:.3f} to {highest:.3f}"
        cards += [
            Card(f"{label_of(name)} at threshold {at}", *_value_and_interval(chosen["scores"][name]))
            for name in ("sensitivity", "specificity")
        ]
    lead = (
        f"{told.get('model', 'A network')} ({told.get('strategy', 'strategy not stated')}, weights {told['weights']}) on {told['data']} "
        f"images at {told['pixels']} pixels, {', '.join(scores['classes'])}: scored on {scores['n_images']:,} images of "
        f"{scores['n_groups']:,} patients ({told['evaluation']})."
    )
    remarks = [f"The threshold: {points[-1]['criterion']}, chosen on {points[-1]['chosen_on']}."] if points else []
    phantom = run.conditions.phantom
    return Section(
        PHANTOM_TITLE if phantom else "Summary",
        lead=lead,
        cards=tuple(cards),
        points=tuple(warnings_of(run, manifest)),
        remarks=tuple(remarks),
        phantom=phantom,
    )


def warnings_of(run: FinishedRun, manifest: pd.DataFrame) -> list[str]:
    """What may make the figures look better than they are, or is unusual; a sentence each."""
    found = []
    if "labels" in run.provenance:
        found.append(f"Labels: {run.provenance['labels']}. Such a run must score as by chance.")
    if run.conditions.optimistic:
        found.append("Optimistic: images that chose the number of epochs are scored again.")
    if unknown := patients_unknown(manifest):
        found.append(f"Patients are unknown in {', '.join(unknown)}: patient overlap not excluded.")
    if told := told_by_source(manifest):
        listed = "; ".join(f"{', '.join(names)} only from {source}" for source, names in told.items())
        found.append(f"Classes come from different sources ({listed}), so a network can tell the source instead of the disease.")
    if skipped := run.provenance.get("bad files skipped"):
        found.append(f"{skipped} files were bad and left out.")
    note = run.folder / "test_reading.json"
    if note.exists():
        counts = read_json(note)["readings_of_these_images"]
        found.append(f"Official test labels were read; this was reading {counts['test']} of these in its ledger.")
    return found


def told_by_source(manifest: pd.DataFrame) -> dict[str, list[str]]:
    """Classes that the source of an image gives away.

    Args:
        manifest: columns label and source.

    Returns:
        Each source that is the only one of some classes, with these classes by name; empty where all images are of one source.
    """
    if manifest["source"].nunique() < 2:
        return {}
    found: dict[str, list[str]] = {}
    for name, where in manifest.groupby("label")["source"].agg(set).items():
        if len(where) == 1:
            found.setdefault(next(iter(where)), []).append(str(name))
    return found


def data_section(run: FinishedRun, manifest: pd.DataFrame) -> Section:
    """Files read, left out and shared, and how many images and patients of each class lie in which part."""
    copies, bad = count_copies(manifest), pd.read_csv(run.folder / BAD_FILES)
    points = [
        f"{len(manifest) + len(bad):,} files read, {len(bad):,} bad, {len(manifest):,} used, of "
        f"{manifest['group_id'].nunique():,} patients.",
        f"{copies['files']:,} files are identical to others, in {copies['groups']:,} groups; {copies['across_patients']:,} of them hold "
        "images of several patients, who are then dealt as one.",
    ]
    classes = class_order(manifest["label"])
    rows = []
    for folder in sorted(path.parent for path in run.folder.glob(f"*/{PARTS_FILE}")):
        parts = pd.read_csv(folder / PARTS_FILE, dtype=str).set_index("image_id")["part"]
        shown = manifest.assign(part=manifest["image_id"].map(parts))
        for part in ("train", "validation", "test", "unused"):
            members = shown[shown["part"] == part]
            if len(members):
                counts = members["label"].value_counts()
                per_class = (f"{int(counts.get(name, 0)):,}" for name in classes)
                rows.append((folder.name, part, f"{len(members):,}", f"{members['group_id'].nunique():,}", *per_class))
    table = Table("Images in each part", ("fold", "part", "images", "patients", *classes), tuple(rows))
    return Section("Data", points=tuple(points), tables=(table,), phantom=run.conditions.phantom)


def stored_figures(folder: Path) -> list[Picture]:
    """Read the figures that a run has drawn, as SVG where it is there."""
    pictures = []
    for name, title in FIGURES:
        for suffix, media_type in ((".svg", "image/svg+xml"), (".png", "image/png")):
            path = folder / f"{name}{suffix}"
            if path.exists():
                pictures.append(Picture(title, path.read_bytes(), media_type, small=name not in WIDE_FIGURES))
                break
    return pictures


def mistakes_section(run: FinishedRun, *, mistakes: int) -> Section:
    """List the wrong predictions that the model is surest of, and show the first ones with their maps."""
    classes = run.scores["classes"]
    columns = [PROBABILITY_PREFIX + name for name in classes]
    table = run.predictions
    probabilities = table[columns].to_numpy(float)
    predicted = [classes[index] for index in probabilities.argmax(axis=1)]
    wrong = table.assign(predicted=predicted, sure=probabilities.max(axis=1))
    wrong = wrong[wrong["predicted"] != wrong["label"]].sort_values(["sure", "image_id"], ascending=[False, True])
    phantom = run.conditions.phantom
    if wrong.empty:
        return Section("Worst mistakes", lead="No image is called wrongly.", phantom=phantom)
    listed = wrong.head(20)
    body = tuple((row.image_id, row.label, row.predicted, f"{row.sure:.3f}", str(row.fold)) for row in listed.itertuples())
    shown = Table("Surest of the wrong", ("image", "label", "predicted", "probability", "fold"), body)
    pictures, remark = mistake_pictures(run, list(wrong["image_id"].head(mistakes))) if mistakes else ([], "")
    lead = f"{len(wrong):,} of {len(table):,} images are called wrongly."
    return Section(
        "Worst mistakes", lead=lead, remarks=(remark,) if remark else (), tables=(shown,), pictures=tuple(pictures), phantom=phantom
    )


def mistake_pictures(run: FinishedRun, image_ids: Sequence[str]) -> tuple[list[Picture], str]:
    """Draw X-rays with the HiResCAM map of the class that was wrongly predicted.

    Returns:
        The pictures, and a remark: how to read them, or why there are none.
    """
    # Keras and TensorFlow are wanted only here.
    from cxr_keras.recipes.explain_images import held_out_images
    from cxr_keras.recipes.explain_maps import columns_to_explain, map_images, map_picture, method_maker
    from cxr_keras.reporting.maps import map_figure

    pictures: list[Picture] = []
    try:
        held_out = held_out_images(run.folder)
        chosen = held_out.with_table(held_out.table.set_index("image_id").loc[list(image_ids)].reset_index())
        columns = columns_to_explain(chosen.table, chosen.classes, class_name=None)
        for batch in map_images(chosen, method_maker(METHOD, layer=None), columns):
            for index in range(len(batch.rows)):
                picture = map_picture(chosen, batch, index, method=METHOD)
                title = f"{picture.image_id}: label {picture.label}, predicted {picture.predicted}"
                pictures.append(Picture(title, png_of(map_figure(picture)), "image/png", small=True))
    except (ValueError, OSError) as error:  # models not kept, or images that lie elsewhere by now: the figures are there all the same
        return [], f"No maps: {error}"
    return pictures, "HiResCAM of the predicted class: what spoke for the wrong answer. Each map is scaled to its own highest value."


def png_of(figure: Figure) -> bytes:
    """Draw a figure into a PNG file in memory."""
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=PICTURE_DOTS)
    return stream.getvalue()


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
        f"Commit: {environment['commit'] or 'not known'}; Python {environment['python']}, {environment['backend']}; "
        f"{machine['processor']}, {machine['cores']} cores, {machine['memory_gib']} GiB.",
    ]
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


def _value_and_interval(entry: dict[str, Any]) -> tuple[str, str]:
    """A score as two texts: "0.941" and "[0.930, 0.951]"."""
    value, _, interval = format_value(entry).partition(" ")
    return value, interval
