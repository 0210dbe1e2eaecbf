"""From the bytes of a picture to grey pixels: the one function that cache, prediction and export share.

What the decoded values equal, bit for bit:

- JPEG, grey or colour, baseline or progressive: `cv2.imread(path, cv2.IMREAD_GRAYSCALE | cv2.IMREAD_IGNORE_ORIENTATION)`;
  grey ones also Pillow. The grey of a colour JPEG is its stored luma channel, as in OpenCV; Pillow's `convert("L")` goes
  through RGB and back and may be a few levels off.
- PNG of 8 bits, grey, colour, palette, with or without alpha: OpenCV, whose colour weights are libpng's; grey ones also Pillow.
- PNG of 16 bits: the stored value divided by 257, so that 0…65535 becomes 0…255 with the fine levels kept. OpenCV's 8-bit
  reading drops the low byte instead, and Pillow's `convert("L")` clips at 255.
- DICOM: what a viewer shows first, see `pixels/dicom.py`. It is read by Python, so an exported graph has JPEG and PNG alone;
  called with bytes, the functions here take all three.

Alpha is dropped, as both libraries do. The EXIF orientation is not applied: X-rays for analysis are stored upright, Pillow does
not apply it unless asked, and a tag left by a viewer would turn a picture behind its annotation's back.
"""

from __future__ import annotations

import difflib
import functools
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from cxr_keras.pixels.dicom import DICOM_MARK, DICOM_MARK_AT, decode_dicom, is_dicom
from cxr_keras.pixels.resize import RESIZE_MODES, resample, sampling_window

DECODER_VERSION = 2
"""Part of every cache key; to be raised when the pixels change for the same bytes and settings."""

CLAHE_TILES = (8, 8)
"""Tiles across and down; OpenCV's default of `createCLAHE`."""

_JPEG_START = b"\xff\xd8\xff"
_PNG_START = b"\x89PNG\r\n\x1a\n"

_RATIOS = (1, 2, 4, 8)
"""What libjpeg can shrink by while decoding, apart from odd fractions that TensorFlow does not offer."""

_SHRINK_LEFT = 2.0
"""The DCT-scaled picture must still be at least this many times the target's size, as in Pillow's `thumbnail`. Against the whole
decode, the 34 full-size X-rays differ by 0.02 to 0.13 grey levels on average (64 to 364 px, worst image 0.30), and pictures of less
than four times the target not at all. With 1 it was 0.19 to 0.25 (worst 0.61) at the same processor time, and 0.68 for pictures of
224 px at 100 px, enough to move a sensitive network's probability by 0.37."""


@dataclass(frozen=True)
class DecodeSettings:
    """How a file becomes pixels.

    Attributes:
        height: rows of the result, pixels.
        width: columns of the result, pixels.
        resize: "stretch", "crop" or "pad", see `RESIZE_MODES`.
        clahe: clip limit of contrast limited adaptive histogram equalisation (OpenCV, 8×8 tiles), applied after the resize,
            where its tiles cover the picture that the network sees; None leaves the grey levels alone. It runs in
            Python (`tf.numpy_function`), so a model with it inside cannot be exported as a graph.

    Raises:
        ValueError: a size below 1, an unknown resize mode, or a clip limit that is not positive.
    """

    height: int
    width: int
    resize: str = "stretch"
    clahe: float | None = None

    def __post_init__(self) -> None:
        faults = [
            f"{name} must be a whole number of pixels from 1 up, got {size!r}"
            for name, size in (("height", self.height), ("width", self.width))
            if not isinstance(size, int) or isinstance(size, bool) or size < 1
        ]
        if self.resize not in RESIZE_MODES:
            near = difflib.get_close_matches(str(self.resize), RESIZE_MODES, n=1, cutoff=0.4)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            faults.append(f"resize must be one of {', '.join(RESIZE_MODES)}, got {self.resize!r}.{hint}")
        if self.clahe is not None and not self.clahe > 0:
            faults.append(f"clahe is a clip limit above 0 (2.0 is usual) or nothing, got {self.clahe!r}")
        if faults:
            raise ValueError("; ".join(faults))

    def as_dict(self) -> dict[str, Any]:
        """Everything that decides about the pixels, the decoder's version among it; plain values for JSON and hashing."""
        return {**asdict(self), "decoder": DECODER_VERSION}


def decode_gray(contents: tf.Tensor | bytes) -> tf.Tensor:
    """Decode a JPEG, PNG or DICOM file to grey at its own size.

    Args:
        contents: scalar string, the bytes of the file.

    Returns:
        float32 (h, w, 1) in [0, 255].

    Raises:
        ValueError: none of these, or a damaged one. Inside a graph (`Dataset.map`) it is an `InvalidArgumentError`, for DICOM too.
    """
    if not tf.executing_eagerly():
        return _decode(contents)
    if is_dicom(given := _as_bytes(contents)):
        return tf.constant(decode_dicom(given))
    return _run(_compiled_decode, contents)


def resize_gray(image: tf.Tensor, settings: DecodeSettings) -> tf.Tensor:
    """Resize a decoded image and equalise it if the settings say so.

    Args:
        image: float32 (h, w, 1) in [0, 255].
        settings: target size and how to reach it.

    Returns:
        float32 (settings.height, settings.width, 1), whole grey levels in [0, 255], so that uint8 holds them exactly.
    """
    size = tf.cast(tf.shape(image)[:2], tf.float32)
    return _finish(image, size, settings, ratio=tf.constant(1.0))


def decode_and_resize(contents: tf.Tensor | bytes, settings: DecodeSettings) -> tf.Tensor:
    """Decode a JPEG, PNG or DICOM file straight to the size that a model takes.

    A large JPEG is shrunk by 2, 4 or 8 while it is decoded (fewer DCT coefficients), as far as it stays at least twice as large as
    the target, and by the antialiased filter from there. So the result differs a little from `resize_gray(decode_gray(...))`;
    see `tests/pixels/test_decode.py` for how much. The ratio depends on the picture's size and the settings alone, hence a
    file gives the same pixels everywhere.

    Args:
        contents: scalar string, the bytes of the file.
        settings: target size and how to reach it.

    Returns:
        float32 (settings.height, settings.width, 1), whole grey levels in [0, 255].

    Raises:
        ValueError: none of these, or a damaged one. Inside a graph (`Dataset.map`) it is an `InvalidArgumentError`, for DICOM too:
            there `decode_and_resize_in_pipeline` takes all three.
    """
    if not tf.executing_eagerly():
        return _decode_and_resize(contents, settings)
    if is_dicom(given := _as_bytes(contents)):
        return _compiled_resize(settings)(tf.constant(decode_dicom(given)))
    return _run(_compiled(settings), contents)


def decode_and_resize_in_pipeline(contents: tf.Tensor, settings: DecodeSettings) -> tf.Tensor:
    """Do what `decode_and_resize` does with bytes, DICOM among them, in a `tf.data` pipeline of this process.

    Args:
        contents: scalar string, the bytes of the file.
        settings: target size and how to reach it.

    Returns:
        float32 (settings.height, settings.width, 1), whole grey levels in [0, 255]. A bad file ends the pipeline with an error of
        TensorFlow; `decode_and_resize` then says what is wrong with it.
    """
    # Python does the whole of a DICOM file: resized in the pipeline's own graph, which TensorFlow optimises in another way, a
    # pixel now and then fell on the other side of a half and was rounded to the next grey level.
    shape = (settings.height, settings.width, 1)
    return tf.cond(
        _is_dicom(contents),
        lambda: tf.ensure_shape(tf.numpy_function(lambda given: decode_and_resize(given, settings).numpy(), [contents], tf.float32), shape),
        lambda: _decode_and_resize(contents, settings),
    )


def _is_dicom(contents: tf.Tensor) -> tf.Tensor:
    end = DICOM_MARK_AT + len(DICOM_MARK)
    mark = lambda: tf.strings.substr(contents, DICOM_MARK_AT, len(DICOM_MARK)) == DICOM_MARK  # noqa: E731
    return tf.cond(tf.strings.length(contents) >= end, mark, lambda: tf.constant(False))


def _as_bytes(contents: tf.Tensor | bytes) -> bytes:
    return contents if isinstance(contents, bytes) else tf.convert_to_tensor(contents, tf.string).numpy()


def _run(function: Callable[[tf.Tensor], tf.Tensor], contents: tf.Tensor | bytes) -> tf.Tensor:
    """Call a compiled function and turn TensorFlow's complaint about the bytes into a ValueError."""
    contents = tf.convert_to_tensor(contents, tf.string)
    try:
        return function(contents)
    except tf.errors.InvalidArgumentError as error:
        raise ValueError(_reason(contents.numpy())) from error


def _reason(contents: bytes) -> str:
    """Say in plain words why bytes that TensorFlow refused are no picture; its own message is a list of graph nodes."""
    if not contents:
        return "the file is empty"
    for name, start in (("JPEG", _JPEG_START), ("PNG", _PNG_START)):
        if contents.startswith(start):
            return f"the file starts as a {name} but is damaged or cut short ({len(contents):,} bytes)"
    return f"the file is neither JPEG, PNG nor DICOM (it starts with {contents[:8]!r}); convert it to PNG first"


@functools.cache
def _compiled(settings: DecodeSettings) -> Callable[[tf.Tensor], tf.Tensor]:
    @tf.function(input_signature=[tf.TensorSpec([], tf.string)], autograph=False)
    def decode_file(contents: tf.Tensor) -> tf.Tensor:
        with tf.device("/CPU:0"):
            return _decode_and_resize(contents, settings)

    return decode_file


@functools.cache
def _compiled_resize(settings: DecodeSettings) -> Callable[[tf.Tensor], tf.Tensor]:
    """Compile the resize, so that a picture gets the rounding of the pipeline and not that of single operations."""

    @tf.function(input_signature=[tf.TensorSpec([None, None, 1], tf.float32)], autograph=False)
    def resize(image: tf.Tensor) -> tf.Tensor:
        with tf.device("/CPU:0"):
            return resize_gray(image, settings)

    return resize


@tf.function(input_signature=[tf.TensorSpec([], tf.string)], autograph=False)
def _compiled_decode(contents: tf.Tensor) -> tf.Tensor:
    with tf.device("/CPU:0"):
        return _decode(contents)


def _is_jpeg(contents: tf.Tensor) -> tf.Tensor:
    return tf.strings.substr(contents, 0, 3) == _JPEG_START


def _decode(contents: tf.Tensor) -> tf.Tensor:
    """Decode a JPEG or a PNG at its own size; float32 (h, w, 1)."""
    return tf.cond(_is_jpeg(contents), lambda: tf.cast(_decode_jpeg(contents, 1), tf.float32), lambda: _decode_png(contents))


def _decode_jpeg(contents: tf.Tensor, ratio: int) -> tf.Tensor:
    """Decode a JPEG, shrunk by `ratio`; uint8 (h, w, 1)."""
    # TensorFlow's default DCT is INTEGER_FAST, which differs from OpenCV and Pillow in half of the pixels.
    return tf.io.decode_jpeg(contents, channels=1, ratio=ratio, dct_method="INTEGER_ACCURATE")


def _decode_png(contents: tf.Tensor) -> tf.Tensor:
    """Decode a PNG of 8 or 16 bits; float32 (h, w, 1) in [0, 255]."""
    is_png = tf.strings.substr(contents, 0, 8) == _PNG_START
    with tf.control_dependencies([tf.debugging.Assert(is_png, ["the file is neither JPEG nor PNG, the two that a graph reads"])]):
        contents = tf.identity(contents)
    # Asked for 16 bits, TensorFlow gives 8-bit files as value × 257, so one division serves both depths, exactly.
    # In float64, as the graph optimiser turns the division into a product with the rounded 1/257.
    pixels = tf.io.decode_png(contents, channels=1, dtype=tf.uint16)
    return tf.cast(tf.cast(pixels, tf.float64) / 257.0, tf.float32)


def _decode_and_resize(contents: tf.Tensor, settings: DecodeSettings) -> tf.Tensor:
    return tf.cond(
        _is_jpeg(contents),
        lambda: _shrunk_jpeg(contents, settings),
        lambda: resize_gray(_decode_png(contents), settings),
    )


def _shrunk_jpeg(contents: tf.Tensor, settings: DecodeSettings) -> tf.Tensor:
    size = tf.cast(tf.io.extract_jpeg_shape(contents)[:2], tf.float32)
    _, step = sampling_window(size, (settings.height, settings.width), settings.resize)
    allowed = tf.reduce_min(step) >= _SHRINK_LEFT * tf.constant(_RATIOS, tf.float32)
    choice = tf.maximum(tf.reduce_sum(tf.cast(allowed, tf.int32)) - 1, 0)
    # The ratio is an attribute of the operation, not an input, so there is one operation for each.
    image = tf.switch_case(choice, [functools.partial(_decode_jpeg, contents, ratio) for ratio in _RATIOS])
    return _finish(image, size, settings, ratio=tf.gather(tf.constant(_RATIOS, tf.float32), choice))


def _finish(image: tf.Tensor, size: tf.Tensor, settings: DecodeSettings, *, ratio: tf.Tensor) -> tf.Tensor:
    """Resample `image`, which shows a picture of `size` shrunk by `ratio`, to whole grey levels."""
    target = (settings.height, settings.width)
    extent = size / ratio
    start, step = sampling_window(extent, target, settings.resize)
    image = resample(image, target, start=start, step=step, extent=extent if settings.resize == "pad" else None)
    image = tf.clip_by_value(tf.round(image), 0.0, 255.0)
    if settings.clahe is None:
        return image
    equalise = functools.partial(_equalise, clip_limit=settings.clahe)
    equalised = tf.numpy_function(equalise, [tf.cast(image, tf.uint8)], tf.uint8)
    return tf.ensure_shape(tf.cast(equalised, tf.float32), (*target, 1))


def _equalise(image: np.ndarray, *, clip_limit: float) -> np.ndarray:
    """Apply OpenCV's CLAHE to one uint8 (h, w, 1) image."""
    import cv2

    return cv2.createCLAHE(clipLimit=clip_limit, tileGridSize=CLAHE_TILES).apply(image[..., 0])[..., np.newaxis]
