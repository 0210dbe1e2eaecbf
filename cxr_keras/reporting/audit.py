"""An audit of looks: as a sentence, a table and a figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from cxr_keras.reporting.style import COLOURS, STYLE, set_title
from cxr_keras.reporting.tables import NOT_AVAILABLE, Table, format_value

MARKERS = "os^Dv*"
SCORES = ("macro_auroc", "balanced_accuracy")


@dataclass(frozen=True)
class Change:
    """What one class with another look does to a score.

    Attributes:
        look: name of the look.
        label: the class that has it.
        read: whether the macro AUROC falls by so much, beyond chance, that the look is said to be read.
        auroc: change of the macro AUROC with its interval: value, low, high, each None where it is undefined.
        balanced_accuracy: the same of the balanced accuracy.
    """

    look: str
    label: str
    read: bool
    auroc: tuple[float | None, float | None, float | None]
    balanced_accuracy: tuple[float | None, float | None, float | None]


def changes_of(rows: Sequence[Mapping[str, Any]]) -> list[Change]:
    """Take the changes from `looks` of an `audit.json`."""
    return [
        Change(row["look"], row["class"], row["read"], *(tuple(row[score][end] for end in ("value", "low", "high")) for score in SCORES))
        for row in rows
    ]


def in_words(changes: Sequence[Change], *, notable: float) -> str:
    """What the audit found, in a sentence or two.

    Args:
        changes: of every look and class.
        notable: the fall from which on a look is said to be read.
    """
    read = sorted((each for each in changes if each.read), key=lambda each: each.auroc[0] or 0.0)
    if not read:
        lowest = min((each.auroc[0] or 0.0) for each in changes)
        unsure = ", which these few patients cannot tell from chance" if lowest <= -notable else ""
        return (
            f"No look of one class alone lowers the macro AUROC by {notable:g} or more beyond chance; the lowest change is {lowest:+.3f}"
            f"{unsure}. Other cues than these may be read all the same."
        )
    listed = "; ".join(f"{each.label} {each.look} ({each.auroc[0]:+.3f})" for each in read)
    return (
        f"This run reads more than disease. Macro AUROC where one class alone has another look: {listed}. Where archives differ in such "
        "things it may be wrong. Vary them in training (augmentation.aspect, zoom, appearance) and audit again."
    )


def audit_table(told: Mapping[str, Any], *, notable: float) -> Table:
    """Tabulate the changes of macro AUROC and balanced accuracy.

    Args:
        told: what `audit.json` holds.
        notable: as in `in_words`.
    """
    scores, provenance = told["scores"], told["provenance"]
    rows = [("as they are", "", *(format_value(scores[name]) for name in SCORES), "")]
    for each in changes_of(told["looks"]):
        rows.append((each.look, each.label, _signed(*each.auroc), _signed(*each.balanced_accuracy), "read" if each.read else ""))
    of_the_run = ", ".join(f"{name} {provenance[name]}" for name in ("data", "pixels", "epochs", "seeds", "weights") if name in provenance)
    note = (
        f"The run: {of_the_run}. {told['images']:,} images of {told['patients']:,} patients that no model of the run was trained on. One "
        "class alone gets the look; below the first row: change to the images as they are, 95% interval over patients. read: the macro "
        f"AUROC falls by {notable:g} or more, beyond chance after Holm's correction."
    )
    return Table("One class with another look", ("look", "of class", "macro AUROC", "balanced accuracy", ""), tuple(rows), note=note)


def _signed(value: float | None, low: float | None, high: float | None) -> str:
    """Show a change with its interval: "-0.091 [-0.120, -0.064]"."""
    if value is None:
        return NOT_AVAILABLE
    return f"{value:+.3f}" if low is None or high is None else f"{value:+.3f} [{low:+.3f}, {high:+.3f}]"


def audit_figure(changes: Sequence[Change], *, title: str, notable: float) -> Figure:
    """Draw the change of the macro AUROC by look, a mark a class, with its interval; a dotted line where a look is said to be read."""
    looks = list(dict.fromkeys(each.look for each in changes))
    classes = list(dict.fromkeys(each.label for each in changes))
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(7, 0.2 * len(looks) * max(2, len(classes)) + 1.8), layout="constrained")
        axes = figure.subplots()
        axes.axvline(0, color="0.4", linewidth=0.8)
        axes.axvline(-notable, color="0.4", linewidth=0.8, linestyle=":")
        for number, label in enumerate(classes):
            found = [each for each in changes if each.label == label]
            rows = np.array([looks.index(each.look) for each in found]) + (number - (len(classes) - 1) / 2) * 0.7 / len(classes)
            value, low, high = np.array([each.auroc for each in found], dtype=float).T
            colour = COLOURS[number % len(COLOURS)]
            axes.hlines(rows, low, high, color=colour, linewidth=1.5)
            axes.plot(value, rows, linestyle="", marker=MARKERS[number % len(MARKERS)], color=colour, label=f"{label} alone")
        axes.set_yticks(range(len(looks)), looks)
        axes.invert_yaxis()
        axes.set_xlabel("change of the macro AUROC")
        axes.legend(loc="best", fontsize="small")
        set_title(figure, f"{title}: one class with another look", "95% interval, patients resampled; dotted: said to be read")
    return figure
