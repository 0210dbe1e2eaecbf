"""The one place where a backend is named: the gradient of a class's logit, on TensorFlow and on JAX.

Keras 3 has no call of its own for the gradient of an output with respect to an input.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

Gradient = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]


def gradient_of_logit(head: keras.Model) -> Gradient:
    """Compile the gradient of one logit an image with respect to what `head` takes.

    Args:
        head: from features (n, ...) to logits (n, classes).

    Returns:
        A function of features float32 (n, ...) and columns int32 (n,), the class of each image, or -1 for the one with the highest logit.
        It gives logits float32 (n, classes) and the gradient float32, shaped as the features. Weights are taken as they are when the
        function is called.

    Raises:
        ValueError: a backend other than TensorFlow and JAX.
    """
    backend = keras.backend.backend()
    makers = {"tensorflow": _with_tensorflow, "jax": _with_jax}
    if backend not in makers:
        raise ValueError(
            f"gradients are taken with {' or '.join(makers)}, and the backend is {backend}. Set KERAS_BACKEND to one of them, or take a "
            "method without gradients: cam, activation or occlusion."
        )
    compute = makers[backend](head)

    def gradient(features: np.ndarray, columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        logits, slopes = compute(ops.convert_to_tensor(features), ops.convert_to_tensor(columns, dtype="int32"))
        return ops.convert_to_numpy(logits), ops.convert_to_numpy(slopes).astype(np.float32)

    return gradient


def _score(logits: Any, columns: Any) -> Any:
    """Sum over the images of each one's logit; an image's gradient is its own, as no image meets another at inference."""
    chosen = ops.where(columns < 0, ops.cast(ops.argmax(logits, axis=-1), "int32"), columns)
    return ops.sum(logits * ops.one_hot(chosen, logits.shape[-1], dtype=logits.dtype))


def _with_tensorflow(head: keras.Model) -> Callable[[Any, Any], tuple[Any, Any]]:
    import tensorflow as tf

    @tf.function
    def traced(features: Any, columns: Any) -> tuple[Any, Any]:
        with tf.GradientTape() as tape:
            tape.watch(features)
            logits = ops.cast(head(features, training=False), "float32")
            score = _score(logits, columns)
        return logits, tape.gradient(score, features)

    graphs: dict[Any, Any] = {}

    def compute(features: Any, columns: Any) -> tuple[Any, Any]:
        # One graph for batches of any size. Calling `traced` itself would warn of retracing as soon as some models have one each.
        shape = (None, *features.shape[1:])
        if shape not in graphs:
            graphs[shape] = traced.get_concrete_function(tf.TensorSpec(shape, features.dtype), tf.TensorSpec((None,), columns.dtype))
        return graphs[shape](features, columns)

    return compute


def _with_jax(head: keras.Model) -> Callable[[Any, Any], tuple[Any, Any]]:
    import jax

    def score(features: Any, columns: Any, trainable: Any, fixed: Any) -> tuple[Any, Any]:
        logits, _ = head.stateless_call(trainable, fixed, features, training=False)
        logits = ops.cast(logits, "float32")
        return _score(logits, columns), logits

    compiled = jax.jit(jax.value_and_grad(score, has_aux=True))

    def compute(features: Any, columns: Any) -> tuple[Any, Any]:
        weights = ([v.value for v in variables] for variables in (head.trainable_variables, head.non_trainable_variables))
        (_, logits), slopes = compiled(features, columns, *weights)
        return logits, slopes

    return compute
