"""Writers of the export formats. Each takes the networks and the constants and leaves its files in a folder."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import keras
import tensorflow as tf
from keras import layers

from cxr_keras.export.graph import answer_files, answer_pictures, answer_pixels
from cxr_keras.export.serving import Serving

OPSET = 18
"""Of ONNX: what tf2onnx 1.17 writes at most; every ONNX Runtime since 1.14 reads it."""


@dataclass(frozen=True)
class Format:
    """One way to export.

    Attributes:
        name: what the user calls it.
        write: networks, constants, folder -> files in the folder.
        file: name of the file or folder that a program opens.
        tolerance: how far a probability may lie from the training model's.
        packages: modules that writing and checking need beyond TensorFlow.
        extra: extra of this package that installs them.
        inputs: what it takes, in words.
        float32_only: whether a run in half precision is refused.
    """

    name: str
    write: Callable[[Sequence[keras.Model], Serving, Path], None]
    file: str
    tolerance: float
    packages: tuple[str, ...] = ()
    extra: str | None = None
    inputs: str = "grey pixels at the model's size, float32 (n, height, width, 1) in [0, 255]"
    float32_only: bool = True


def write_saved_model(networks: Sequence[keras.Model], serving: Serving, folder: Path) -> None:
    """Write a SavedModel with the signatures `serve_bytes` (also `serving_default`) and `serve_pixels`."""
    archive = keras.export.ExportArchive()
    for network in networks:
        archive.track(network)
    archive.add_endpoint("serve_bytes", answer_files(networks, serving), [tf.TensorSpec([None], tf.string, "image_bytes")])
    picture = tf.TensorSpec([None, None, None, 1], tf.float32, "pixels")
    archive.add_endpoint("serve_pixels", answer_pictures(networks, serving), [picture])
    archive.write_out(str(folder / "saved_model"), verbose=False)


def write_onnx(networks: Sequence[keras.Model], serving: Serving, folder: Path) -> None:
    """Write `model.onnx`."""
    import tf2onnx
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    spec = _pixels(serving)
    concrete = _function(networks, serving, spec).get_concrete_function(spec)
    # tf2onnx makes inputs of tensors that a layer keeps beside its variables (the mean of Normalization in EfficientNet), so they are
    # frozen first. There is no public name for that; the frozen function gives its outputs in the order of the sorted names.
    frozen, names = convert_variables_to_constants_v2(concrete), sorted(concrete.structured_outputs)
    again = tf.function(lambda pixels: dict(zip(names, frozen(pixels), strict=True)), input_signature=[spec], autograph=False)
    tf2onnx.convert.from_function(again, [spec], opset=OPSET, output_path=str(folder / "model.onnx"))


def write_litert(networks: Sequence[keras.Model], serving: Serving, folder: Path) -> None:
    """Write `model.tflite`, float32 without quantisation."""
    archive = keras.export.ExportArchive()
    for network in networks:
        archive.track(network)
    archive.add_endpoint("serve_pixels", answer_pixels(networks, serving), [_pixels(serving)])
    unfrozen = folder / "unfrozen"
    archive.write_out(str(unfrozen), verbose=False)
    converter = tf.lite.TFLiteConverter.from_saved_model(str(unfrozen), signature_keys=["serve_pixels"])
    (folder / "model.tflite").write_bytes(converter.convert())
    _remove(unfrozen)


def write_openvino(networks: Sequence[keras.Model], serving: Serving, folder: Path) -> None:
    """Write `model.xml` and `model.bin`."""
    import openvino

    spec = _pixels(serving)
    concrete = _function(networks, serving, spec).get_concrete_function(spec)
    model = openvino.convert_model(concrete)
    model.inputs[0].get_tensor().set_names({"pixels"})
    openvino.save_model(model, str(folder / "model.xml"), compress_to_fp16=False)


def write_keras(networks: Sequence[keras.Model], serving: Serving, folder: Path) -> None:
    """Write `model.keras`: probabilities and calibrated probabilities, without decision and maps; it needs Keras and `models_zoo`."""
    pixels = keras.Input((*serving.image_size, 1), name="pixels")
    found = [network(pixels)["logits"] for network in networks]
    logits = found[0] if len(found) == 1 else layers.Concatenate(axis=1)(found)
    outputs = {"probabilities": _mean_softmax(logits, "probabilities")}
    if serving.temperature is not None:
        scaled = layers.Rescaling(1 / serving.temperature, dtype="float32")(logits)
        outputs["calibrated_probabilities"] = _mean_softmax(scaled, "calibrated_probabilities")
    keras.Model(pixels, outputs).save(folder / "model.keras")


FORMATS = {
    each.name: each
    for each in (
        Format(
            "saved_model",
            write_saved_model,
            "saved_model",
            1e-5,
            inputs="bytes of JPEG or PNG files, string (n,); or grey pixels of any size, float32 (n, height, width, 1) in [0, 255]",
            float32_only=False,
        ),
        Format("onnx", write_onnx, "model.onnx", 1e-4, ("tf2onnx", "onnxruntime"), "onnx"),
        Format("litert", write_litert, "model.tflite", 1e-4, ("ai_edge_litert",), "litert"),
        Format("openvino", write_openvino, "model.xml", 1e-4, ("openvino",), "openvino"),
        Format("keras", write_keras, "model.keras", 1e-4, float32_only=False),
    )
}
"""Every format by its name."""


def check_installed(format_: Format) -> None:
    """Raise ValueError if what a format needs is not installed."""
    if absent := [name for name in format_.packages if importlib.util.find_spec(name) is None]:
        raise ValueError(f"--format {format_.name} needs {', '.join(absent)}. Install with `pip install 'cxr-keras[{format_.extra}]'`.")


def _pixels(serving: Serving) -> tf.TensorSpec:
    return tf.TensorSpec([None, *serving.image_size, 1], tf.float32, "pixels")


def _function(networks: Sequence[keras.Model], serving: Serving, spec: tf.TensorSpec) -> tf.types.experimental.PolymorphicFunction:
    return tf.function(answer_pixels(networks, serving), input_signature=[spec], autograph=False)


def _mean_softmax(logits: keras.KerasTensor, name: str) -> keras.KerasTensor:
    """Mean over the models (axis 1) of the softmax of float32 (n, models, classes)."""
    return layers.GlobalAveragePooling1D(dtype="float32", name=name)(layers.Softmax(dtype="float32")(logits))


def _remove(folder: Path) -> None:
    tf.io.gfile.rmtree(str(folder))
