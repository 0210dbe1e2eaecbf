"""DICOM files for tests, written with pydicom and compressed with GDCM."""

from __future__ import annotations

import io
import zlib  # noqa: F401 - before gdcm, see cxr_keras/pixels/dicom.py
from pathlib import Path
from typing import Any

import gdcm
import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import UID, DigitalXRayImageStorageForPresentation, ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

SECRETS = {"PatientName": "Doe^Secretive", "PatientID": "SECRET-4711", "PatientBirthDate": "19700102", "StudyDate": "20200304"}
"""What must never be read anywhere outside the file."""

COMPRESSED = {
    "JPEGBaseline8Bit": "JPEGBaselineProcess1",
    "JPEGLossless": "JPEGLosslessProcess14",
    "JPEGLosslessSV1": "JPEGLosslessProcess14_1",
    "JPEGLSLossless": "JPEGLSLossless",
    "JPEGLSNearLossless": "JPEGLSNearLossless",
    "JPEG2000Lossless": "JPEG2000Lossless",
    "JPEG2000": "JPEG2000",
}
"""pydicom's name of a transfer syntax -> GDCM's."""


def radiograph(stored: np.ndarray, *, syntax: UID = ExplicitVRLittleEndian, **elements: Any) -> FileDataset:
    """Make a data set around stored values (h, w) or (h, w, 3); `elements` are set last, and None takes one away."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = DigitalXRayImageStorageForPresentation
    meta.MediaStorageSOPInstanceUID = elements.get("SOPInstanceUID", "1.2.826.0.1.3680043.8.498.1")
    meta.TransferSyntaxUID = syntax
    little, implicit = syntax != ExplicitVRBigEndian, syntax == ImplicitVRLittleEndian
    dataset = FileDataset("", {}, file_meta=meta, preamble=bytes(128), is_implicit_VR=implicit, is_little_endian=little)
    bits = 8 * stored.dtype.itemsize
    colour = stored.ndim == 3
    values = {
        "SOPClassUID": meta.MediaStorageSOPClassUID,
        "SOPInstanceUID": meta.MediaStorageSOPInstanceUID,
        "Modality": "DX",
        "ViewPosition": "PA",
        **SECRETS,
        "Rows": stored.shape[0],
        "Columns": stored.shape[1],
        "SamplesPerPixel": 3 if colour else 1,
        "PhotometricInterpretation": "RGB" if colour else "MONOCHROME2",
        "BitsAllocated": bits,
        "BitsStored": bits,
        "HighBit": elements.get("BitsStored", bits) - 1,
        "PixelRepresentation": int(stored.dtype.kind == "i"),
        **({"PlanarConfiguration": 0} if colour else {}),
    }
    for keyword, value in {**values, **elements}.items():
        if value is not None:
            setattr(dataset, keyword, value)
    if elements.get("PixelData", b"") is not None and "PixelData" not in elements:
        dataset.PixelData = stored.astype(stored.dtype.newbyteorder("<" if little else ">")).tobytes()
        dataset["PixelData"].VR = "OB" if bits == 8 and syntax != ImplicitVRLittleEndian else "OW"
    return dataset


def encoded(dataset: Dataset) -> bytes:
    """Give the bytes of the file."""
    stream = io.BytesIO()
    with pydicom.config.disable_value_validation():
        dataset.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def compressed(dataset: Dataset, syntax: str, folder: Path) -> bytes:
    """Compress a file with GDCM to the transfer syntax of this name in `COMPRESSED`."""
    source, target = folder / "plain.dcm", folder / "compressed.dcm"
    source.write_bytes(encoded(dataset))
    reader = gdcm.ImageReader()
    reader.SetFileName(str(source))
    assert reader.Read()
    change = gdcm.ImageChangeTransferSyntax()
    change.SetTransferSyntax(gdcm.TransferSyntax(getattr(gdcm.TransferSyntax, COMPRESSED[syntax])))
    change.SetInput(reader.GetImage())
    assert change.Change(), f"GDCM does not write {syntax}"
    writer = gdcm.ImageWriter()
    writer.SetFile(reader.GetFile())
    writer.SetImage(change.GetOutput())
    writer.SetFileName(str(target))
    assert writer.Write()
    assert pydicom.dcmread(target, stop_before_pixels=True).file_meta.TransferSyntaxUID == getattr(pydicom.uid, syntax)
    return target.read_bytes()


def look_up_table(entries: list[int], *, first: int, bits: int, form: str = "US", signed: bool = False) -> Dataset:
    """Make an item of a Modality or VOI LUT Sequence; `form` is US (numbers), OW (words) or packed (two bytes a word)."""
    item = Dataset()
    descriptor = [len(entries) % 65536, first, bits]
    item.add_new("LUTDescriptor", "SS" if signed else "US", descriptor)
    if form == "US":
        item.add_new("LUTData", "US", entries)
    else:
        item.add_new("LUTData", "OW", np.asarray(entries, "<u2" if form == "OW" else np.uint8).tobytes())
    return item
