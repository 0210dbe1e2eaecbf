"""Open an exported file as a program would that knows nothing of this package, and write down what it answers.

Run by file name and not as a module, in an interpreter of its own that can import neither this package nor Keras; only an export of the
format "keras" may use Keras and `models_zoo`.

    python -P fresh_process.py JOB.json

The job names `format`, `file` (what to open), `pixels` (.npy, float32 (n, h, w, 1)), `images` (paths of JPEG and PNG files, for a
SavedModel; else empty) and `answers` (the .npz to write). The answers are arrays `pixels/<output>` and `bytes/<output>`.
"""

import json
import sys
from pathlib import Path

import numpy as np

BATCH = 16
BARRED = ("cxr_keras", "models_zoo", "keras")
BARRED_FOR_KERAS = ("cxr_keras",)


def open_saved_model(path):
    """Give the two signatures as functions from a batch to arrays by name."""
    import tensorflow as tf

    loaded = tf.saved_model.load(path)

    def call(name, batch):
        return {key: value.numpy() for key, value in loaded.signatures[name](batch).items()}

    return (
        lambda pixels: call("serve_pixels", tf.constant(pixels)),
        lambda paths: call("serve_bytes", tf.constant([Path(path).read_bytes() for path in paths])),
    )


def open_onnx(path):
    """ONNX Runtime on the processor."""
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [each.name for each in session.get_outputs()]
    return lambda pixels: dict(zip(names, session.run(None, {"pixels": pixels}), strict=True)), None


def open_litert(path):
    """LiteRT's interpreter."""
    from ai_edge_litert.interpreter import Interpreter

    runner = Interpreter(model_path=path).get_signature_runner("serve_pixels")
    return lambda pixels: runner(pixels=pixels), None


def open_openvino(path):
    """OpenVINO on the processor, in float32: some processors would take bfloat16 by themselves."""
    import openvino

    compiled = openvino.Core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return lambda pixels: {key.get_any_name(): value for key, value in compiled({"pixels": pixels}).items()}, None


def open_keras(path):
    """Keras with the layers of `models_zoo`."""
    import keras

    import models_zoo  # noqa: F401  it registers them

    model = keras.saving.load_model(path, compile=False, safe_mode=True)
    return lambda pixels: {key: np.asarray(value) for key, value in model.predict_on_batch(pixels).items()}, None


OPENERS = {
    "saved_model": open_saved_model,
    "onnx": open_onnx,
    "litert": open_litert,
    "openvino": open_openvino,
    "keras": open_keras,
}


def answer(job):
    """Run one job; gives arrays by name."""
    # TensorFlow imports Keras where it finds it; barred, an export that needed it would fail here.
    for name in BARRED_FOR_KERAS if job["format"] == "keras" else BARRED:
        sys.modules[name] = None
    from_pixels, from_files = OPENERS[job["format"]](job["file"])
    given = {"pixels": (np.load(job["pixels"], allow_pickle=False), from_pixels), "bytes": (job["images"], from_files)}
    answers = {}
    for kind, (inputs, function) in given.items():
        batches = [function(inputs[first : first + BATCH]) for first in range(0, len(inputs), BATCH)]
        for name in batches[0] if batches else ():
            values = np.concatenate([batch[name] for batch in batches])
            if values.dtype.kind in "fiu":  # words are told by the numbers and would need pickle
                answers[f"{kind}/{name}"] = values
    return answers


if __name__ == "__main__":
    task = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    np.savez(task["answers"], **answer(task))
