"""The grey scale pipeline of DICOM: from stored values to grey levels in [0, 255], as a viewer would first show them.

DICOM PS3.4 N.2 in its order: modality (a table, or slope and intercept), values of interest (a table, or a window), polarity
(MONOCHROME1 is dark where the value is high). The ends of the grey scale are those of the window or the table, or of what the
stored bits can hold where the file has neither. They are never the picture's own minimum and maximum: with these one bright
marker would darken every lung, and a picture would look otherwise after a crop.

Everything stays in floating point, so the fine levels of 10 to 16 bits survive up to the resize.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np


class Refused(ValueError):
    """A reason in this project's own words, told from what a parser of damaged bytes may raise."""


_WINDOW_FUNCTIONS = ("LINEAR", "LINEAR_EXACT", "SIGMOID")
"""PS3.3 C.11.2.1.3; LINEAR where the file names none."""

_LUMA = np.array([0.299, 0.587, 0.114])
"""Weights of red, green, blue in grey (ITU-R BT.601); three equal channels give their own value."""


def grey_of_stored(stored: np.ndarray, dataset: Any) -> np.ndarray:
    """Turn the stored values of a monochrome radiograph into grey levels.

    Args:
        stored: uint8, uint16, int8 or int16 (h, w).
        dataset: a pydicom dataset with the technical elements of the image.

    Returns:
        float32 (h, w) in [0, 255], 0 black. Padding beside the picture (Pixel Padding Value) is 0.

    Raises:
        Refused: a slope of 0, a window without width, an unknown window function, a table that is cut short.
    """
    low, high = _stored_range(dataset)
    values, low, high = _modality(stored, dataset, low, high)
    grey = _values_of_interest(values, dataset, low, high)
    if dataset.PhotometricInterpretation == "MONOCHROME1":
        grey = 1.0 - grey
    padding = _padding(stored, dataset)
    if padding is not None:
        grey[padding] = 0.0
    return (255.0 * grey).astype(np.float32)


def grey_of_colours(colours: np.ndarray) -> np.ndarray:
    """Turn RGB into grey.

    Args:
        colours: uint8 (h, w, 3).

    Returns:
        float32 (h, w) in [0, 255].
    """
    return (colours @ _LUMA).astype(np.float32)


def _stored_range(dataset: Any) -> tuple[float, float]:
    """Give the smallest and largest value that the stored bits can hold (PS3.5 8.1.1)."""
    if dataset.get("PixelRepresentation"):
        half = 2.0 ** (dataset.BitsStored - 1)
        return -half, half - 1.0
    return 0.0, 2.0**dataset.BitsStored - 1.0


def _modality(stored: np.ndarray, dataset: Any, low: float, high: float) -> tuple[np.ndarray, float, float]:
    """Apply the modality transformation (PS3.3 C.11.1); also give the range that its results can have."""
    if dataset.get("ModalityLUTSequence"):
        return _look_up(stored, dataset.ModalityLUTSequence[0], dataset, low=low)
    slope, intercept = _number(dataset.get("RescaleSlope"), 1.0), _number(dataset.get("RescaleIntercept"), 0.0)
    if slope == 0:
        raise Refused("the Rescale Slope is 0, which makes every pixel equal")
    values = stored * slope + intercept
    low, high = sorted((low * slope + intercept, high * slope + intercept))
    return values, low, high


def _values_of_interest(values: np.ndarray, dataset: Any, low: float, high: float) -> np.ndarray:
    """Apply the first table or the first window of the file, or the whole range; float64 in [0, 1]."""
    if dataset.get("VOILUTSequence"):
        # Where a file has both, the table is the maker's own curve and the window a rough stand-in for viewers without tables.
        values, low, high = _look_up(values, dataset.VOILUTSequence[0], dataset, low=low)
    elif dataset.get("WindowCenter") is not None and dataset.get("WindowWidth") is not None:
        return _window(
            values,
            center=_number(dataset.WindowCenter, 0.0),
            width=_number(dataset.WindowWidth, 0.0),
            function=dataset.get("VOILUTFunction") or "LINEAR",
        )
    return np.clip((values - low) / (high - low), 0.0, 1.0)


def _window(values: np.ndarray, *, center: float, width: float, function: str) -> np.ndarray:
    """Map a window to [0, 1] (PS3.3 C.11.2.1.2 and C.11.2.1.3)."""
    if function not in _WINDOW_FUNCTIONS:
        raise Refused(f"its VOI LUT Function is none of {', '.join(_WINDOW_FUNCTIONS)}")
    if width <= 0 or (function == "LINEAR" and width < 1):
        raise Refused(f"its Window Width is {width:g}, which no {function} window can have")
    if function == "SIGMOID":
        return 1.0 / (1.0 + np.exp(np.clip(-4.0 * (values - center) / width, -700.0, 700.0)))
    if function == "LINEAR":
        center, width = center - 0.5, width - 1.0
    if width == 0:
        return (values > center).astype(np.float64)
    return np.clip((values - center) / width + 0.5, 0.0, 1.0)


def _look_up(values: np.ndarray, item: Any, dataset: Any, *, low: float) -> tuple[np.ndarray, float, float]:
    """Send values through a table (PS3.3 C.11.1.1.1); values beyond its ends take its first or last entry.

    Returns:
        float64 results, and the range that the table's bits can hold.
    """
    count, first, bits = (int(number) for number in item.LUTDescriptor)
    count = count or 65536
    if first > 32767 and low < 0:
        first -= 65536  # written as unsigned although the values that it maps are signed
    if not 8 <= bits <= 16:
        raise Refused(f"its look-up table has {bits} bits an entry; 8 to 16 are allowed")
    entries = _table_entries(item.LUTData, count, dataset)
    if len(entries) < count:
        raise Refused(f"its look-up table has {len(entries)} entries where {count} are announced")
    places = np.clip(np.rint(values) - first, 0, count - 1).astype(np.intp)
    return entries[places].astype(np.float64), 0.0, 2.0**bits - 1.0


def _table_entries(data: Any, count: int, dataset: Any) -> np.ndarray:
    """Give the entries of a table, which is stored as numbers, as words, or as two bytes a word."""
    if not isinstance(data, bytes):
        return np.atleast_1d(np.asarray(data, dtype=np.int64))
    if len(data) < 2 * count:
        return np.frombuffer(data, np.uint8)[:count]
    little_endian = dataset.original_encoding[1]
    return np.frombuffer(data[: 2 * count], "<u2" if little_endian else ">u2")


def _padding(stored: np.ndarray, dataset: Any) -> np.ndarray | None:
    """Find the pixels that only fill the rectangle (PS3.3 C.7.5.1.1.2); None where the file names no padding."""
    value = dataset.get("PixelPaddingValue")
    if value is None:
        return None
    ends = [_signed_as(stored, int(end)) for end in (value, dataset.get("PixelPaddingRangeLimit", value))]
    return (stored >= min(ends)) & (stored <= max(ends))


def _signed_as(stored: np.ndarray, value: int) -> int:
    """Read a padding value with the sign of the pixels; files often write it with the other one."""
    bits = 8 * stored.dtype.itemsize
    value %= 1 << bits
    return value - (1 << bits) if stored.dtype.kind == "i" and value >> (bits - 1) else value


def _number(value: Any, default: float) -> float:
    """Give the first of one or several decimal numbers."""
    if value is None or value == "":
        return default
    number = float(value[0] if hasattr(value, "__len__") and not isinstance(value, str) else value)
    if not math.isfinite(number):
        raise Refused("a slope, intercept or window of it is no finite number")
    return number
