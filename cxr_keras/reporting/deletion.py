"""Mean curves of deletion and insertion."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from cxr_keras.reporting.style import COLOURS, STYLE, set_title

LINES = ("-", "--", "-.", (0, (5, 1)), (0, (3, 1, 1, 1)))


class MeanCurves(NamedTuple):
    """Mean curves of one order of the pixels.

    Attributes:
        name: the method, or "random".
        shares: float64 (steps + 1,), share of the pixels that are covered or shown.
        deletion: float64 (steps + 1,), mean probability while pixels are covered.
        insertion: float64 (steps + 1,), mean probability while pixels are shown.
    """

    name: str
    shares: np.ndarray
    deletion: np.ndarray
    insertion: np.ndarray


def deletion_figure(curves: Sequence[MeanCurves], *, title: str) -> Figure:
    """Draw deletion beside insertion, a line an order of the pixels, the random one dotted and grey."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(8, 3.6), layout="constrained")
        left, right = figure.subplots(1, 2, sharey=True)
        for number, each in enumerate(curves):
            look = {"color": COLOURS[number % len(COLOURS)], "linestyle": LINES[number % len(LINES)], "label": each.name}
            if each.name == "random":
                look = {"color": "0.4", "linestyle": ":", "label": "random order"}
            left.plot(100 * each.shares, each.deletion, **look)
            right.plot(100 * each.shares, each.insertion, **look)
        left.set(
            xlabel="pixels covered (%)", ylabel="probability of the label's class", ylim=(0, 1.02), title="deletion: an early fall is good"
        )
        right.set(xlabel="pixels shown (%)", title="insertion: an early rise is good")
        right.legend(loc="lower right", fontsize="small")
        set_title(figure, f"{title}: pixels in the order of the maps", "means over the images where the map says something")
    return figure
