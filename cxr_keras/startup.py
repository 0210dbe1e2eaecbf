"""Starting the backend without its start-up lines, and without taking all memory of the GPUs.

TensorFlow prints lines about missing CUDA drivers from native code, before any of its log levels applies. They are no news on a machine
without a GPU and bury the progress lines, so the first import and the first operation run with the error stream turned to a file.
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator

VIRTUAL_DEVICES = "CXR_VIRTUAL_DEVICES"
"""Variable with the number of devices that the processor passes for, to try `training.distribution: mirrored` without GPUs."""


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
    """Import Keras with its backend and run one operation; later calls cost nothing.

    Raises:
        ValueError: `CXR_VIRTUAL_DEVICES`, the number of devices that the processor passes for, is no whole number from 1 up.
    """
    if "keras" in sys.modules:
        return
    given = os.environ.get(VIRTUAL_DEVICES, "1")
    if not given.isdecimal() or int(given) < 1:
        raise ValueError(f"{VIRTUAL_DEVICES} is {given!r}, expected a whole number from 1 up.")
    virtual_devices = int(given)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    with native_errors_to_file():
        # JAX alone reads it, when it starts.
        os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
        import keras
        import tensorflow  # the input pipeline needs it under every backend

        spare_gpu_memory()
        if virtual_devices > 1:
            [processor] = tensorflow.config.list_physical_devices("CPU")
            tensorflow.config.set_logical_device_configuration(
                processor, [tensorflow.config.LogicalDeviceConfiguration()] * virtual_devices
            )
        keras.ops.zeros(1)
        # Decoding transposes uint8, at which oneDNN says once on some processors that it leaves that to Eigen.
        tensorflow.transpose(tensorflow.zeros((1, 1, 1, 1), "uint8"), (0, 3, 1, 2))


def spare_gpu_memory() -> None:
    """Let this process take memory of GPUs as it needs it, not all of it at its first operation; later calls cost nothing.

    The process that starts jobs computes little or nothing on a GPU, and would leave no memory to them. Where another backend computes,
    TensorFlow only feeds batches and gets no GPU at all.
    """
    import keras
    import tensorflow

    with contextlib.suppress(RuntimeError):  # a notebook has used its GPUs before, and what it takes is its own affair
        if keras.backend.backend() != "tensorflow":
            tensorflow.config.set_visible_devices([], "GPU")
            return
        for gpu in tensorflow.config.list_physical_devices("GPU"):
            tensorflow.config.experimental.set_memory_growth(gpu, True)
