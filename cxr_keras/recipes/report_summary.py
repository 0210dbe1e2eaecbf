"""The first screen of a report: how good a run is, at which threshold, and what must be known before that is believed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from cxr_keras.data.describe import patients_unknown
from cxr_keras.recipes.finished_runs import FinishedRun
from cxr_keras.reporting.sections import PHANTOM_TITLE, Card, Section
from cxr_keras.reporting.tables import format_value, label_of
from cxr_keras.runs.files import read_json

OF_THE_TRAINING_FOLDER = (
    "; the promise is for patients like those of the training folder, which the validation part was drawn from, and not for those of the "
    "official test folder"
)
"""What a promise that was made on the training folder does not reach."""


def summary_section(run: FinishedRun, manifest: pd.DataFrame) -> Section:
    """What was trained on what, how good it is at which threshold, and what must be known before that is believed."""
    scores, told = run.scores, run.provenance
    lead = (
        f"{told.get('model', 'A network')} ({told.get('strategy', 'strategy not stated')}, weights {told['weights']}) on {told['data']} "
        f"images at {told['pixels']} pixels, {', '.join(scores['classes'])}: scored on {scores['n_images']:,} images of "
        f"{scores['n_groups']:,} patients ({told['evaluation']})."
    )
    point = chosen_point(scores)
    phantom = run.conditions.phantom
    return Section(
        PHANTOM_TITLE if phantom else "Summary",
        lead=lead,
        cards=tuple(cards_of(scores)),
        points=tuple(warnings_of(run, manifest)),
        remarks=() if point is None else (point_sentence(point, official=run.conditions.part == "official"),),
        phantom=phantom,
    )


def cards_of(scores: Mapping[str, Any]) -> list[Card]:
    """The scores that are read first, each with the threshold that it is at: a row over all thresholds and one for each threshold."""
    overall = scores["scores"]
    if "auroc" not in overall:
        names = ("accuracy", "balanced_accuracy", "macro_f1")
        decided = [Card(f"{label_of(name)}, most probable class", *_value_and_interval(overall[name]), row=1) for name in names]
        return [Card("macro AUROC, all thresholds", *_value_and_interval(overall["macro_auroc"])), *decided]
    cards = [Card(f"{label_of(name)}, all thresholds", *_value_and_interval(overall[name])) for name in ("auroc", "auprc")]
    positive = scores["per_class"][scores["classes"][-1]]
    at_half = {name: overall[name] for name in ("accuracy", "balanced_accuracy")}
    at_half |= {name: positive[name] for name in ("sensitivity", "specificity")} | {"macro_f1": overall["macro_f1"]}
    cards += [Card(f"{label_of(name)} at 0.5", *_value_and_interval(entry), row=1) for name, entry in at_half.items()]
    point = chosen_point(scores)
    if point is not None:
        at = f"{threshold_of(point)} ({point['name']})"
        names = ("accuracy", "balanced_accuracy", "sensitivity", "specificity")
        cards += [Card(f"{label_of(name)} at {at}", *_value_and_interval(point["scores"][name]), row=2) for name in names]
    return cards


def chosen_point(scores: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The last operating point that was chosen and could be scored; `None` where there is none."""
    points = [point for point in scores.get("operating_points") or () if point["scores"] is not None and point["name"] != "0.5"]
    return points[-1] if points else None


def threshold_of(point: Mapping[str, Any]) -> str:
    """The threshold of an operating point: "0.100", or "0.098 to 0.120" where each fold has its own, chosen on the others."""
    lowest, highest = min(point["thresholds"].values()), max(point["thresholds"].values())
    return f"{lowest:.3f}" if lowest == highest else f"{lowest:.3f} to {highest:.3f}"


def point_sentence(point: Mapping[str, Any], *, official: bool) -> str:
    """Say in one sentence how a threshold was chosen and, where it promises something, on which conditions.

    Args:
        point: an operating point with scores.
        official: whether the scored images are an official test folder, and the threshold was chosen on the training folder.
    """
    sentence = f"The threshold {threshold_of(point)} ({point['name']}): {point['criterion']}, chosen on {point['chosen_on']}"
    if promise := point.get("promise"):
        sentence += f", on these terms: {promise['assumes']}{OF_THE_TRAINING_FOLDER if official else ''}"
    remark = f" {point['remark'][0].upper()}{point['remark'][1:]}." if point.get("remark") else ""
    return f"{sentence}.{remark}"


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
        found.append(f"{skipped} {'file was' if str(skipped) == '1' else 'files were'} bad and left out.")
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


def _value_and_interval(entry: Mapping[str, Any]) -> tuple[str, str]:
    """A score as two texts: "0.941" and "[0.930, 0.951]"."""
    value, _, interval = format_value(entry).partition(" ")
    return value, interval
