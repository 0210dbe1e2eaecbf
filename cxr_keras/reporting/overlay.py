"""ROC curves of several runs in one figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import pandas as pd
from matplotlib.figure import Figure

from cxr_keras.reporting.curves import curve_panels, roc_corners
from cxr_keras.reporting.style import COLOURS, STYLE
from cxr_keras.reporting.tables import format_value

LINES = ("-", "--", ":", "-.")
"""Kinds of line, one after the colours are used up."""


def roc_overlay_figure(
    runs: Sequence[tuple[str, pd.DataFrame, Mapping[str, Any]]], classes: Sequence[str], *, title: str = "ROC curves of several runs"
) -> Figure:
    """Draw the ROC curves of several runs over each other, a panel a class: each class against the rest, or of two classes the last one.

    Args:
        runs: at least one; name, predictions (columns fold, label, p_<class>) and scores (as in `metrics.json`) of each.
        classes: class names in order, those of every run.
        title: first line of the title.

    Returns:
        The figure: a line a run, all its images together, named with its AUROC and the interval of it. Colours are used in turn, then other
        kinds of line. A run without images of a class has no curve in its panel.
    """
    with matplotlib.rc_context(STYLE):
        figure, panels = curve_panels(classes, title=title, scores=runs[0][2], side=5.2 if len(classes) == 2 else 4.2)
        for axes, name, _ in panels:
            axes.plot([0, 1], [0, 1], color="#777777", linewidth=1, linestyle=(0, (2, 3)))
            axes.set_title(name)
            for number, (run, predictions, scores) in enumerate(runs):
                corners = roc_corners(predictions, name)
                if corners is None:
                    continue
                look: dict[str, Any] = {"color": COLOURS[number % len(COLOURS)], "linestyle": LINES[number // len(COLOURS) % len(LINES)]}
                axes.plot(*corners, linewidth=1.6, label=f"{run}: {format_value(scores['per_class'][name]['auroc'])}", **look)
            if axes.get_legend_handles_labels()[0]:
                axes.legend(loc="lower right", title="AUROC", fontsize=8)
        figure.supxlabel("1 − specificity (false positive rate)", fontsize=10)
        figure.supylabel("sensitivity (true positive rate)", fontsize=10)
    return figure
