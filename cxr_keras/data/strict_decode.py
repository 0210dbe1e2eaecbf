"""A decoder that does not keep silent: warnings of the JPEG library become reasons, a crash costs one file.

OpenCV returns a picture whose damaged part is grey, and the library below it prints the warning on the error stream of the
process. The decoder therefore runs in a process of its own, in which that stream is a file that is read after each image.
This file is that process's program too, so it imports of the project only what reads DICOM, and that only for a DICOM file.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from types import TracebackType
from typing import IO

import cv2
import numpy as np

_HARMLESS = "before marker 0xd9"
"""Bytes too many in front of the end marker: some cameras pad their files, no pixel is affected. Inside DICOM nobody pads there:
in the tests it is the only trace of a hole in a lossless JPEG."""


class StrictDecoder:
    """One decoding process; not to be used by two threads at once."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> StrictDecoder:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self.close()

    def fault_of(self, path: str) -> str:
        """Decode one file.

        Args:
            path: of a JPEG, PNG or DICOM file.

        Returns:
            What is wrong with it in words, "" if nothing is.
        """
        if self._process is None:
            # -P: the folder of this file holds modules whose names must not hide others.
            command = [sys.executable, "-P", __file__]
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, encoding="utf-8"
            )
        process = self._process
        assert process.stdin is not None and process.stdout is not None
        try:
            process.stdin.write(json.dumps(path) + "\n")
            process.stdin.flush()
            answer = process.stdout.readline()
        except BrokenPipeError:
            answer = ""
        if answer:
            return json.loads(answer)
        process.wait()
        self.close()
        return f"unreadable: the decoder died on it (exit status {process.returncode})"

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            process, self._process = self._process, None
            process.kill()
            process.communicate()


def _decode(path: str, log: IO[bytes]) -> str:
    """Decode one file and say what is wrong; `log` is what the libraries write their warnings to."""
    try:
        contents = Path(path).read_bytes()
    except OSError as error:
        return f"unreadable: {error.strerror}"
    start = log.seek(0, os.SEEK_END)
    try:
        image = _pixels_of(contents)
    except cv2.error as error:
        return f"unreadable: {error.err or 'OpenCV cannot decode it'}"
    except ValueError as error:
        return f"unreadable: {error}"
    log.seek(start)  # the error stream shares this file's position, so it stands behind the warnings now
    warnings = [line for line in log.read().decode(errors="replace").splitlines() if "Corrupt JPEG data" in line]
    if image is None:
        return f"unreadable: {warnings[0] if warnings else 'OpenCV cannot decode it'}"
    serious = [line for line in warnings if _is_dicom(contents) or _HARMLESS not in line]
    if serious:
        return f"damaged: {serious[0]}"
    first = image[0, 0]
    # A few pixels tell nearly every picture from a constant one; comparing all of them takes as long as decoding does.
    if (image[::16, ::16] == first).all() and (image == first).all():
        return f"constant: every pixel is {', '.join(f'{value:g}' for value in np.atleast_1d(first).tolist())}"
    return ""


def _pixels_of(contents: bytes) -> np.ndarray | None:
    """Decode a file as it is stored, DICOM to grey; None if OpenCV cannot."""
    if not _is_dicom(contents):
        return cv2.imdecode(np.frombuffer(contents, np.uint8), cv2.IMREAD_UNCHANGED)
    package = str(Path(__file__).resolve().parents[2])
    if package not in sys.path:  # -P left it out, and the package need not be installed
        sys.path.append(package)
    from cxr_keras.pixels.dicom import decode_dicom

    return decode_dicom(contents)


def _is_dicom(contents: bytes) -> bool:
    return contents[128:132] == b"DICM"


def _serve() -> None:
    """Answer each path on the standard input with its fault on the standard output, both as lines of JSON."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent ends this process
    cv2.setNumThreads(1)
    with tempfile.TemporaryFile(buffering=0) as log:
        os.dup2(log.fileno(), 2)
        for line in sys.stdin:
            print(json.dumps(_decode(json.loads(line), log)), flush=True)


if __name__ == "__main__":
    _serve()
