"""Many files to pixels in parallel; a bad one is reported in words and does not stop the others.

TensorFlow reads and decodes while Python's threads hash the same bytes, which are then in the system's file cache. Calling the
decoder from those threads was rejected: 4.84 to 4.97 ms of processor time a full-size image against 4.76 to 4.79 ms (340 images,
the tracing of the graph in both), and a call from Python cannot be told to keep its operations on one thread.

Files cross from TensorFlow to Python in blocks, as each crossing costs about 0.1 ms.
"""

from __future__ import annotations

import functools
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import tensorflow as tf

from cxr_keras.pixels.decode import DecodeSettings, decode_and_resize, decode_and_resize_in_pipeline
from cxr_keras.runs.files import file_sha256

_FILES_PER_BLOCK = 16
"""Files decoded in one element of the pipeline; a bad one makes its block be decoded again, file by file."""


def decode_files(files: pd.DataFrame, settings: DecodeSettings, *, workers: int) -> Iterator[tuple[np.ndarray | None, str]]:
    """Decode files in parallel and check that they are the manifest's.

    Args:
        files: a table with the columns `path`, `image_id` and `sha256`.
        settings: size and treatment of the pixels.
        workers: decoding threads, and as many that hash.

    Yields:
        For each file, in order, its pixels, uint8 (height, width, 1), and ""; or None and what is wrong with the file.
    """
    if not len(files):
        return
    options = tf.data.Options()
    # The files run in parallel already; splitting the small operations of each only costs.
    options.threading.max_intra_op_parallelism = 1
    blocks = (
        tf.data.Dataset.from_tensor_slices(files["path"].tolist())
        .batch(_FILES_PER_BLOCK)
        .map(_block_decoder(settings), num_parallel_calls=workers, deterministic=True)
        .prefetch(workers)
        .with_options(options)
        .as_numpy_iterator()
    )
    wanted = files[["path", "image_id", "sha256"]].itertuples(index=False, name=None)
    digests = _in_threads(_digest_of, files["path"].tolist(), workers=workers)
    block: np.ndarray | None = None
    try:
        for number, ((path, image_id, digest), found) in enumerate(zip(wanted, digests, strict=True)):
            place = number % _FILES_PER_BLOCK
            if place == 0:
                block = _next_or_none(blocks)
            if found != digest:
                cause = found if found.startswith("cannot") else "is no longer the file of the manifest (its SHA-256 differs)"
                yield None, f"{image_id}: {path} {cause}"
            elif block is None:
                yield _decode_alone(path, image_id, settings)
            else:
                yield block[place], ""
    finally:
        digests.close()


@functools.cache
def _block_decoder(settings: DecodeSettings) -> Callable[[tf.Tensor], tf.Tensor]:
    """Give the graph from paths (n,) to pixels, uint8 (n, height, width, 1); traced once in a process."""

    def decode_file(path: tf.Tensor) -> tf.Tensor:
        return tf.cast(decode_and_resize_in_pipeline(tf.io.read_file(path), settings), tf.uint8)

    pixels = tf.TensorSpec((settings.height, settings.width, 1), tf.uint8)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)], autograph=False)
    def decode_block(paths: tf.Tensor) -> tf.Tensor:
        return tf.map_fn(decode_file, paths, fn_output_signature=pixels, parallel_iterations=1)

    return decode_block


def _next_or_none(blocks: Iterator[np.ndarray]) -> np.ndarray | None:
    """Take the next block, or None where one of its files cannot be decoded; the message names graph nodes, not files."""
    try:
        return next(blocks)
    except tf.errors.OpError:
        return None


def _digest_of(path: str) -> str:
    """SHA-256 of a file, or words that begin with "cannot"."""
    try:
        return file_sha256(path)
    except OSError as error:
        return f"cannot be opened ({error.strerror})"


def _decode_alone(path: str, image_id: str, settings: DecodeSettings) -> tuple[np.ndarray | None, str]:
    """Decode one file of a block in which some file is bad; its fault in words."""
    try:
        return decode_and_resize(Path(path).read_bytes(), settings).numpy().astype(np.uint8), ""
    except (OSError, ValueError) as error:
        return None, f"{image_id}: {path}: {error}"


def _in_threads(function: Callable[[str], str], items: Sequence[str], *, workers: int) -> Generator[str, None, None]:
    """Map in threads, keeping only a few results ahead; Ctrl-C drops what has not begun."""
    pool = ThreadPoolExecutor(workers, thread_name_prefix="hash")
    try:
        running: deque[Future[str]] = deque()
        for item in items:
            running.append(pool.submit(function, item))
            if len(running) > 4 * workers:
                yield running.popleft().result()
        while running:
            yield running.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
