"""Starting the backend without its start-up lines.

TensorFlow prints lines about missing CUDA drivers from native code, before any of its log levels applies. They are no news on a machine
without a GPU and bury the progress lines, so the first import and the first operation run with the error stream turned to a file.
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator


@contextlib.contextmanager
def native_errors_to_file() -> Iterator[None]:
    """Turn what native code writes to the error stream into a temporary file; if the block fails, that file is printed.

    The stream is turned as a file descriptor, because native code does not go through `sys.stderr`.
    """
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as caught:
        os.dup2(caught.fileno(), 2)
        try:
            yield
        except BaseException:
            caught.seek(0)
            os.write(kept, caught.read())
            raise
        finally:
            sys.stderr.flush()
            os.dup2(kept, 2)
            os.close(kept)


def start_backend() -> None:
    """Import Keras with its backend and run one operation; later calls cost nothing."""
    if "keras" in sys.modules:
        return
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    with native_errors_to_file():
        import keras
        import tensorflow  # the input pipeline needs it under every backend

        if keras.backend.backend() != "tensorflow":
            # TensorFlow only feeds batches then, and would take the memory of the GPU that the backend needs.
            tensorflow.config.set_visible_devices([], "GPU")
        keras.ops.zeros(1)
        # Decoding transposes uint8, at which oneDNN says once on some processors that it leaves that to Eigen.
        tensorflow.transpose(tensorflow.zeros((1, 1, 1, 1), "uint8"), (0, 3, 1, 2))
