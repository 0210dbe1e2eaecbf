"""What the decoder gives is what OpenCV and Pillow give."""

from __future__ import annotations

import io
from pathlib import Path

import cv2
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from cxr_keras.pixels.decode import DecodeSettings, decode_and_resize, decode_gray, resize_gray

RANDOM = np.random.default_rng(3)
GREY = cv2.GaussianBlur(RANDOM.integers(0, 256, (61, 83), dtype=np.uint8), (5, 5), 2)
COLOUR = cv2.GaussianBlur(RANDOM.integers(0, 256, (61, 83, 3), dtype=np.uint8), (5, 5), 2)
ALPHA = RANDOM.integers(0, 256, (61, 83), dtype=np.uint8)
DEEP = RANDOM.integers(0, 65536, (61, 83), dtype=np.uint16)


def _saved(image: Image.Image, kind: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


FILES = {
    "jpeg_grey": _saved(Image.fromarray(GREY), "JPEG", quality=90),
    "jpeg_grey_progressive": _saved(Image.fromarray(GREY), "JPEG", quality=75, progressive=True),
    "jpeg_colour": _saved(Image.fromarray(COLOUR), "JPEG", quality=90),
    "jpeg_colour_progressive": _saved(Image.fromarray(COLOUR), "JPEG", quality=60, progressive=True, subsampling=2),
    "png_grey": _saved(Image.fromarray(GREY), "PNG"),
    "png_grey_alpha": _saved(Image.fromarray(np.dstack([GREY, ALPHA]), "LA"), "PNG"),
    "png_black_white": _saved(Image.fromarray(GREY > 128), "PNG"),
    "png_colour": _saved(Image.fromarray(COLOUR), "PNG"),
    "png_colour_alpha": _saved(Image.fromarray(np.dstack([COLOUR, ALPHA])), "PNG"),
    "png_palette": _saved(Image.fromarray(COLOUR).quantize(64), "PNG"),
    "png_palette_transparent": _saved(Image.fromarray(COLOUR).quantize(16), "PNG", transparency=3, bits=4),
}
SAME_IN_PILLOW = ("jpeg_grey", "jpeg_grey_progressive", "png_grey", "png_grey_alpha", "png_black_white")


def _by_opencv(contents: bytes) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(contents, np.uint8), cv2.IMREAD_GRAYSCALE | cv2.IMREAD_IGNORE_ORIENTATION)


@pytest.mark.parametrize("name", FILES)
def test_equals_opencv_eagerly_and_in_a_pipeline(name: str) -> None:
    eager = decode_gray(FILES[name])
    piped = next(iter(tf.data.Dataset.from_tensors(FILES[name]).map(decode_gray)))
    assert eager.dtype == tf.float32
    np.testing.assert_array_equal(eager[..., 0], _by_opencv(FILES[name]))
    np.testing.assert_array_equal(eager, piped)


@pytest.mark.parametrize("name", SAME_IN_PILLOW)
def test_grey_files_equal_pillow(name: str) -> None:
    np.testing.assert_array_equal(decode_gray(FILES[name])[..., 0], np.asarray(Image.open(io.BytesIO(FILES[name])).convert("L")))


def test_grey_of_a_colour_jpeg_is_its_luma() -> None:
    stored = Image.open(io.BytesIO(FILES["jpeg_colour"]))
    stored.draft("YCbCr", None)
    np.testing.assert_array_equal(decode_gray(FILES["jpeg_colour"])[..., 0], np.asarray(stored)[..., 0])


def test_16_bit_png_keeps_its_fine_levels() -> None:
    contents = cv2.imencode(".png", DEEP)[1].tobytes()
    np.testing.assert_array_equal(decode_gray(contents)[..., 0], DEEP.astype(np.float32) / np.float32(257))
    ends = cv2.imencode(".png", np.array([[0, 257 * 100, 65535]], np.uint16))[1].tobytes()
    np.testing.assert_array_equal(decode_gray(ends)[..., 0], [[0, 100, 255]])


def test_exif_orientation_is_not_applied() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = _saved(Image.fromarray(GREY), "JPEG", quality=90, exif=exif)
    np.testing.assert_array_equal(decode_gray(turned), decode_gray(FILES["jpeg_grey"]))
    assert cv2.imdecode(np.frombuffer(turned, np.uint8), cv2.IMREAD_GRAYSCALE).shape == GREY.shape[::-1]


@pytest.mark.parametrize(
    ("contents", "reason"),
    [
        (b"", "the file is empty"),
        (b"II*\x00 some TIFF", "neither JPEG, PNG nor DICOM"),
        (_saved(Image.fromarray(GREY), "GIF"), "neither JPEG, PNG nor DICOM"),
        (FILES["jpeg_grey"][:900], "starts as a JPEG but is damaged or cut short"),
        (FILES["png_colour"][:900], "starts as a PNG but is damaged or cut short"),
    ],
    ids=["empty", "tiff", "gif", "cut_jpeg", "cut_png"],
)
def test_bytes_that_are_no_picture(contents: bytes, reason: str) -> None:
    settings = DecodeSettings(32, 32)
    for decode in (decode_gray, lambda it: decode_and_resize(it, settings)):
        with pytest.raises(ValueError, match=reason):
            decode(contents)
        with pytest.raises(tf.errors.InvalidArgumentError):
            next(iter(tf.data.Dataset.from_tensors(contents).map(decode)))


def test_wrong_settings_are_named_together() -> None:
    with pytest.raises(ValueError, match=r"height .* got 0; .*Did you mean 'stretch'.*; clahe .* got -1"):
        DecodeSettings(0, 32, resize="strech", clahe=-1)


@pytest.mark.parametrize("name", ["jpeg_colour", "png_palette"])
@pytest.mark.parametrize(("resize", "clahe"), [("stretch", None), ("crop", None), ("pad", 2.0)])
def test_whole_grey_levels_the_same_in_a_pipeline(name: str, resize: str, clahe: float | None) -> None:
    settings = DecodeSettings(24, 32, resize=resize, clahe=clahe)
    eager = decode_and_resize(FILES[name], settings)
    dataset = tf.data.Dataset.from_tensors(FILES[name]).map(lambda contents: decode_and_resize(contents, settings))
    assert dataset.element_spec.shape == (24, 32, 1)
    np.testing.assert_array_equal(eager, next(iter(dataset)))
    np.testing.assert_array_equal(eager, eager.numpy().astype(np.uint8))


def test_clahe_is_opencv_on_the_resized_picture() -> None:
    plain = decode_and_resize(FILES["jpeg_grey"], DecodeSettings(48, 48))
    expected = cv2.createCLAHE(clipLimit=3.0, tileGridSize=(8, 8)).apply(plain.numpy()[..., 0].astype(np.uint8))
    equalised = decode_and_resize(FILES["jpeg_grey"], DecodeSettings(48, 48, clahe=3.0))
    np.testing.assert_array_equal(equalised[..., 0], expected)
    assert np.any(equalised != plain)


@pytest.mark.parametrize(("resize", "side"), [("stretch", 224), ("crop", 64), ("pad", 96)])
def test_shrinking_while_decoding_is_close_to_the_whole_decode(real_data: Path, resize: str, side: int) -> None:
    """Full-size X-rays; measured 0.02 to 0.13 grey levels on average and 0.30 in the worst image at 64 to 364 px."""
    settings = DecodeSettings(side, side, resize=resize)
    differences = []
    for path in sorted((real_data / "kermany_fullsize").rglob("*.jpeg")):
        contents = path.read_bytes()
        shrunk = decode_and_resize(contents, settings)
        whole = resize_gray(decode_gray(contents), settings)
        differences.append(float(tf.reduce_mean(tf.abs(shrunk - whole))))
    assert len(differences) == 34
    assert 0 < np.mean(differences) < 0.2
    assert max(differences) < 0.5


def test_a_picture_below_four_times_the_target_is_decoded_whole() -> None:
    """So the same grey levels give the same pixels from JPEG, PNG and DICOM."""
    contents = tf.io.encode_jpeg(np.random.default_rng(0).integers(0, 256, (224, 398, 1), dtype=np.uint8), quality=95).numpy()
    settings = DecodeSettings(100, 100, resize="stretch")
    np.testing.assert_array_equal(decode_and_resize(contents, settings), resize_gray(decode_gray(contents), settings).numpy().round())


def test_full_size_files_decode_as_in_opencv(real_data: Path) -> None:
    for path in sorted((real_data / "kermany_fullsize").rglob("*.jpeg"))[::6]:
        np.testing.assert_array_equal(decode_gray(path.read_bytes())[..., 0], _by_opencv(path.read_bytes()))
