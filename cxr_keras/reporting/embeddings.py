"""Pictures of where images lie: one panel a space and projection, points by class, misclassified ones marked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from cxr_keras.reporting.style import COLOURS, STYLE, set_title

MARKERS = ("o", "^", "s", "D", "v", "P", "X")
"""A form for each class beside its colour, for readers who do not see the colour."""


def embeddings_figure(
    panels: Mapping[tuple[str, str], np.ndarray],
    labels: Sequence[str],
    predicted: Sequence[str],
    *,
    title: str,
    notes: Mapping[str, str],
    variance: Mapping[tuple[str, str], Sequence[float]] | None = None,
) -> Figure:
    """Draw points of images before and after a network side by side.

    Args:
        panels: float (n, 2) by (projection, space); projections become rows, spaces columns, in their order.
        labels: (n,) true classes.
        predicted: (n,) predicted classes; where they differ from the label a point gets a black ring.
        title: first line of the title.
        notes: a line under the name of each space, such as its silhouette.
        variance: shares of the whole variance, in [0, 1], that the two axes of a panel hold, where its projection has such shares (PCA).

    Raises:
        ValueError: numbers of points, labels and predictions differ.
    """
    lengths = {len(labels), len(predicted), *(len(points) for points in panels.values())}
    if len(lengths) != 1:
        raise ValueError(f"points, labels and predictions differ in number: {sorted(lengths)}.")
    projections, spaces = (list(dict.fromkeys(key[index] for key in panels)) for index in (0, 1))
    names, true = sorted(set(labels)), np.asarray(labels)
    wrong = true != np.asarray(predicted)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(1.0 + 4.4 * len(spaces), 1.2 + 4.0 * len(projections)), layout="constrained")
        grid = figure.subplots(len(projections), len(spaces), squeeze=False)
        for (projection, space), points in panels.items():
            axes = grid[projections.index(projection), spaces.index(space)]
            for name, colour, marker in zip(names, cycle(COLOURS), cycle(MARKERS)):
                shown = true == name
                axes.scatter(*points[shown].T, s=16, c=colour, marker=marker, alpha=0.65, linewidths=0, label=f"{name} ({shown.sum():,})")
            if wrong.any():
                ring = f"misclassified ({wrong.sum():,})"
                axes.scatter(*points[wrong].T, s=70, facecolors="none", edgecolors="black", linewidths=1.1, label=ring)
            shares = [f" ({share:.0%} of the variance)" for share in (variance or {}).get((projection, space), ())] or ["", ""]
            axes.set(xticks=[], yticks=[], xlabel=f"{projection} 1{shares[0]}", ylabel=f"{projection} 2{shares[1]}")
            if projection == projections[0]:
                axes.set_title(f"{space}\n{notes.get(space, '')}".rstrip())
        handles, words = grid[0, 0].get_legend_handles_labels()
        figure.legend(handles, words, loc="outside lower center", ncols=len(words), frameon=False)
        set_title(figure, title)
    return figure
