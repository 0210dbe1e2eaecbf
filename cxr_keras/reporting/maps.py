"""Pictures of maps: an X-ray beside itself with the evidence laid over it, and many of these on a page.

Evidence is drawn in `inferno`, whose lightness rises evenly, so that it reads the same in print and to colour-blind readers; where nothing
speaks for the class the X-ray stays as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, ListedColormap, Normalize
from matplotlib.figure import Figure

from cxr_keras.reporting.style import STYLE, set_title

OPACITY = 0.75
"""Of the highest evidence; ribs must be seen through it."""

UNITS = {
    "grad_cam": "Grad-CAM: features × mean gradient of the logit",
    "hires_cam": "HiResCAM: features × gradient of the logit",
    "cam": "class activation map: the mean over the image, with the bias, is the logit",
    "activation": "mean absolute activation (of no class)",
    "occlusion": "fall of the logit when this place is covered",
}
"""What the numbers of a method are; a word of the colour bar."""

RIGHT, WRONG, UNKNOWN = ("✓", "#0072B2"), ("✗", "#D55E00"), ("", "#000000")
"""Sign and colour of a prediction: blue and orange are told apart by all, and the sign needs no colour."""


@dataclass(frozen=True)
class MapPicture:
    """What one picture shows.

    Attributes:
        image: float (h, w), grey in [0, 255].
        evidence: float (h, w), 0 or more.
        image_id: which image it is.
        label: the true class, or "" where it is unknown.
        predicted: the class that the model gives.
        probability: of the predicted class, in [0, 1].
        method: a key of `UNITS`, or any other word.
        explained_class: the class that the evidence speaks for.
        grid: rows and columns of the map before it was enlarged, which its fineness is; `None` where unknown.
        decided: what decided the prediction, e.g. "≥ 0.100, guaranteed"; "" for the most probable class.
    """

    image: np.ndarray
    evidence: np.ndarray
    image_id: str
    label: str
    predicted: str
    probability: float
    method: str
    explained_class: str
    grid: tuple[int, int] | None = None
    decided: str = ""


def verdict(label: str, predicted: str) -> tuple[str, str]:
    """Sign and colour of a prediction beside its label."""
    if not label:
        return UNKNOWN
    return RIGHT if label == predicted else WRONG


def map_figure(picture: MapPicture) -> Figure:
    """Draw one X-ray, and the same with its map over it and a colour bar.

    Raises:
        ValueError: image and evidence differ in shape, or evidence is negative or not finite.
    """
    _check(picture)
    with matplotlib.rc_context(STYLE):
        height, width = picture.image.shape
        figure = Figure(figsize=(8.6, 1.25 + 3.6 * height / width), layout="constrained")
        plain, overlaid = figure.subplots(1, 2)
        _grey(plain, picture.image)
        plain.set_title("X-ray, as the network frames it")
        shown = _overlay(overlaid, picture)
        of_class = "" if picture.method == "activation" else f" for {picture.explained_class}"
        cells = cells_of([picture])
        overlaid.set_title(f"{picture.method}{of_class}{f', {cells}' if cells else ''}", fontsize=10)
        bar = figure.colorbar(ScalarMappable(Normalize(*shown.get_clim()), seen_map()), ax=overlaid, shrink=0.92)
        bar.set_label(f"{UNITS.get(picture.method, picture.method)}\n(colours as over mid-grey)", fontsize=8)
        bar.outline.set_visible(False)
        sign, colour = verdict(picture.label, picture.predicted)
        decided = f" ({picture.decided})" if picture.decided else ""
        label = f"label {picture.label}" if picture.label else "no label"
        words = f"{label}; predicted {picture.predicted}, probability {picture.probability:.3f}{decided} {sign}".rstrip()
        nothing = "nothing in this map speaks for the class" if not picture.evidence.any() else ""
        set_title(figure, picture.image_id, words, nothing)
        plain.spines[:].set(visible=True, color=colour, linewidth=3, linestyle="--" if sign == WRONG[0] else "-")
    return figure


def maps_montage_figure(pictures: Sequence[MapPicture], *, title: str) -> Figure:
    """Draw many maps on one page, each scaled to its own highest evidence.

    Args:
        pictures: at least one.
        title: first line of the title.

    Raises:
        ValueError: no picture, or one that `map_figure` refuses.
    """
    if not pictures:
        raise ValueError("a montage needs at least one picture.")
    columns = min(6, len(pictures))
    rows = -(-len(pictures) // columns)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(max(4.5, 2.2 * columns), 1.3 + 2.65 * rows), layout="constrained")
        panels = figure.subplots(rows, columns, squeeze=False).ravel()
        for axes, picture in zip(panels, pictures, strict=False):
            _check(picture)
            _overlay(axes, picture)
            label_panel(axes, picture)
        for axes in panels[len(pictures) :]:
            axes.set_visible(False)
        bar = figure.colorbar(ScalarMappable(Normalize(0, 1), seen_map()), ax=panels.tolist(), location="bottom", shrink=0.4, aspect=40)
        bar.set_label("evidence, share of the highest in each image (colours as over mid-grey)", fontsize=9)
        bar.outline.set_visible(False)
        of_class = sorted({picture.explained_class for picture in pictures})
        legend = "✓ blue: predicted as labelled, ✗ orange: not" if any(picture.label for picture in pictures) else ""
        what = "" if pictures[0].method == "activation" else f"maps for {' or '.join(of_class)}"
        set_title(figure, title, "; ".join(part for part in (what, cells_of(pictures), legend) if part))
    return figure


def cells_of(pictures: Sequence[MapPicture]) -> str:
    """Say how fine the maps are: "map of 4 × 4 cells", "maps of 4 × 4 or 8 × 8 cells"; "" where it is unknown."""
    grids = sorted({picture.grid for picture in pictures if picture.grid is not None})
    cells = " or ".join(f"{rows} × {columns}" for rows, columns in grids)
    return f"map{'s' if len(pictures) > 1 else ''} of {cells} cells" if grids else ""


class Called(Protocol):
    """An image with what a model makes of it, such as a `MapPicture`."""

    @property
    def image_id(self) -> str:
        """Which image it is."""

    @property
    def label(self) -> str:
        """The true class, or "" where it is unknown."""

    @property
    def predicted(self) -> str:
        """The class that the model gives."""

    @property
    def probability(self) -> float:
        """Of the predicted class, in [0, 1]."""

    @property
    def decided(self) -> str:
        """What decided the prediction, or ""."""


def label_panel(axes: Axes, picture: Called) -> None:
    """Put id, prediction, what decided it, sign and label around a panel, and a frame in the colour of the verdict."""
    sign, colour = verdict(picture.label, picture.predicted)
    called = f"{sign} {picture.predicted} {picture.probability:.2f}".strip()
    axes.set_title(f"{called}\n({picture.decided})" if picture.decided else called, color=colour, fontsize=9, fontweight="bold", pad=3)
    axes.set_xlabel(f"{shortened(picture.image_id)}\n{f'label {picture.label}' if picture.label else 'no label'}", fontsize=7, labelpad=2)
    for side in axes.spines.values():
        side.set(visible=True, color=colour, linewidth=2.5, linestyle="--" if sign == WRONG[0] else "-")


def shortened(text: str, *, room: int = 30) -> str:
    """Cut a long id in the middle; its ends tell images apart."""
    return text if len(text) <= room else f"{text[: room // 2 - 1]}…{text[-(room // 2) :]}"


def _grey(axes: Axes, image: np.ndarray) -> None:
    axes.imshow(image, cmap="gray", vmin=0, vmax=255)
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)


def _overlay(axes: Axes, picture: MapPicture) -> Any:
    """The X-ray with its evidence; gives what a colour bar needs."""
    _grey(axes, picture.image)
    highest = float(picture.evidence.max())
    return axes.imshow(picture.evidence, cmap=_evidence_map(), vmin=0, vmax=highest if highest > 0 else 1.0)


def _evidence_map() -> Colormap:
    """Inferno without its black end, from clear to nearly opaque: faint evidence must not darken the lung."""
    colours = matplotlib.colormaps["inferno"](np.linspace(0.15, 1, 256))
    colours[:, 3] = OPACITY * np.linspace(0, 1, 256) ** 0.8
    return ListedColormap(colours, name="evidence")


def seen_map() -> Colormap:
    """The colours of evidence as they are seen over mid-grey, for colour bars: over white paper they would look paler."""
    colours = _evidence_map()(np.arange(256))
    opacity = colours[:, 3:]
    return ListedColormap(np.hstack([colours[:, :3] * opacity + 0.5 * (1 - opacity), np.ones((256, 1))]), name="evidence over grey")


def _check(picture: MapPicture) -> None:
    if picture.image.shape != picture.evidence.shape or picture.image.ndim != 2:
        raise ValueError(
            f"{picture.image_id}: the image is {picture.image.shape} and its map {picture.evidence.shape}; expected (h, w) twice."
        )
    if not np.isfinite(picture.evidence).all() or (picture.evidence < 0).any():
        raise ValueError(f"{picture.image_id}: evidence must be finite and 0 or more; draw the positive part of a map.")
