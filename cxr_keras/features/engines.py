"""What runs a fixed network over pictures: Keras with its backend, or OpenVINO, which is faster on processors."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np

ENGINES = ("keras", "openvino")

Forward = Callable[[np.ndarray], np.ndarray]
"""float32 (b, h, w, 1), always the same b -> what the network gives for them, float32 or as the network computes."""

OPENVINO_PRECISIONS = {"float32": "f32", "mixed_bfloat16": "bf16"}
"""The config's name of a precision -> OpenVINO's. Its half precision rounds weights and what passes between layers, stores float32."""


def check_engine(engine: str, precision: str) -> None:
    """Check that an engine can run here, in this precision.

    Args:
        engine: one of `ENGINES`.
        precision: as in a config, `training.precision`.

    Raises:
        ValueError: OpenVINO is not installed, or the processor does not compute in this precision by itself.
    """
    if engine == "keras":
        return
    if importlib.util.find_spec("openvino") is None:
        raise ValueError("classifier.engine: openvino needs OpenVINO. Install it with `pip install 'cxr-keras[openvino]'`, or take keras.")
    if precision == "mixed_bfloat16":
        import openvino

        able = openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        if "BF16" not in able:
            raise ValueError(
                f"classifier.engine: openvino finds a processor without bfloat16 (it has {', '.join(able)}) and would compute in float32. "
                "Set training.precision=float32."
            )


def describe_engine(engine: str) -> dict[str, str]:
    """What of an engine decides the last digits of its numbers: for Keras its backend with version and device, else the engine's own."""
    if engine == "openvino":
        return {"engine": engine, "backend": f"openvino {_minor(importlib.metadata.version('openvino'))}", "device": "cpu"}
    backend = keras.backend.backend()
    here = str(keras.ops.ones(1).device).lower()  # where numbers are computed now, which a scope of keras.device decides too
    return {
        "backend": f"{backend} {_minor(importlib.import_module(backend).__version__)}",
        "device": "gpu" if any(name in here for name in ("gpu", "cuda", "rocm")) else "cpu",
    }


def _minor(version: str) -> str:
    return ".".join(version.split(".")[:2])


def open_engine(part: keras.Model, engine: str, *, precision: str, batch_size: int) -> Forward:
    """Make a network ready to run.

    Args:
        part: from image to the layer that is wanted; in float32 for OpenVINO, which rounds by itself.
        engine: one of `ENGINES`.
        precision: of OpenVINO, one of `OPENVINO_PRECISIONS`; Keras takes that of the network's layers.
        batch_size: pictures a call.

    Raises:
        ValueError: OpenVINO cannot run here, see `check_engine`.
    """
    check_engine(engine, precision)
    if engine == "keras":
        return part.predict_on_batch
    compiled = _compiled(part, OPENVINO_PRECISIONS[precision], batch_size)
    return lambda images: compiled(images)[0]


def _compiled(part: keras.Model, precision: str, batch_size: int) -> Any:
    """The network as OpenVINO runs it, for one size of batch and all cores on each batch."""
    import openvino

    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "network.xml")
        part.export(path, format="openvino", verbose=False)
        core = openvino.Core()
        network = core.read_model(path)
        network.reshape([batch_size, *part.inputs[0].shape[1:]])
        return core.compile_model(network, "CPU", {"INFERENCE_PRECISION_HINT": precision, "PERFORMANCE_HINT": "LATENCY"})
