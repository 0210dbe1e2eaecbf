"""DICOM radiographs of every kind become the grey pixels that a viewer shows, or are refused with a reason."""

from __future__ import annotations

import builtins
import io
import subprocess
import sys
import zlib
from types import ModuleType

import cv2
import numpy as np
import pydicom
import pytest
import tensorflow as tf
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.pixels import apply_modality_lut, apply_voi_lut
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian, RLELossless

from cxr_keras.pixels import dicom as dicom_module
from cxr_keras.pixels.decode import DecodeSettings, decode_and_resize, decode_and_resize_in_pipeline, decode_gray
from cxr_keras.pixels.dicom import decode_dicom, read_dicom_size

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:pydicom")

_NOISE = cv2.GaussianBlur(np.random.default_rng(5).random((62, 84)), (7, 7), 2)
TWELVE = np.round((_NOISE - _NOISE.min()) / np.ptp(_NOISE) * 4095).astype(np.uint16)
"""Values 0…4095, all of 12 bits, smooth enough for lossy compression."""
EIGHT = (TWELVE >> 4).astype(np.uint8)
SIGNED = TWELVE.astype(np.int16) - 1500


def _grey(dicom_files: ModuleType, stored: np.ndarray, **elements: object) -> np.ndarray:
    """Decode what `radiograph` makes; float32 (h, w)."""
    pixels = decode_dicom(dicom_files.encoded(dicom_files.radiograph(stored, **elements)))
    assert pixels.dtype == np.float32 and pixels.shape == (*stored.shape[:2], 1)
    assert pixels.min() >= 0 and pixels.max() <= 255
    return pixels[..., 0]


@pytest.mark.parametrize("stored_bits", [8, 10, 12, 14, 15, 16])
def test_the_stored_range_is_the_grey_scale(dicom_files: ModuleType, stored_bits: int) -> None:
    stored = (TWELVE % (1 << stored_bits)) if stored_bits < 12 else TWELVE
    kept = stored.astype(np.uint8) if stored_bits == 8 else stored
    expected = stored * 255.0 / (2**stored_bits - 1)
    np.testing.assert_allclose(_grey(dicom_files, kept, BitsStored=stored_bits), expected, atol=1e-4)


def test_sixteen_bits_keep_levels_finer_than_a_grey_level(dicom_files: ModuleType) -> None:
    ramp = np.arange(64 * 64, dtype=np.uint16).reshape(64, 64)
    grey = _grey(dicom_files, ramp)
    assert len(np.unique(grey)) == 4096 and grey.max() == pytest.approx(4095 / 257, abs=1e-5)


def test_signed_values(dicom_files: ModuleType) -> None:
    np.testing.assert_allclose(_grey(dicom_files, SIGNED), (SIGNED + 32768.0) * 255 / 65535, atol=1e-4)
    np.testing.assert_allclose(_grey(dicom_files, SIGNED, BitsStored=13), (SIGNED + 4096.0) * 255 / 8191, atol=1e-4)
    small = (EIGHT.astype(np.int16) - 128).astype(np.int8)
    np.testing.assert_allclose(_grey(dicom_files, small), small + 128.0, atol=1e-4)


def test_unused_high_bits_do_not_count(dicom_files: ModuleType) -> None:
    """Old files keep overlays there, and signed values may come without their sign extended."""
    np.testing.assert_array_equal(_grey(dicom_files, TWELVE | 0xA000, BitsStored=12), _grey(dicom_files, TWELVE, BitsStored=12))
    cut = (SIGNED.view(np.uint16) & 0x1FFF).view(np.int16)
    np.testing.assert_array_equal(_grey(dicom_files, cut, BitsStored=13), _grey(dicom_files, SIGNED, BitsStored=13))


def test_monochrome1_is_inverted(dicom_files: ModuleType) -> None:
    for elements in ({}, {"WindowCenter": 2000, "WindowWidth": 1000}):
        plain = _grey(dicom_files, TWELVE, BitsStored=12, **elements)
        inverted = _grey(dicom_files, TWELVE, BitsStored=12, PhotometricInterpretation="MONOCHROME1", **elements)
        np.testing.assert_allclose(inverted, 255 - plain, atol=1e-4)


def test_a_crop_keeps_its_grey_levels(dicom_files: ModuleType) -> None:
    """The scale is not the picture's own minimum and maximum."""
    elements = {"BitsStored": 12, "WindowCenter": 2000, "WindowWidth": 3000}
    for given_elements in ({"BitsStored": 12}, elements):
        whole = _grey(dicom_files, TWELVE, **given_elements)
        np.testing.assert_array_equal(_grey(dicom_files, TWELVE[20:52, 10:50].copy(), **given_elements), whole[20:52, 10:50])


@pytest.mark.parametrize("function", [None, "LINEAR", "LINEAR_EXACT", "SIGMOID"])
@pytest.mark.parametrize(("slope", "intercept"), [(None, None), (1, -1024), (0.5, 3), (-2, 100)])
@pytest.mark.parametrize("stored", [TWELVE, SIGNED], ids=["unsigned", "signed"])
def test_windows_equal_pydicom(
    dicom_files: ModuleType, stored: np.ndarray, slope: float | None, intercept: float | None, function: str | None
) -> None:
    center = 700 * (slope or 1) + (intercept or 0)
    elements = {"BitsStored": 13, "RescaleSlope": slope, "RescaleIntercept": intercept, "VOILUTFunction": function}
    dataset = dicom_files.radiograph(stored, WindowCenter=center, WindowWidth=900.5, **elements)
    grey = decode_dicom(dicom_files.encoded(dataset))[..., 0]
    viewed = apply_voi_lut(apply_modality_lut(stored, dataset), dataset).astype(float)
    ends = [limit * (slope or 1) + (intercept or 0) for limit in ((-4096, 4095) if stored.dtype.kind == "i" else (0, 8191))]
    # pydicom gives the window's ends as the ends of the stored range, in the order that the slope leaves them in.
    np.testing.assert_allclose(grey, (viewed - ends[0]) / (ends[1] - ends[0]) * 255, atol=1e-3)


def test_of_several_windows_the_first_is_taken(dicom_files: ModuleType) -> None:
    several = _grey(dicom_files, TWELVE, BitsStored=12, WindowCenter=[2000, 100], WindowWidth=[1000, 50])
    np.testing.assert_array_equal(several, _grey(dicom_files, TWELVE, BitsStored=12, WindowCenter=2000, WindowWidth=1000))


@pytest.mark.parametrize("form", ["US", "OW", "packed"])
@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian], ids=["explicit", "implicit"])
def test_voi_tables(dicom_files: ModuleType, form: str, syntax: pydicom.uid.UID) -> None:
    bits = 8 if form == "packed" else 10
    entries = [int(value) for value in np.linspace(0, 1, 2000) ** 2 * (2**bits - 1)]
    table = dicom_files.look_up_table(entries, first=1000, bits=bits, form=form)
    elements = {"VOILUTSequence": [table], "WindowCenter": 5, "WindowWidth": 5}
    expected = np.asarray(entries)[np.clip(TWELVE.astype(int) - 1000, 0, 1999)] * 255 / (2**bits - 1)
    np.testing.assert_allclose(_grey(dicom_files, TWELVE, BitsStored=12, syntax=syntax, **elements), expected, atol=1e-3)


def test_voi_table_of_negative_values(dicom_files: ModuleType) -> None:
    """The first value mapped is written with the sign of the pixels, or, after a rescale to negative values, without."""
    entries = list(range(0, 4096, 1))
    expected = np.clip(SIGNED.astype(int) + 1500, 0, 4095) * 255 / 4095
    signed = dicom_files.look_up_table(entries, first=-1500, bits=12, signed=True)
    np.testing.assert_allclose(_grey(dicom_files, SIGNED, VOILUTSequence=[signed]), expected, atol=1e-3)
    unsigned = dicom_files.look_up_table(entries, first=65536 - 1500, bits=12)
    grey = _grey(dicom_files, TWELVE, RescaleSlope=1, RescaleIntercept=-1500, VOILUTSequence=[unsigned])
    np.testing.assert_allclose(grey, expected, atol=1e-3)


def test_modality_tables_come_before_windows(dicom_files: ModuleType) -> None:
    entries = [int(value) for value in np.linspace(4095, 0, 4096)]
    elements = {"ModalityLUTSequence": [dicom_files.look_up_table(entries, first=0, bits=12)]}
    mapped = np.asarray(entries)[TWELVE]
    np.testing.assert_allclose(_grey(dicom_files, TWELVE, BitsStored=12, **elements), mapped * 255 / 4095, atol=1e-3)
    windowed = _grey(dicom_files, TWELVE, BitsStored=12, WindowCenter=1000.5, WindowWidth=1001, **elements)
    np.testing.assert_allclose(windowed, np.clip((mapped - 500) / 1000, 0, 1) * 255, atol=1e-3)


def test_padding_is_black_whatever_the_polarity(dicom_files: ModuleType) -> None:
    padded = TWELVE.copy()
    padded[:, :9] = 4095
    padded[:, 9:12] = 4090
    for kind in ("MONOCHROME1", "MONOCHROME2"):
        grey = _grey(
            dicom_files, padded, BitsStored=12, PixelPaddingValue=4095, PixelPaddingRangeLimit=4089, PhotometricInterpretation=kind
        )
        assert (grey[:, :12] == 0).all() and (grey[:, 12:] > 0).mean() > 0.99
    signed = SIGNED.copy()
    signed[0] = -2000
    dataset = dicom_files.radiograph(signed)
    dataset.add_new("PixelPaddingValue", "US", 65536 - 2000)
    assert (decode_dicom(dicom_files.encoded(dataset))[0] == 0).all(), "written with the other sign"


@pytest.mark.parametrize(
    "syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian], ids=lambda it: it.name
)
@pytest.mark.parametrize("stored", [TWELVE, SIGNED, EIGHT], ids=["unsigned", "signed", "bytes"])
def test_uncompressed_transfer_syntaxes(dicom_files: ModuleType, stored: np.ndarray, syntax: pydicom.uid.UID) -> None:
    elements = {"WindowCenter": 100, "WindowWidth": 150} if stored.dtype == np.uint8 else {"WindowCenter": 1000, "WindowWidth": 1500}
    np.testing.assert_array_equal(_grey(dicom_files, stored, syntax=syntax, **elements), _grey(dicom_files, stored, **elements))


def test_run_length_encoding(dicom_files: ModuleType) -> None:
    dataset = dicom_files.radiograph(TWELVE, BitsStored=12)
    dataset.compress(RLELossless, encoding_plugin="pydicom")
    np.testing.assert_array_equal(decode_dicom(dicom_files.encoded(dataset))[..., 0], _grey(dicom_files, TWELVE, BitsStored=12))


@pytest.mark.parametrize(
    "kind", ["JPEGLossless", "JPEGLosslessSV1", "JPEGLSLossless", "JPEGLSNearLossless", "JPEG2000Lossless", "JPEG2000"]
)
@pytest.mark.parametrize(("stored", "bits"), [(TWELVE, 12), (EIGHT, 8), (SIGNED, 13)], ids=["12", "8", "signed"])
def test_compressed_transfer_syntaxes(dicom_files: ModuleType, tmp_path, stored: np.ndarray, bits: int, kind: str) -> None:
    """GDCM writes all of these without loss unless told otherwise."""
    contents = dicom_files.compressed(dicom_files.radiograph(stored, BitsStored=bits), kind, tmp_path)
    np.testing.assert_array_equal(decode_dicom(contents)[..., 0], _grey(dicom_files, stored, BitsStored=bits))
    assert read_dicom_size(contents) == (84, 62)


def test_jpeg_baseline_is_lossy_by_a_level(dicom_files: ModuleType, tmp_path) -> None:
    contents = dicom_files.compressed(dicom_files.radiograph(EIGHT), "JPEGBaseline8Bit", tmp_path)
    difference = np.abs(decode_dicom(contents)[..., 0] - EIGHT)
    assert 0 < difference.max() <= 4 and difference.mean() < 1


def test_colours_become_their_luma(dicom_files: ModuleType, tmp_path) -> None:
    colours = np.dstack([EIGHT, EIGHT[::-1], EIGHT[:, ::-1]])
    luma = colours @ [0.299, 0.587, 0.114]
    np.testing.assert_allclose(_grey(dicom_files, colours), luma, atol=1e-3)
    np.testing.assert_array_equal(_grey(dicom_files, np.dstack([EIGHT] * 3)), EIGHT)
    planes = np.moveaxis(colours, 2, 0)
    np.testing.assert_allclose(_grey(dicom_files, colours, PlanarConfiguration=1, PixelData=planes.tobytes()), luma, atol=1e-3)
    stored = pydicom.pixels.convert_color_space(colours, "RGB", "YBR_FULL")
    np.testing.assert_allclose(_grey(dicom_files, stored, PhotometricInterpretation="YBR_FULL"), luma, atol=1.5)
    for kind in ("JPEG2000Lossless", "JPEGLSLossless"):
        contents = dicom_files.compressed(dicom_files.radiograph(colours), kind, tmp_path)
        np.testing.assert_allclose(decode_dicom(contents)[..., 0], luma, atol=1e-3)


def test_colour_jpeg_in_luma_and_chroma(dicom_files: ModuleType, tmp_path) -> None:
    """What GDCM writes is YCbCr inside the JPEG; the header has to say so, as in files of secondary capture."""
    colours = np.dstack([EIGHT, EIGHT[::-1], EIGHT[:, ::-1]])
    written = pydicom.dcmread(io.BytesIO(dicom_files.compressed(dicom_files.radiograph(colours), "JPEGBaseline8Bit", tmp_path)))
    written.PhotometricInterpretation = "YBR_FULL_422"
    grey = decode_dicom(dicom_files.encoded(written))[..., 0]
    assert np.abs(grey - colours @ [0.299, 0.587, 0.114]).mean() < 2


REFUSED = {
    "frames": ({"NumberOfFrames": 12}, "it has 12 frames where a radiograph has one"),
    "no image": ({"Rows": None, "Columns": None, "PixelData": None}, "holds no image: it is a report, a presentation state, a directory"),
    "no pixels": ({"PixelData": None}, "holds a header without pixels"),
    "float": ({"PixelData": None, "FloatPixelData": bytes(62 * 84 * 4)}, "holds floating point pixels"),
    "raw": ({"PresentationIntentType": "FOR PROCESSING"}, "the detector's raw picture"),
    "palette": ({"PhotometricInterpretation": "PALETTE COLOR"}, "whose numbers have no order of brightness"),
    "unknown": ({"PhotometricInterpretation": "Doe^Secretive"}, "is none of MONOCHROME1, MONOCHROME2, RGB"),
    "samples": ({"SamplesPerPixel": 3}, "it has 3 samples a pixel, which does not fit MONOCHROME2"),
    "bits": ({"BitsAllocated": 32, "BitsStored": 32}, "32 of 32 bits are stored for each sample"),
    "too many bits": ({"BitsStored": 17}, "17 of 16 bits"),
    "high bit": ({"BitsStored": 12, "HighBit": 15}, "its High Bit is not Bits Stored - 1"),
    "window": ({"WindowCenter": 5, "WindowWidth": 0}, "its Window Width is 0, which no LINEAR window can have"),
    "function": ({"WindowCenter": 5, "WindowWidth": 9, "VOILUTFunction": "Doe^Secretive"}, "none of LINEAR, LINEAR_EXACT, SIGMOID"),
    "slope": ({"RescaleSlope": 0, "RescaleIntercept": 5}, "the Rescale Slope is 0"),
    "syntax": ({"syntax": pydicom.uid.HTJ2K, "PixelData": b"\xfe\xff"}, "compressed in a way that is not read"),
    "short": ({"PixelData": bytes(100)}, "cannot be decoded, they are damaged or cut short"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_radiograph_is_refused_without_a_word_of_the_patient(dicom_files: ModuleType, name: str) -> None:
    elements, reason = REFUSED[name]
    if elements.get("syntax") == pydicom.uid.HTJ2K:
        elements = {**elements, "PixelData": pydicom.encaps.encapsulate([b"\xff\x4f\xff\x51" + bytes(60)])}
    dataset = dicom_files.radiograph(TWELVE, **elements)
    if "PixelData" in dataset and dataset.file_meta.TransferSyntaxUID.is_encapsulated:
        dataset["PixelData"].is_undefined_length = True
    with pytest.raises(ValueError, match="DICOM") as caught:
        decode_dicom(dicom_files.encoded(dataset))
    assert reason in str(caught.value)
    assert not any(secret in str(caught.value) for secret in dicom_files.SECRETS.values())


def test_all_reasons_of_a_header_come_together(dicom_files: ModuleType) -> None:
    contents = dicom_files.encoded(dicom_files.radiograph(TWELVE, NumberOfFrames=2, PresentationIntentType="FOR PROCESSING"))
    with pytest.raises(ValueError, match="2 frames .*; it is the detector's raw picture"):
        read_dicom_size(contents)


def test_tables_that_are_cut_short_are_refused(dicom_files: ModuleType) -> None:
    table = dicom_files.look_up_table([1, 2, 3], first=0, bits=12)
    table.LUTDescriptor = [4, 0, 12]
    with pytest.raises(ValueError, match="look-up table has 3 entries where 4 are announced"):
        _grey(dicom_files, TWELVE, VOILUTSequence=[table])


@pytest.mark.parametrize("kind", ["native", "deflated", "JPEGLosslessSV1", "JPEG2000Lossless", "JPEGLSLossless", "JPEGBaseline8Bit"])
def test_every_cut_of_a_file_is_refused(dicom_files: ModuleType, tmp_path, kind: str) -> None:
    syntax = DeflatedExplicitVRLittleEndian if kind == "deflated" else ExplicitVRLittleEndian
    dataset = dicom_files.radiograph(EIGHT, syntax=syntax)
    contents = dicom_files.encoded(dataset) if kind in ("native", "deflated") else dicom_files.compressed(dataset, kind, tmp_path)
    decode_dicom(contents)
    for end in range(0, len(contents) - 3, 41):
        with pytest.raises(ValueError):
            decode_dicom(contents[:end])


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damage_anywhere_gives_pixels_or_a_reason(dicom_files: ModuleType, data: st.DataObject) -> None:
    """Whatever bytes are overwritten, nothing but a ValueError comes out, and never what the header says of the patient."""
    contents = bytearray(dicom_files.encoded(dicom_files.radiograph(EIGHT[:32, :32].copy(), WindowCenter=100, WindowWidth=99)))
    start = data.draw(st.integers(132, len(contents) - 1))
    patch = data.draw(st.binary(min_size=1, max_size=16))
    contents[start : start + len(patch)] = patch
    try:
        pixels = decode_dicom(bytes(contents))
    except ValueError as error:
        assert "DICOM" in str(error)
        assert not any(secret in str(error) for secret in dicom_files.SECRETS.values())
    else:
        assert pixels.dtype == np.float32 and pixels.min() >= 0 and pixels.max() <= 255


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(bits=st.integers(1, 16), signed=st.booleans(), inverted=st.booleans(), seed=st.integers(0, 1000))
def test_any_depth_is_linear_from_black_to_white(dicom_files: ModuleType, bits: int, signed: bool, inverted: bool, seed: int) -> None:
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    values = np.random.default_rng(seed).integers(low, high + 1, (32, 32))
    values[0, :2] = low, high
    stored = values.astype(np.int16 if signed else np.uint16)
    kind = "MONOCHROME1" if inverted else "MONOCHROME2"
    grey = _grey(dicom_files, stored, BitsStored=bits, PhotometricInterpretation=kind)
    share = (values - low) / (high - low)
    np.testing.assert_allclose(grey, 255 * (1 - share if inverted else share), atol=1e-3)


def test_a_deflated_bomb_is_refused(dicom_files: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dicom_module, "_LARGEST_INFLATED", 1 << 22)
    contents = dicom_files.encoded(dicom_files.radiograph(np.zeros((3000, 3000), np.uint8), syntax=DeflatedExplicitVRLittleEndian))
    assert len(contents) < 20_000
    with pytest.raises(ValueError, match="inflates to more than 4,194,304 bytes"):
        read_dicom_size(contents)


@pytest.mark.parametrize(("package", "kind"), [("pydicom", None), ("gdcm", "JPEGLSLossless")])
def test_missing_packages_are_named(
    dicom_files: ModuleType, tmp_path, monkeypatch: pytest.MonkeyPatch, package: str, kind: str | None
) -> None:
    dataset = dicom_files.radiograph(EIGHT)
    contents = dicom_files.compressed(dataset, kind, tmp_path) if kind else dicom_files.encoded(dataset)
    real_import = builtins.__import__

    def without(name: str, *arguments: object, **options: object) -> ModuleType:
        if name == package:
            raise ImportError(f"No module named {name!r}")
        return real_import(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    dicom_module.require_pydicom.cache_clear()
    with pytest.raises(ValueError, match=rf"{package}.*pip install 'cxr-keras\[dicom\]'"):
        decode_dicom(contents)


def test_warnings_do_not_quote_the_header(dicom_files: ModuleType, tmp_path) -> None:
    """With this length of the transfer syntax pydicom takes the rest of the header for it, and warns that it is none."""
    contents = dicom_files.encoded(dicom_files.radiograph(EIGHT))
    place = contents.index(b"UI\x14\x001.2.840.10008.1.2.1")
    path = tmp_path / "damaged.dcm"
    path.write_bytes(contents[: place + 2] + b"\x80\x01" + contents[place + 4 :])
    program = "import sys, pathlib\nfrom cxr_keras.pixels.dicom import decode_dicom\ndecode_dicom(pathlib.Path(sys.argv[1]).read_bytes())\n"
    done = subprocess.run([sys.executable, "-c", program, str(path)], capture_output=True, text=True, timeout=300)
    assert "ValueError: the DICOM file" in done.stderr
    assert not any(secret in done.stderr + done.stdout for secret in dicom_files.SECRETS.values())
    careless = "import sys, pydicom\nprint(pydicom.dcmread(sys.argv[1]).file_meta)"
    loud = subprocess.run([sys.executable, "-c", careless, str(path)], capture_output=True, text=True, timeout=300)
    assert dicom_files.SECRETS["PatientName"] in loud.stderr + loud.stdout, "the damage is one that pydicom quotes"


def test_pictures_without_dicom_do_not_import_pydicom() -> None:
    program = (
        "import sys, cv2, numpy as np\n"
        "from cxr_keras.pixels.decode import decode_gray\n"
        "decode_gray(cv2.imencode('.png', np.zeros((40, 40), np.uint8))[1].tobytes())\n"
        "assert 'pydicom' not in sys.modules and 'gdcm' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=300)


def test_zlib_survives_the_import_of_gdcm(dicom_files: ModuleType, tmp_path) -> None:
    """In a process that did not load zlib before GDCM, the first deflate is its last."""
    path = tmp_path / "radiograph.dcm"
    path.write_bytes(dicom_files.compressed(dicom_files.radiograph(EIGHT), "JPEG2000Lossless", tmp_path))
    program = (
        "import sys\n"
        "from pathlib import Path\n"
        "from cxr_keras.pixels.dicom import decode_dicom\n"
        "decode_dicom(Path(sys.argv[1]).read_bytes())\n"
        "import zlib\n"
        "packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)\n"
        "packed = packer.compress(bytes(range(256)) * 100) + packer.flush()\n"
        "assert zlib.decompress(packed, wbits=-zlib.MAX_WBITS) == bytes(range(256)) * 100\n"
    )
    subprocess.run([sys.executable, "-c", program, str(path)], check=True, timeout=300)
    assert zlib.decompress(zlib.compress(b"here too")) == b"here too"


def test_one_path_eagerly_and_in_a_pipeline(dicom_files: ModuleType) -> None:
    contents = dicom_files.encoded(dicom_files.radiograph(TWELVE, BitsStored=12, WindowCenter=2000, WindowWidth=2500))
    np.testing.assert_array_equal(decode_gray(contents), decode_dicom(contents))
    for resize in ("stretch", "crop", "pad"):
        target = DecodeSettings(40, 48, resize=resize)
        eager = decode_and_resize(contents, target)
        dataset = tf.data.Dataset.from_tensors(contents).map(lambda it, target=target: decode_and_resize_in_pipeline(it, target))
        np.testing.assert_array_equal(eager, next(iter(dataset)))
        np.testing.assert_array_equal(eager, eager.numpy().astype(np.uint8))
    with pytest.raises(tf.errors.InvalidArgumentError, match="neither JPEG nor PNG"):
        next(iter(tf.data.Dataset.from_tensors(contents).map(lambda it: decode_and_resize(it, DecodeSettings(8, 8)))))


def test_the_resized_picture_is_that_of_the_same_png(dicom_files: ModuleType) -> None:
    png = cv2.imencode(".png", EIGHT)[1].tobytes()
    dicom = dicom_files.encoded(dicom_files.radiograph(EIGHT))
    target = DecodeSettings(40, 48, resize="pad")
    np.testing.assert_array_equal(decode_and_resize(dicom, target), decode_and_resize(png, target))


def test_bytes_without_the_mark_are_no_dicom(dicom_files: ModuleType) -> None:
    stream = io.BytesIO()
    dicom_files.radiograph(EIGHT).save_as(stream, enforce_file_format=True)
    with pytest.raises(ValueError, match="DICM does not stand at byte 128"):
        decode_dicom(stream.getvalue()[132:])
