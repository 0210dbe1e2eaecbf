"""One look for all figures: readable in print, in grey, and by colour-blind readers."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from cxr_keras.runs.files import write_atomically

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Okabe and Ito (2008), Color Universal Design; yellow is left out because it vanishes on paper."""

POINT_MARKERS = {"0.5": "o", "youden": "^", "sensitive": "s", "guaranteed": "D"}
"""Signs of the operating points, which tell them apart without colour."""

DOTS_PER_INCH = 200

# Any, because the stubs of rc_context list every setting as a literal, which a plain dictionary cannot meet.
STYLE: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.labelsize": 10,
    "legend.fontsize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.6,
    "lines.linewidth": 1.8,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    # Letters as shapes look the same where the font is missing; a fixed salt gives the same file from the same figure.
    "svg.fonttype": "path",
    "svg.hashsalt": "cxr_keras",
}


CHARACTERS_PER_INCH = 11
"""Of an 11 point title; DejaVu Sans is about 0.58 of its size wide on average."""


def set_title(figure: Figure, *lines: str) -> None:
    """Put a title over the whole figure, lines broken where they would run over its edge; empty ones are left out."""
    room = int(figure.get_figwidth() * CHARACTERS_PER_INCH)
    figure.suptitle("\n".join(textwrap.fill(line, room) for line in lines if line), fontsize=11)


def save_figure(figure: Figure, path: str | Path, *, svg: bool = False) -> Path:
    """Write a figure as PNG at 200 dots per inch, whole or not at all.

    Args:
        figure: from one of the functions of `cxr_keras.reporting`.
        path: ends in `.png`.
        svg: write an SVG of the same name beside it, for print; a figure of photographs is better without.

    Returns:
        The path.

    Raises:
        ValueError: `path` does not end in `.png`.
    """
    path = Path(path)
    if path.suffix.lower() != ".png":
        raise ValueError(f"Figures are written as PNG, but the path is {path}: let it end in .png.")
    with matplotlib.rc_context(STYLE), write_atomically(path) as temporary:
        figure.savefig(temporary, format="png", dpi=DOTS_PER_INCH)
    if svg:
        with matplotlib.rc_context(STYLE), write_atomically(path.with_suffix(".svg")) as temporary:
            # The layout was found for the PNG; looking for it again would double the time.
            figure.set_layout_engine("none")
            # Without the date, which would make every file another one.
            figure.savefig(temporary, format="svg", metadata={"Date": None})
    return path
