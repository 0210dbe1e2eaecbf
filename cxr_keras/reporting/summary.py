"""All tables of one run, in the order they are read, and those of what was fitted elsewhere: operating points and calibration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cxr_keras.reporting.tables import (
    NOT_AVAILABLE,
    Table,
    confusion_table,
    folds_table,
    format_value,
    headline_table,
    label_of,
    models_table,
    overall_table,
    per_class_folds_table,
    per_class_table,
    subgroup_points_table,
    subgroups_table,
)


def all_tables(scores: Mapping[str, Any], *, provenance: Mapping[str, Any], name: str = "this run") -> list[Table]:
    """All tables of one run, the headline first; those over folds only where there are several."""
    tables = [headline_table([(name, scores, provenance)]), overall_table(scores), per_class_table(scores)]
    if scores["folds"]["count"] > 1:
        tables += [per_class_folds_table(scores), folds_table(scores)]
    if scores.get("operating_points"):
        tables.append(operating_points_table(scores["operating_points"]))
    if scores.get("calibration"):
        tables.append(calibration_table(scores["calibration"]))
    if len(scores.get("by_model", ())) > 1:
        tables.append(models_table(scores))
        if any("operating_points" in found for found in scores["by_model"].values()):
            tables.append(models_points_table(scores["by_model"]))
    if scores.get("subgroups"):
        tables.append(subgroups_table(scores["subgroups"]))
        if any(row.get("points") for row in scores["subgroups"]):
            tables.append(subgroup_points_table(scores["subgroups"]))
    return [*tables, confusion_table(scores)]


def operating_points_table(points: Sequence[Mapping[str, Any]]) -> Table:
    """Tabulate a binary problem's scores at 0.5 and at chosen thresholds, a row each; the note tells how each was chosen."""
    names = tuple(next(point["scores"] for point in points if point["scores"] is not None))
    notes = ["Positive means a probability at or above the threshold; intervals keep it as it is."]
    notes += [f"{point['name']}: {point['criterion']}." for point in points if point["criterion"] != "fixed"]
    rows = []
    for point in points:
        if point["scores"] is None:
            rows.append((point["name"], NOT_AVAILABLE, point["chosen_on"], *(NOT_AVAILABLE for _ in names)))
            notes.append(f"{point['name']} has no threshold: {point['reason']}.")
            continue
        thresholds = sorted(point["thresholds"].values())
        shown = f"{thresholds[0]:.3f}" if thresholds[0] == thresholds[-1] else f"{thresholds[0]:.3f} to {thresholds[-1]:.3f}"
        rows.append((point["name"], shown, point["chosen_on"], *(format_value(point["scores"][name]) for name in names)))
        if promise := point.get("promise"):
            notes.append(
                f"{point['name']}: of {promise['patients']:,} patients at most {promise['may_miss']} may lie below it; "
                f"{promise['assumes']}."
            )
    notes += [f"Remark: {remark}." for remark in dict.fromkeys(point["remark"] for point in points if "remark" in point)]
    if "prevalence" in points[0]:
        notes.append(f"PPV and NPV are those of a place where {points[0]['prevalence']:g} of the people tested are sick.")
    header = ("point", "threshold", "chosen on", *map(label_of, names))
    return Table("Operating points", header, tuple(rows), note=" ".join(notes))


def models_points_table(by_model: Mapping[str, Mapping[str, Any]]) -> Table:
    """Tabulate sensitivity and specificity of single models at the thresholds that were chosen for such models, a row each."""
    names = ("sensitivity", "specificity")
    rows = [
        (model, point["name"], f"{point['locked']:.3f}", *(format_value(point["scores"][name]) for name in names))
        for model, found in by_model.items()
        for point in found["operating_points"]
        if point["scores"] is not None
    ]
    return Table("Single models at the locked thresholds", ("model", "point", "threshold", *map(label_of, names)), tuple(rows))


def calibration_table(found: Mapping[str, Any]) -> Table:
    """Tabulate the scores of the probabilities themselves, as they came and after temperature scaling."""
    scores = found["scores"]
    columns = [("before", "as predicted"), ("after", "after temperature scaling"), ("difference", "difference")]
    shown = [(key, words) for key, words in columns if key in scores]
    rows = [(label_of(name), *(format_value(scores[key][name]) for key, _ in shown)) for name in scores["before"]]
    # Runs that were scored by an earlier version lack it.
    if expected := found.get("error_if_calibrated"):
        of_calibrated = (f"{expected[key]:.3f}" if key in expected else "" for key, _ in shown)
        rows.insert(1, ("that of a calibrated model", *of_calibrated))
    if found["locked"] is None:
        note = f"No temperature: {found['reason']}."
    else:
        values = sorted(found["temperatures"].values())
        told = f"{values[0]:.3f}" if values[0] == values[-1] else f"{values[0]:.3f} to {values[-1]:.3f}"
        note = f"Temperature {told}, fitted on {found['fitted_on']}; above 1 the probabilities were too sure. Lower scores are better."
        note += f" Remark: {found['remark']}." if "remark" in found else ""
    if expected:
        note += " Chance gives a calibrated model an error above 0, the row below. The error has no interval: resampling adds chance."
    return Table("Calibration", ("score", *(words for _, words in shown)), tuple(rows), note=note)
