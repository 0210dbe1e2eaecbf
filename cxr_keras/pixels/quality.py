"""Flags for pictures that are grossly unfit: blank, too small, inverted, or no chest X-ray at all.

Each rule is one number with a limit far from every real radiograph that was measured: all 5,856 images of Kermany's set and 201 of the
COVID-19 collection (224 px), and 34 of the former at full size. None of these 6,091 has a flag.

| flag | rule | real images |
|---|---|---|
| small | a side below 64 px | 163 px and more |
| strip | one side above 5 times the other | at most 2.96 times (34 at full size; the others are stretched to squares) |
| blank | 1st and 99th percentile closer than 20 grey levels | 62 and more |
| flat | one grey level fills above 80 % | at most 48 % |
| page | above 40 % nearly white (250 and more) | at most 8.3 % |
| colour | colours differ by above 25 levels on average | at most 10.5 |
| inverted | the middle is darker by above 10 levels than the sides and than the upper corners | lighter than one by 2.7 or more |

Of the same images inverted, 99.5 % of Kermany's are flagged, all at full size, and 73 % of the COVID-19 collection, whose
pictures are often cut at the skin, with no air around. A grey photograph, another part of the body or a lateral view is flagged
by no rule: none was found that tells them apart without a network of its own and without false alarms, so none is here. No flag is
no certificate.
"""

from __future__ import annotations

import cv2
import numpy as np

from cxr_keras.pixels.decode import decode_gray
from cxr_keras.pixels.dicom import is_dicom

FLAGS = ("small", "strip", "blank", "flat", "page", "colour", "inverted")

SMALLEST_SIDE = 64
"""Pixels: the smallest input of a published system (Laban 2.2); below it a picture can only be enlarged."""
LONGEST_RATIO = 5.0
SMALLEST_RANGE = 20.0
LARGEST_LEVEL = 0.8
LARGEST_WHITE, WHITE = 0.4, 250.0
LARGEST_SPREAD = 25.0
INVERTED_BY = 10.0

_SIDE = 64
"""Side of the reduced picture on which places are compared; a pixel of it is the mean of those below it."""
_MIDDLE = (slice(16, 48), slice(24, 40))
"""Rows and columns of spine and mediastinum, the lightest part of a frontal view beside the diaphragm."""
_EDGE, _CORNER = 4, 8
"""Columns of the air beside the chest, and rows and columns of the air above the shoulders."""


def flag_grey(grey: np.ndarray) -> dict[str, str]:
    """Find what is grossly wrong with a picture, from its grey levels.

    Args:
        grey: float32 or uint8 (h, w) or (h, w, 1) in [0, 255], at its own size.

    Returns:
        Flag (one of `FLAGS` but "colour") -> what was found, in words; empty if nothing is wrong. A blank picture has no
        flag that looks at its content.

    Raises:
        ValueError: another shape.
    """
    if grey.ndim not in (2, 3) or (grey.ndim == 3 and grey.shape[2] != 1):
        raise ValueError(f"the picture has the shape {grey.shape}; expected (height, width) or (height, width, 1) of grey levels.")
    grey = np.asarray(grey, np.float32).reshape(grey.shape[:2])
    found: dict[str, str] = {}
    height, width = grey.shape
    if min(height, width) < SMALLEST_SIDE:
        found["small"] = f"{width}×{height} pixels, at least {SMALLEST_SIDE} a side are expected"
    if max(height, width) > LONGEST_RATIO * min(height, width):
        found["strip"] = f"{width}×{height} pixels, no chest has this shape"
    low, high = np.percentile(grey, [1, 99])
    if high - low < SMALLEST_RANGE:
        return found | {"blank": f"nearly all pixels lie between the grey levels {low:.0f} and {high:.0f}"}
    level = float(np.bincount(np.rint(grey).astype(np.intp).ravel(), minlength=256).max() / grey.size)
    if level > LARGEST_LEVEL:
        found["flat"] = f"one grey level fills {level:.0%} of the picture"
    white = float((grey >= WHITE).mean())
    if white > LARGEST_WHITE:
        found["page"] = f"{white:.0%} of the picture is white, as on a page of text"
    darker = _middle_darker_by(grey)
    if darker > INVERTED_BY:
        found["inverted"] = f"the middle is {darker:.0f} grey levels darker than the air around the chest should be"
    return found


def flag_file(contents: bytes) -> dict[str, str]:
    """Find what is grossly wrong with the picture in a file.

    Args:
        contents: the bytes of a JPEG, PNG or DICOM file.

    Returns:
        As `flag_grey`, and "colour" for a JPEG or PNG whose colours are not all grey.

    Raises:
        ValueError: the file cannot be decoded.
    """
    found = flag_grey(decode_gray(contents).numpy())
    if not is_dicom(contents):
        spread = _colour_spread(contents)
        if spread > LARGEST_SPREAD:
            found["colour"] = f"red, green and blue differ by {spread:.0f} levels on average, a radiograph is grey"
    return found


def _colour_spread(contents: bytes) -> float:
    """Mean over the pixels of the largest less the smallest of red, green and blue, in levels of 255."""
    colours = cv2.imdecode(np.frombuffer(contents, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    return 0.0 if colours is None else float(np.mean(colours.max(axis=2) - colours.min(axis=2)))


def _middle_darker_by(grey: np.ndarray) -> float:
    """Grey levels by which the middle is darker than the sides and than the upper corners, the smaller of the two."""
    small = cv2.resize(grey, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
    middle = small[_MIDDLE].mean()
    sides = np.concatenate([small[:, :_EDGE], small[:, -_EDGE:]], axis=1).mean()
    corners = np.concatenate([small[:_CORNER, :_CORNER], small[:_CORNER, -_CORNER:]], axis=1).mean()
    return float(min(sides, corners) - middle)
