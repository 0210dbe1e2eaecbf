"""X-rays with the label that a model gives each: the montage of Laban et al."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from cxr_keras.reporting.maps import label_panel
from cxr_keras.reporting.style import STYLE, set_title

COLUMNS = 6


@dataclass(frozen=True)
class LabelledPicture:
    """One X-ray of a montage.

    Attributes:
        image: float (h, w), grey in [0, 255].
        image_id: which image it is.
        label: the true class, or "" where it is unknown.
        predicted: the class that the model gives.
        probability: of the predicted class, in [0, 1].
        decided: what decided the prediction, e.g. "≥ 0.100, guaranteed"; "" for the most probable class.
    """

    image: np.ndarray
    image_id: str
    label: str
    predicted: str
    probability: float
    decided: str = ""


def label_montage_figure(pictures: Sequence[LabelledPicture], *, title: str) -> Figure:
    """Draw X-rays in rows of six, each with the predicted class above it, right or wrong by sign, colour and kind of line.

    Args:
        pictures: at least one.
        title: first line of the title; how many are right is added.

    Raises:
        ValueError: no picture.
    """
    if not pictures:
        raise ValueError("a montage needs at least one picture.")
    columns = min(COLUMNS, len(pictures))
    rows = -(-len(pictures) // columns)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(max(4.5, 2.0 * columns), 0.9 + 2.45 * rows), layout="constrained")
        panels = figure.subplots(rows, columns, squeeze=False).ravel()
        for axes, picture in zip(panels, pictures, strict=False):
            axes.imshow(picture.image, cmap="gray", vmin=0, vmax=255)
            axes.set(xticks=[], yticks=[])
            label_panel(axes, picture)
        for axes in panels[len(pictures) :]:
            axes.set_visible(False)
        known = [picture for picture in pictures if picture.label]
        right = sum(picture.label == picture.predicted for picture in known)
        counted = (
            f"{right} of {len(known)} as labelled; ✓ blue, full line: predicted as labelled, ✗ orange, broken line: not" if known else ""
        )
        set_title(figure, title, counted)
    return figure
