"""ROC and precision-recall curves with what the folds differ by, and where the chosen thresholds lie on them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score, roc_curve

from cxr_keras.reporting.style import COLOURS, POINT_MARKERS, STYLE, set_title
from cxr_keras.reporting.tables import format_value

GRID = np.linspace(0, 1, 501)
"""Where the curves of the folds are read to make the band."""

Curve = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]
"""From truth, bool (n,), and probabilities, (n,), to x (not falling) and y of the curve's corners."""


def roc_figure(
    predictions: pd.DataFrame,
    classes: Sequence[str],
    *,
    scores: Mapping[str, Any] | None = None,
    points: Sequence[Mapping[str, Any]] | None = None,
    title: str = "ROC curves",
) -> Figure:
    """Draw ROC curves, a panel a class: each class against the rest, or of two classes the last one.

    A panel a class, because curves of good models lie on each other near the corner.

    Args:
        predictions: columns fold, label, p_<class> of each class.
        classes: class names in order.
        scores: the dictionary of scores of these predictions, for intervals beside the AUROC; without it the pooled
            AUROC stands alone.
        points: operating points of two classes, to be marked; those without scores are left out.
        title: first line of the title.

    Returns:
        The figure: a line for all images together, and where there are several folds a band from the lowest to the highest of their
        curves. A class without images, or the only one, has no curve and "AUROC n/a".
    """
    with matplotlib.rc_context(STYLE):
        figure, panels = curve_panels(classes, title=title, scores=scores)
        for axes, name, colour in panels:
            axes.plot([0, 1], [0, 1], color="#777777", linewidth=1, linestyle=(0, (2, 3)), label="chance")
            _draw(axes, predictions, name, colour=colour, curve=_roc)
            _mark(axes, points, x=lambda found: 1 - found["specificity"]["value"], y=lambda found: found["sensitivity"]["value"])
            axes.set_title(f"{name}: AUROC {format_value(_entry(predictions, name, scores, 'auroc', roc_auc_score))}")
            axes.legend(loc="lower right")
        figure.supxlabel("1 − specificity (false positive rate)", fontsize=10)
        figure.supylabel("sensitivity (true positive rate)", fontsize=10)
    return figure


def precision_recall_figure(
    predictions: pd.DataFrame,
    classes: Sequence[str],
    *,
    scores: Mapping[str, Any] | None = None,
    points: Sequence[Mapping[str, Any]] | None = None,
    title: str = "Precision-recall curves",
) -> Figure:
    """Draw precision-recall curves, panels and arguments as of `roc_figure`.

    Returns:
        The figure. The curve runs in steps, as the average precision (AUPRC) counts it; the dotted line is the share of the class, which
        is the precision of chance and differs from place to place.
    """
    with matplotlib.rc_context(STYLE):
        figure, panels = curve_panels(classes, title=title, scores=scores)
        for axes, name, colour in panels:
            share = float((predictions["label"] == name).mean())
            axes.axhline(share, color="#777777", linewidth=1, linestyle=(0, (2, 3)), label=f"share of the class ({share:.0%})")
            _draw(axes, predictions, name, colour=colour, curve=_precision_recall, steps=True)
            _mark(axes, points, x=lambda found: found["sensitivity"]["value"], y=lambda found: found["precision"]["value"])
            axes.set_title(f"{name}: AUPRC {format_value(_entry(predictions, name, scores, 'auprc', average_precision_score))}")
            axes.legend(loc="lower left")
        figure.supxlabel("sensitivity (recall)", fontsize=10)
        figure.supylabel("precision (positive predictive value)", fontsize=10)
    return figure


def curve_panels(
    classes: Sequence[str], *, title: str, scores: Mapping[str, Any] | None, side: float = 3.8
) -> tuple[Figure, list[tuple[Axes, str, str]]]:
    """Give a titled figure with a square panel for each class that is shown, its name and its colour; called within the style.

    Args:
        classes: class names in order; of two the last one is shown.
        title: first line of the title.
        scores: a dictionary of scores, whose interval the title names.
        side: of a panel, inches.
    """
    shown = list(classes)[-1:] if len(classes) == 2 else list(classes)
    columns = min(len(shown), 2)
    lines = -(-len(shown) // columns)
    against = f"{shown[0]} (positive) against {classes[0]}" if len(shown) == 1 else "each class against the rest"
    interval = scores["interval"] if scores is not None and scores["interval"]["draws"] else None
    note = f"[{interval['level']:.0%} interval, patients resampled]" if interval else ""
    figure = Figure(figsize=(1.0 + side * columns, 1.1 + side * lines), layout="constrained")
    every = figure.subplots(lines, columns, squeeze=False, sharex=True, sharey=True).ravel()
    set_title(figure, title, against, note)
    for axes in every:
        axes.set(xlim=(-0.015, 1.015), ylim=(-0.015, 1.015), aspect="equal")
        axes.grid(True)
    for axes in every[len(shown) :]:
        axes.set_visible(False)
    return figure, list(zip(every, shown, itertools.cycle(COLOURS), strict=False))


def _draw(axes: Axes, predictions: pd.DataFrame, name: str, *, colour: str, curve: Curve, steps: bool = False) -> None:
    """The curve of all images, and a band from the lowest to the highest fold; with `steps` a corner's value holds to its left."""
    folds = [rows for _, rows in predictions.groupby("fold", sort=True)]
    drawn = [corners for rows in folds if (corners := _corners(rows, name, curve)) is not None] if len(folds) > 1 else []
    if len(drawn) > 1:
        values = np.stack([_at_grid(x, y, side="left" if steps else "right") for x, y in drawn])
        label = f"lowest to highest of {len(drawn)} folds"
        axes.fill_between(GRID, values.min(axis=0), values.max(axis=0), color=colour, alpha=0.22, linewidth=0, label=label)
    whole = _corners(predictions, name, curve)
    if whole is not None:
        label = f"{len(folds)} folds pooled" if len(folds) > 1 else "all images"
        axes.plot(*whole, color=colour, linewidth=1.8, drawstyle="steps-pre" if steps else "default", label=label)


def roc_corners(predictions: pd.DataFrame, name: str) -> tuple[np.ndarray, np.ndarray] | None:
    """Corners of the ROC curve of a class: false positive rate and sensitivity; `None` where it has no images or is the only one."""
    return _corners(predictions, name, _roc)


def _corners(rows: pd.DataFrame, name: str, curve: Curve) -> tuple[np.ndarray, np.ndarray] | None:
    """Corners of one curve; `None` where the class has no images or is the only one."""
    positive = (rows["label"] == name).to_numpy()
    if positive.all() or not positive.any():
        return None
    return curve(positive, rows[f"p_{name}"].to_numpy())


def _roc(positive: np.ndarray, probabilities: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    false_rate, true_rate, _ = roc_curve(positive, probabilities)
    return false_rate, true_rate


def _precision_recall(positive: np.ndarray, probabilities: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    precision, recall, _ = precision_recall_curve(positive, probabilities)
    # Its last point (1, 0) stands for no threshold; from there on the first real precision holds.
    recall, precision = recall[::-1], np.append(precision[-2], precision[-2::-1])
    return recall, precision


def _at_grid(x: np.ndarray, y: np.ndarray, *, side: Literal["left", "right"]) -> np.ndarray:
    """Read a curve at `GRID`: the last corner that is not right of a place, or for steps the first that is not left of it."""
    found = np.searchsorted(x, GRID, side=side)
    return y[np.clip(found - (side == "right"), 0, len(y) - 1)]


def _mark(
    axes: Axes,
    points: Sequence[Mapping[str, Any]] | None,
    *,
    x: Callable[[Mapping[str, Any]], float],
    y: Callable[[Mapping[str, Any]], float],
) -> None:
    """Set a sign at each operating point whose scores are defined."""
    for point in points or ():
        if point["scores"] is not None and all(entry["value"] is not None for entry in point["scores"].values()):
            marker = POINT_MARKERS.get(point["name"], "P")
            axes.plot(
                [x(point["scores"])],
                [y(point["scores"])],
                marker,
                color="black",
                markerfacecolor="white",
                markersize=7,
                label=point["name"],
            )


def _entry(
    predictions: pd.DataFrame, name: str, scores: Mapping[str, Any] | None, key: str, area: Callable[[np.ndarray, pd.Series], float]
) -> Mapping[str, Any]:
    """The area under a class's curve: that of the scores, with its interval, or else computed here."""
    if scores is not None:
        return scores["per_class"][name][key]
    positive = (predictions["label"] == name).to_numpy()
    defined = positive.any() and not positive.all()
    return {"value": float(area(positive, predictions[f"p_{name}"])) if defined else None}
