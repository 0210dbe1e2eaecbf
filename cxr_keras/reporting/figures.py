"""Figures of counts and of training: confusion matrix, learning curves. Curves over thresholds are in `curves` and `probabilities`.

Figures are made without pyplot, so nothing is kept in a global list and no display is needed.
"""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cxr_keras.reporting.style import COLOURS, STYLE, set_title

TRAINING, VALIDATION = COLOURS[0], COLOURS[1]

HISTORY_COLUMNS = ("phase", "epoch", "loss", "accuracy")
_PANELS = (("loss", "loss (cross-entropy, nats)"), ("accuracy", "accuracy (share of images)"))


def confusion_matrix_figure(
    matrix: Sequence[Sequence[int]] | np.ndarray, classes: Sequence[str], *, title: str = "Confusion matrix"
) -> Figure:
    """Draw a confusion matrix: images in each cell, and their share of the true class as number and as shade.

    Args:
        matrix: (k, k) numbers of images, true class by row, predicted class by column.
        classes: the k class names.
        title: first line of the title; the number of images is added.

    Returns:
        The figure.

    Raises:
        ValueError: the matrix does not fit the classes.
    """
    counts = np.asarray(matrix)
    k = len(classes)
    if counts.shape != (k, k):
        raise ValueError(f"The confusion matrix has shape {counts.shape}, but {k} classes need ({k}, {k}).")
    row_sums = counts.sum(axis=1, keepdims=True)
    rates = np.divide(counts, row_sums, out=np.zeros((k, k)), where=row_sums > 0)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(2.6 + 0.95 * k, 2.1 + 0.8 * k), layout="constrained")
        axes = figure.add_subplot()
        image = axes.imshow(rates, cmap="Blues", vmin=0, vmax=1, aspect="auto")
        for row, column in np.ndindex(k, k):
            share = f"{rates[row, column]:.1%}" if row_sums[row, 0] else "n/a"
            axes.text(
                column,
                row,
                f"{counts[row, column]:,}\n{share}",
                ha="center",
                va="center",
                color="white" if rates[row, column] > 0.55 else "black",
            )
        axes.set_xticks(range(k), classes)
        axes.set_yticks(range(k), [f"{name}\n(n = {total:,})" for name, total in zip(classes, row_sums[:, 0], strict=True)])
        axes.set_xlabel("predicted class")
        axes.set_ylabel("true class")
        set_title(figure, title, f"{counts.sum():,} images; % of the true class")
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        bar = figure.colorbar(image, ax=axes, format=matplotlib.ticker.PercentFormatter(1.0))
        bar.set_label("share of the true class")
        bar.outline.set_visible(False)
    return figure


def learning_curves_figure(
    histories: Sequence[tuple[str, pd.DataFrame]], *, title: str = "Learning curves", scored_part: str = "validation"
) -> Figure:
    """Draw loss and accuracy by epoch; with several folds thin lines and their mean over the epochs that all have.

    Args:
        histories: name (e.g. "fold 0") and history of each run: columns phase, epoch (from 1, running on over phases),
            loss, accuracy and, where there was a validation part, val_loss, val_accuracy.
        title: first line of the title.
        scored_part: what the legend calls the images of the columns val_*; they are the test part where nothing is chosen on them.

    Returns:
        The figure. Dotted lines mark where a phase of the first history begins. Without any val_* the title says that the run has no
        validation part; a single history named "split" goes unnamed.

    Raises:
        ValueError: no history, an empty one, or one without a needed column; all are listed.
    """
    faults = [
        f"{name} lacks the column{'s' if len(missing) > 1 else ''} {', '.join(missing)}"
        for name, history in histories
        if (missing := [column for column in HISTORY_COLUMNS if column not in history])
    ]
    faults += [f"{name} has no epochs" for name, history in histories if history.empty]
    if faults or not histories:
        listed = "; ".join(faults) or "no history was given"
        raise ValueError(f"Learning curves need a history.csv with {', '.join(HISTORY_COLUMNS)}: {listed}. Train first.")
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(9.0, 3.9), layout="constrained")
        panels = figure.subplots(1, 2)
        for axes, (column, label) in zip(panels, _PANELS, strict=True):
            _draw_curves(axes, histories, column, "training", TRAINING, "-")
            _draw_curves(axes, histories, f"val_{column}", scored_part, VALIDATION, "--")
            _mark_phases(axes, histories[0][1])
            axes.set_xlabel("epoch")
            axes.set_ylabel(label)
            axes.grid(True)
            axes.set_xlim(left=0.5)
            axes.xaxis.set_major_locator(matplotlib.ticker.MaxNLocator(integer=True, min_n_ticks=1))
        panels[0].set_ylim(bottom=0)
        panels[0].legend(loc="best")
        first, last = histories[0][0], histories[-1][0]
        drawn = f"thick: mean over the epochs that all {len(histories)} have, thin: {first} to {last}"
        alone = "" if first == "split" else first
        scored = any(
            history[f"val_{column}"].notna().any() for _, history in histories for column, _ in _PANELS if f"val_{column}" in history
        )
        set_title(figure, title, drawn if len(histories) > 1 else alone, "" if scored else "no validation part in this run")
    return figure


def _draw_curves(axes: Axes, histories: Sequence[tuple[str, pd.DataFrame]], column: str, label: str, colour: str, style: str) -> None:
    curves = [history.set_index("epoch")[column].dropna() for _, history in histories if column in history]
    curves = [curve for curve in curves if len(curve)]
    if not curves:
        return
    marker = "o" if max(len(curve) for curve in curves) == 1 else None
    if len(curves) > 1:
        for curve in curves:
            axes.plot(curve.index, curve, color=colour, linestyle=style, linewidth=0.7, alpha=0.45, marker=marker)
    mean = pd.concat(curves, axis=1, join="inner").mean(axis=1)
    axes.plot(mean.index, mean, color=colour, linestyle=style, linewidth=2.2, label=label, marker=marker)


def _mark_phases(axes: Axes, history: pd.DataFrame) -> None:
    """Name the phases above the curves; nothing is marked where there is only one."""
    starts = history.groupby("phase", sort=False)["epoch"].min()
    if len(starts) < 2:
        return
    for name, first in starts.items():
        if first > history["epoch"].min():
            axes.axvline(first - 0.5, color="#555555", linewidth=1, linestyle=":")
        axes.annotate(str(name), (first - 0.4, 1.01), xycoords=("data", "axes fraction"), fontsize=8, color="#555555")
