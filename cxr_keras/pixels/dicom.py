"""DICOM radiographs to grey pixels, before the one function that decodes and resizes.

Only technical elements are read from the header. Who the patient is never becomes a Python object here, so no error message,
log or cache can tell it.

The compressed kinds are decoded by GDCM, RLE by pydicom. They are named rather than left to whatever is installed, so that a
file gives the same pixels on every machine.

GDCM must not be imported before Python's zlib. Its wheel brings a zlib of its own and is what loads the system's one if nothing
did before; half of the latter's functions are then bound to the former, and the next deflate ends the process with "double free
or corruption" (python-gdcm 3.2.6, Linux). This module imports zlib first.
"""

from __future__ import annotations

import functools
import io
import struct
import warnings
import zlib  # before pydicom, which imports GDCM: see below
from typing import TYPE_CHECKING, Any

import numpy as np

from cxr_keras.pixels.dicom_grey import Refused, grey_of_colours, grey_of_stored

if TYPE_CHECKING:
    from pydicom import Dataset

INSTALL = "pip install 'cxr-keras[dicom]'"

DICOM_MARK, DICOM_MARK_AT = b"DICM", 128
"""What every DICOM file has behind its preamble (PS3.10 7.1)."""

_MONOCHROME = ("MONOCHROME1", "MONOCHROME2")
_COLOUR = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT")

_DEFLATED = "1.2.840.10008.1.2.1.99"
_PLUGINS = {
    "1.2.840.10008.1.2": "",  # implicit VR, little endian
    "1.2.840.10008.1.2.1": "",  # explicit VR, little endian
    "1.2.840.10008.1.2.2": "",  # explicit VR, big endian
    _DEFLATED: "",
    "1.2.840.10008.1.2.5": "pydicom",  # RLE
    "1.2.840.10008.1.2.4.50": "gdcm",  # JPEG baseline
    "1.2.840.10008.1.2.4.51": "gdcm",  # JPEG extended, 8 bits
    "1.2.840.10008.1.2.4.57": "gdcm",  # JPEG lossless
    "1.2.840.10008.1.2.4.70": "gdcm",  # JPEG lossless, first-order prediction
    "1.2.840.10008.1.2.4.80": "gdcm",  # JPEG-LS lossless
    "1.2.840.10008.1.2.4.81": "gdcm",  # JPEG-LS near lossless
    "1.2.840.10008.1.2.4.90": "gdcm",  # JPEG 2000 lossless
    "1.2.840.10008.1.2.4.91": "gdcm",  # JPEG 2000
}
"""Transfer syntax -> the decoder that pydicom is told to take; "" where the pixels are not compressed (PS3.5 annex A)."""
_JPEG_EXTENDED = "1.2.840.10008.1.2.4.51"

_WHOLE_NUMBERS = (
    *("Rows", "Columns", "NumberOfFrames", "SamplesPerPixel", "PlanarConfiguration", "BitsAllocated", "BitsStored", "HighBit"),
    *("PixelRepresentation", "PixelPaddingValue", "PixelPaddingRangeLimit"),
)
_KEYWORDS = (
    *_WHOLE_NUMBERS,
    *("PhotometricInterpretation", "PresentationIntentType", "RescaleSlope", "RescaleIntercept", "ModalityLUTSequence"),
    *("VOILUTSequence", "VOILUTFunction", "WindowCenter", "WindowWidth", "PixelData", "FloatPixelData", "DoubleFloatPixelData"),
)

_COMPRESSED_PIXELS = b"\xe0\x7f\x10\x00OB\x00\x00\xff\xff\xff\xff"
_SEQUENCE_END = b"\xfe\xff\xdd\xe0\x00\x00\x00\x00"
"""Pixel Data of undefined length, and what ends it (PS3.5 A.4)."""

_META_LENGTH_AT = 140
"""Where the length of the file meta information stands (PS3.10 7.1); the transfer syntax is in it, the data set behind it."""
_META_AT_MOST = 1 << 16

_LARGEST_INFLATED = 1 << 30
"""Bytes that a deflated file may inflate to; the largest radiographs have 0.05."""


def is_dicom(contents: bytes) -> bool:
    """Tell whether bytes are a DICOM file."""
    return contents[DICOM_MARK_AT : DICOM_MARK_AT + len(DICOM_MARK)] == DICOM_MARK


def read_dicom_size(contents: bytes) -> tuple[int, int]:
    """Give width and height of a radiograph from the header, in pixels.

    Args:
        contents: the bytes of a DICOM file.

    Raises:
        ValueError: pydicom is not installed, or the file is none that `decode_dicom` reads, as far as the header tells.
    """
    dataset = _read(contents, pixels=False)
    _refuse_others(dataset)
    return int(dataset.Columns), int(dataset.Rows)


def decode_dicom(contents: bytes) -> np.ndarray:
    """Decode a radiograph to grey at its own size.

    Args:
        contents: the bytes of a DICOM file with one frame, 8 or 16 bits allocated, monochrome or colour.

    Returns:
        float32 (h, w, 1) in [0, 255], 0 black; the fine levels of more than 8 bits are kept.

    Raises:
        ValueError: pydicom (or GDCM, for the compressed kinds) is not installed, the file is damaged, or it holds
            something else than one radiograph for display; the message says what.
    """
    dataset = _read(contents, pixels=True)
    _refuse_others(dataset)
    if not dataset.get("PixelData"):
        kind = "floating point pixels" if _has_float_pixels(dataset) else "a header without pixels"
        raise ValueError(f"the DICOM file holds {kind}; export the image with its pixel data")
    stored = _stored_pixels(dataset)
    if dataset.SamplesPerPixel == 3:
        grey = grey_of_colours(stored)
    else:
        try:
            grey = grey_of_stored(stored, dataset)
        except Refused as refused:
            raise ValueError(f"the grey scale of the DICOM file cannot be applied: {refused}; export the image again") from None
        except Exception as error:
            raise ValueError(f"the DICOM file is damaged: its grey scale cannot be read ({type(error).__name__})") from None
    return grey[..., np.newaxis]


@functools.cache
def require_pydicom() -> Any:
    """Import pydicom, and keep it from quoting files.

    Its warnings show values that it finds odd. In a damaged file that can be anything, the patient's name too, so they are
    not shown; what matters of them becomes an error here.

    Raises:
        ValueError: it is not installed; the message says how to install it.
    """
    try:
        import pydicom
    except ImportError:
        raise ValueError(f"reading DICOM needs the package pydicom, which is not installed. Install it with {INSTALL}.") from None
    warnings.filterwarnings("ignore", module=r"pydicom(\.|$)")
    return pydicom


@functools.cache
def _technical_tags() -> list[int]:
    from pydicom.datadict import tag_for_keyword

    return [tag for keyword in _KEYWORDS if (tag := tag_for_keyword(keyword)) is not None]


def _read(contents: bytes, *, pixels: bool) -> Dataset:
    """Read the technical elements of a file."""
    pydicom = require_pydicom()
    if not is_dicom(contents):
        raise ValueError("the file is no DICOM file: DICM does not stand at byte 128")
    try:
        _refuse_cut(contents)
        _refuse_bomb(contents)
        dataset = pydicom.dcmread(io.BytesIO(contents), stop_before_pixels=not pixels, specific_tags=_technical_tags())
        # Elements are parsed when they are asked for; damage has to show here.
        for element in dataset:
            if element.keyword in _WHOLE_NUMBERS and not isinstance(element.value, int | None):
                raise TypeError(element.keyword)
    except Refused as refused:
        raise ValueError(str(refused)) from None
    except Exception as error:
        # Words of its own, as a parser's message may quote any part of the file.
        raise ValueError(f"the DICOM file is damaged or cut short: its header cannot be read ({type(error).__name__})") from None
    return dataset


def _refuse_cut(contents: bytes) -> None:
    """Refuse compressed pixels without their end mark, of which pydicom gives what is there, or nothing at all."""
    start = contents.rfind(_COMPRESSED_PIXELS)
    if start >= 0 and contents.find(_SEQUENCE_END, start) < 0:
        raise Refused("the DICOM file is cut short: its compressed pixels have no end")


def _refuse_bomb(contents: bytes) -> None:
    """Refuse a deflated file that would inflate without measure; pydicom inflates whatever it is given."""
    if _DEFLATED.encode() not in contents[:_META_AT_MOST]:
        return
    (meta_length,) = struct.unpack_from("<I", contents, _META_LENGTH_AT)
    remaining, size = contents[_META_LENGTH_AT + 4 + meta_length :], 0
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    while remaining and not inflater.eof:
        size += len(inflater.decompress(remaining, 1 << 24))
        remaining = inflater.unconsumed_tail
        if size > _LARGEST_INFLATED:
            raise Refused(f"the deflated DICOM file inflates to more than {_LARGEST_INFLATED:,} bytes, which no radiograph does")


def _refuse_others(dataset: Dataset) -> None:
    """Refuse what is not one radiograph for display, with all reasons that the header gives."""
    if not (dataset.get("Rows") and dataset.get("Columns")):
        raise ValueError("the DICOM file holds no image: it is a report, a presentation state, a directory, or cut short before the image")
    faults = []
    syntax = _transfer_syntax(dataset)
    if syntax not in _PLUGINS:
        faults.append("its pixels are compressed in a way that is not read; decompress it first (dcmtk: dcmdjpeg, gdcm: gdcmconv --raw)")
    frames = dataset.get("NumberOfFrames") or 1
    if frames != 1:
        faults.append(f"it has {frames} frames where a radiograph has one; export the frame wanted as a file of its own")
    if dataset.get("PresentationIntentType") == "FOR PROCESSING":
        faults.append("it is the detector's raw picture (FOR PROCESSING); export the one FOR PRESENTATION")
    faults += _photometric_faults(dataset) + _bit_faults(dataset)
    if faults:
        raise ValueError("the DICOM file cannot be used: " + "; ".join(faults))


def _photometric_faults(dataset: Dataset) -> list[str]:
    kind, samples = dataset.get("PhotometricInterpretation"), dataset.get("SamplesPerPixel", 1)
    if kind == "PALETTE COLOR":
        return ["its colours come from a palette, whose numbers have no order of brightness; export it as grey"]
    if kind not in (*_MONOCHROME, *_COLOUR):
        return [f"its photometric interpretation is none of {', '.join((*_MONOCHROME, *_COLOUR))}"]
    if samples != (1 if kind in _MONOCHROME else 3):
        return [f"it has {samples} samples a pixel, which does not fit {kind}"]
    return []


def _bit_faults(dataset: Dataset) -> list[str]:
    allocated, stored = dataset.get("BitsAllocated"), dataset.get("BitsStored")
    colour = dataset.get("PhotometricInterpretation") in _COLOUR
    if allocated not in (8, 16) or not stored or not 1 <= stored <= allocated or (colour and stored != 8):
        expected = "8 of 8 for colour" if colour else "up to 16, in 8 or 16 allocated"
        return [f"{stored} of {allocated} bits are stored for each sample; expected {expected}"]
    if dataset.get("HighBit", stored - 1) != stored - 1:
        return ["its High Bit is not Bits Stored - 1, a layout that the standard has withdrawn; convert it first"]
    if _transfer_syntax(dataset) == _JPEG_EXTENDED and stored != 8:
        return ["it is JPEG Extended of 12 bits, which GDCM does not decode; decompress it first (dcmtk: dcmdjpeg)"]
    return []


def _has_float_pixels(dataset: Dataset) -> bool:
    return "FloatPixelData" in dataset or "DoubleFloatPixelData" in dataset


def _transfer_syntax(dataset: Dataset) -> str:
    return str(dataset.file_meta.get("TransferSyntaxUID", ""))


def _stored_pixels(dataset: Dataset) -> np.ndarray:
    """Decode the pixel data; (h, w), or uint8 RGB (h, w, 3)."""
    from pydicom.pixels import pixel_array

    plugin = _PLUGINS[_transfer_syntax(dataset)]
    if plugin == "gdcm":
        try:
            import gdcm  # noqa: F401
        except ImportError:
            raise ValueError(f"this DICOM file is compressed; reading it needs python-gdcm. Install it with {INSTALL}.") from None
    try:
        return pixel_array(dataset, decoding_plugin=plugin)
    except Exception as error:
        raise ValueError(
            f"the pixels of the DICOM file cannot be decoded, they are damaged or cut short ({type(error).__name__})"
        ) from None
