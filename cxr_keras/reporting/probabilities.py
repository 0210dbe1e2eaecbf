"""What the probabilities are like: how often they come true, how they are spread, and what each threshold would give."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cxr_keras.reporting.style import COLOURS, POINT_MARKERS, STYLE, set_title

HISTOGRAM_BINS = 25
"""Equal-width bins of a histogram of probabilities; 0.5 is no edge of theirs, so nothing sits on it by chance."""

_WHEN = {"before": ("as predicted", "o", "--", COLOURS[1]), "after": ("after temperature scaling", "s", "-", COLOURS[0])}


def calibration_figure(found: Mapping[str, Any], *, title: str = "Calibration") -> Figure:
    """Draw how often a class occurs among images of about the same probability of it, and under it how many images those are.

    Args:
        found: the `calibration` of a dictionary of scores: reliability {before, after -> class -> rows with from, to, images, predicted,
            observed, low, high} and scores {before, after -> expected_calibration_error -> value}; "after" may be missing;
            error_if_calibrated {before, after}.
        title: first line of the title.

    Returns:
        The figure, a panel a class.
    """
    shown = {key: rows for key, rows in found["reliability"].items() if key in _WHEN}
    classes = list(shown["before"])
    columns = min(len(classes), 2)
    lines = -(-len(classes) // columns)
    error = {
        key: f"{found['scores'][key]['expected_calibration_error']['value']:.3f} ({found['error_if_calibrated'][key]:.3f})" for key in shown
    }
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(1.0 + 3.9 * columns, 1.2 + 4.6 * lines), layout="constrained")
        grid = figure.add_gridspec(2 * lines, columns, height_ratios=[3, 1] * lines)
        for number, name in enumerate(classes):
            line, column = divmod(number, columns)
            upper = figure.add_subplot(grid[2 * line, column])
            lower = figure.add_subplot(grid[2 * line + 1, column], sharex=upper)
            _draw_reliability(upper, lower, {key: rows[name] for key, rows in shown.items()})
            upper.set_title(name)
            upper.set_ylabel(f"share of images that are {name}")
            lower.set_ylabel("images (log)")
            lower.set_xlabel(f"predicted probability of {name}")
        bounded = any(row["low"] is not None for rows in shown.values() for name in classes for row in rows[name])
        interval = "bars: 95% interval, patients resampled" if bounded else ""
        scaled = f"; after scaling {error['after']}" if "after" in error else ""
        set_title(figure, title, f"calibration error {error['before']}{scaled}; in brackets that of a calibrated model", interval)
    return figure


def _draw_reliability(upper: Axes, lower: Axes, shown: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    upper.plot([0, 1], [0, 1], color="#777777", linewidth=1, linestyle=(0, (2, 3)), label="probability comes true")
    for key, rows in shown.items():
        label, marker, style, colour = _WHEN[key]
        upper.plot(
            [row["predicted"] for row in rows],
            [row["observed"] for row in rows],
            marker=marker,
            linestyle=style,
            color=colour,
            markersize=5,
            linewidth=1.4,
            label=label,
        )
        for row in rows:
            if row["low"] is not None:
                upper.plot([row["predicted"]] * 2, [row["low"], row["high"]], color=colour, linewidth=1)
        counts = {row["from"]: row["images"] for row in rows}
        edges = np.round(np.arange(0, 1.0001, rows[0]["to"] - rows[0]["from"]), 9)
        heights = [counts.get(float(edge), 0) for edge in edges[:-1]]
        lower.stairs(heights, edges, edgecolor=colour, linestyle=style, linewidth=1.4, baseline=0.5)
    upper.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    upper.tick_params(labelbottom=False)
    upper.grid(True)
    upper.legend(loc="best")
    most = max(row["images"] for rows in shown.values() for row in rows)
    lower.set(yscale="log", ylim=(0.5, 2 * most))
    lower.grid(True, axis="y")


def score_histograms_figure(predictions: pd.DataFrame, classes: Sequence[str], *, title: str = "Probabilities") -> Figure:
    """Draw how the probability of a class is spread among its own images and among the others, a panel a class.

    Args:
        predictions: columns label, p_<class> of each class.
        classes: class names in order; of two the last one has a panel.
        title: first line of the title.

    Returns:
        The figure. Heights are shares of the images of each side, so a rare class is seen as well as a frequent one, on a log axis, so
        that the few images on the wrong side are seen at all.
    """
    shown = list(classes)[-1:] if len(classes) == 2 else list(classes)
    columns = min(len(shown), 2)
    lines = -(-len(shown) // columns)
    edges = np.linspace(0, 1, HISTOGRAM_BINS + 1)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(1.4 + 4.2 * columns, 1.0 + 2.7 * lines), layout="constrained")
        panels = figure.subplots(lines, columns, squeeze=False, sharex=True).ravel()
        for axes, name, colour in zip(panels, shown, itertools.cycle(COLOURS), strict=False):
            own = (predictions["label"] == name).to_numpy()
            rest = classes[0] if len(shown) == 1 else "other classes"
            for rows, label, fill in ((~own, rest, False), (own, name, True)):
                values = np.histogram(predictions.loc[rows, f"p_{name}"], edges)[0]
                look: dict[str, Any] = {"color": colour, "alpha": 0.45, "fill": True} if fill else {"edgecolor": "black", "linewidth": 1.4}
                axes.stairs(values / max(rows.sum(), 1), edges, label=f"{label} (n = {rows.sum():,})", **look)
            axes.set(xlim=(0, 1), xlabel=f"predicted probability of {name}", ylabel="share of images a bin (log)")
            least = 0.5 / max(own.sum(), (~own).sum(), 1)
            axes.set(yscale="log", ylim=(least, 1.5))
            axes.yaxis.set_major_formatter(
                matplotlib.ticker.FuncFormatter(lambda share, _: f"{share:.4%}".rstrip("%").rstrip("0").rstrip(".") + "%")
            )
            axes.grid(True, axis="y")
            axes.legend(loc="upper center")
        for axes in panels[len(shown) :]:
            axes.set_visible(False)
        set_title(figure, title, f"{HISTOGRAM_BINS} bins of width {1 / HISTOGRAM_BINS:g}")
    return figure


def thresholds_figure(
    predictions: pd.DataFrame,
    classes: Sequence[str],
    *,
    points: Sequence[Mapping[str, Any]] | None = None,
    title: str = "Sensitivity and specificity by threshold",
) -> Figure:
    """Draw sensitivity and specificity over the threshold, of two classes.

    Args:
        predictions: columns fold, label, p_<class>.
        classes: the two class names; the last one is the positive one.
        points: operating points; a line stands at each threshold, or a stripe from the lowest to the highest where folds have their own.
        title: first line of the title.

    Returns:
        The figure, the threshold on a logit axis, because the probabilities of a sure network crowd near 0 and 1. Where there are several
        folds a band goes from the lowest to the highest of their curves.

    Raises:
        ValueError: the classes are not two.
    """
    if len(classes) != 2:
        raise ValueError(f"A threshold is of two classes; these are {', '.join(classes)}.")
    grid = 1 / (1 + np.exp(-np.linspace(-np.log(999), np.log(999), 801)))
    folds = [rows for _, rows in predictions.groupby("fold", sort=True)]
    kinds = (("sensitivity", True, COLOURS[0], "-"), ("specificity", False, COLOURS[1], "--"))
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(7.4, 4.6), layout="constrained")
        axes = figure.add_subplot()
        for label, of_positive, colour, style in kinds:
            curves = [_rates(rows, classes, grid, of_positive=of_positive) for rows in folds]
            known = [curve for curve in curves if curve is not None]
            if len(known) > 1:
                axes.fill_between(grid, np.min(known, axis=0), np.max(known, axis=0), color=colour, alpha=0.2, linewidth=0)
            whole = _rates(predictions, classes, grid, of_positive=of_positive)
            if whole is not None:
                axes.plot(grid, whole, color=colour, linestyle=style, label=label)
        for point in points or ():
            _mark_threshold(axes, point, lowest=grid[0], highest=grid[-1])
        axes.set_xscale("logit", one_half="0.5", use_overline=False)
        ticks = [0.001, 0.01, 0.1, 0.5, 0.9, 0.99, 0.999]
        axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        axes.minorticks_off()
        axes.set(xlim=(grid[0], grid[-1]), ylim=(-0.02, 1.02), xlabel=f"threshold on the probability of {classes[1]} (logit axis)")
        axes.set_ylabel("share of the images of a class")
        axes.grid(True)
        axes.legend(loc="best")
        told = f"{classes[1]} is positive; in brackets the sensitivity / specificity of a threshold"
        several = f"bands: lowest to highest of {len(folds)} folds; grey: range of their thresholds" if len(folds) > 1 else ""
        set_title(figure, title, told if points else f"{classes[1]} is positive", several)
    return figure


def _rates(rows: pd.DataFrame, classes: Sequence[str], grid: np.ndarray, *, of_positive: bool) -> np.ndarray | None:
    """Sensitivity, or specificity, at each threshold: float64 like `grid`; `None` without images of the class."""
    values = np.sort(rows.loc[rows["label"] == classes[1 if of_positive else 0], f"p_{classes[1]}"].to_numpy())
    if not len(values):
        return None
    below = np.searchsorted(values, grid, side="left") / len(values)
    return 1 - below if of_positive else below


def _mark_threshold(axes: Axes, point: Mapping[str, Any], *, lowest: float, highest: float) -> None:
    """A line or a stripe at the thresholds of a point, with its sign and its sensitivity and specificity."""
    if point["scores"] is None:
        return
    thresholds = list(point["thresholds"].values())
    low, high, middle = np.clip([min(thresholds), max(thresholds), np.median(thresholds)], lowest, highest)
    axes.axvspan(low, high, color="#555555", alpha=0.3, linewidth=0)
    axes.axvline(middle, color="#555555", linewidth=0.8, linestyle=":")
    values = [point["scores"][name]["value"] for name in ("sensitivity", "specificity")]
    shown = " / ".join("n/a" if value is None else f"{value:.3f}" for value in values)
    defined = [value for value in values if value is not None]
    axes.plot(
        [middle] * len(defined),
        defined,
        POINT_MARKERS.get(point["name"], "P"),
        color="black",
        markerfacecolor="white",
        markersize=6.5,
        linestyle="none",
        label=f"{point['name']}: {np.median(thresholds):.3f} ({shown})",
    )
