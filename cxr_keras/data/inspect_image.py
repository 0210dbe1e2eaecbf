"""What the bytes of a JPEG, PNG or DICOM file say before anything is decoded: format, size, and whether the end is there.

Read from the bytes themselves because a decoder needs memory for all pixels before it can be asked, and because OpenCV
fills the missing part of a picture with grey without an error.
"""

from __future__ import annotations

import re
import struct
import zlib
from typing import Literal, NamedTuple

from cxr_keras.pixels.dicom import is_dicom, read_dicom_size, require_pydicom

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
JPEG_START = b"\xff\xd8\xff"

_START_OF_FRAME = frozenset({0xC0, 0xC1, 0xC2, 0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF})
"""JPEG markers that carry the size (ITU T.81, table B.1); C4, C8 and CC are tables and an extension."""
_START_OF_SCAN, _END_OF_IMAGE = 0xDA, 0xD9
_WITHOUT_LENGTH = frozenset({0x01, *range(0xD0, 0xD9)})
_NEXT_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
"""Inside compressed data FF00 is a stuffed byte, FFD0 to FFD7 restart the decoder, FFFF is a fill byte."""


class Header(NamedTuple):
    """Format and size of an image; `kind` is "" and the size 0 where the bytes are neither JPEG, PNG nor DICOM.

    `width` and `height` are pixels as stored (an EXIF rotation is not applied). `fault` says in words what is wrong with
    the structure, "" if nothing is.
    """

    kind: Literal["jpeg", "png", "dicom", ""]
    width: int
    height: int
    fault: str


def read_header(contents: bytes) -> Header:
    """Read format, size and structure of an image from its bytes, without decoding it.

    Raises:
        ValueError: the bytes are DICOM and pydicom is not installed.
    """
    if not contents:
        return Header("", 0, 0, "empty file")
    if is_dicom(contents):
        return _read_dicom(contents)
    if contents.startswith(PNG_SIGNATURE):
        return _read_png(contents)
    if contents.startswith(JPEG_START):
        return _read_jpeg(contents)
    return Header("", 0, 0, f"neither JPEG, PNG nor DICOM (first bytes {contents[:8].hex(' ')})")


def _read_dicom(contents: bytes) -> Header:
    """Read the size of a radiograph; what is not one is a fault."""
    require_pydicom()
    try:
        width, height = read_dicom_size(contents)
    except ValueError as error:
        return Header("dicom", 0, 0, f"unsupported: {error}")
    return Header("dicom", width, height, "")


def _read_png(contents: bytes) -> Header:
    """Walk the chunks of a PNG and compare their checksums (W3C PNG, section 5)."""
    width = height = 0
    position = len(PNG_SIGNATURE)
    while position + 12 <= len(contents):
        length, name = struct.unpack_from(">I4s", contents, position)
        end = position + 12 + length
        if end > len(contents):
            break
        if name == b"IHDR" and length >= 8:
            width, height = struct.unpack_from(">II", contents, position + 8)
        (checksum,) = struct.unpack_from(">I", contents, end - 4)
        if zlib.crc32(memoryview(contents)[position + 4 : end - 4]) != checksum:
            return Header("png", width, height, f"damaged: checksum of PNG chunk {name.decode('latin-1')} is wrong")
        if name == b"IEND":
            return Header("png", width, height, "" if width and height else "damaged: PNG without a size")
        position = end
    return Header("png", width, height, "truncated: PNG ends before its IEND chunk")


def _read_jpeg(contents: bytes) -> Header:
    """Walk the segments of a JPEG up to its end marker (ITU T.81, annex B)."""
    width = height = colours = 0
    position = 2
    while position + 4 <= len(contents):
        if contents[position] != 0xFF:
            return Header("jpeg", width, height, f"damaged: no JPEG marker at byte {position}")
        marker = contents[position + 1]
        if marker == 0xFF:
            position += 1
            continue
        if marker == _END_OF_IMAGE:
            break
        if marker in _WITHOUT_LENGTH:
            position += 2
            continue
        (length,) = struct.unpack_from(">H", contents, position + 2)
        if marker in _START_OF_FRAME and position + 10 <= len(contents):
            height, width, colours = struct.unpack_from(">HHB", contents, position + 5)
        position += 2 + length
        if marker == _START_OF_SCAN:
            following = _NEXT_MARKER.search(contents, position)
            if following is None:
                break
            position = following.start()
    if contents[position : position + 2] != b"\xff\xd9":
        return Header("jpeg", width, height, "truncated: JPEG ends without its end marker")
    if not (width and height):
        return Header("jpeg", width, height, "damaged: JPEG without a size")
    if colours not in (1, 3):
        return Header("jpeg", width, height, f"unsupported: JPEG of {colours} colours, such as CMYK; save it as grey or RGB")
    return Header("jpeg", width, height, "")
