"""The exported computation as TensorFlow functions: from files, from pictures of any size, and from pixels at the networks' size.

Several networks, the folds of a cross-validation, answer as one: the mean of their probabilities, each calibrated before the mean, as
`cxr evaluate RUN --on` does it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import keras
import numpy as np
import tensorflow as tf

from cxr_keras.export.serving import MAPS, Serving
from cxr_keras.pixels.decode import decode_and_resize, resize_gray

Outputs = dict[str, tf.Tensor]
Endpoint = Callable[[tf.Tensor], Outputs]


def answer_pixels(networks: Sequence[keras.Model], serving: Serving, *, dtype: tf.DType = tf.float32) -> Endpoint:
    """Give the function from pixels at the networks' size to numbers.

    Args:
        networks: from `network_of` or `network_of_classifiers`.
        serving: the constants.
        dtype: of probabilities and logits. In float32 the probability of a class is 1 from 17 above the other logits on; float64 keeps the
            order of such images.

    Returns:
        float32 (n, h, w, 1) in [0, 255] -> `probabilities` (n, k); `logits` (n, k), of several models the logarithm of their mean
        probability; `calibrated_probabilities` (n, k) where there is a temperature; `decision_index` int32 (n,); `class_activation_maps`
        float32 (n, h', w', k) where the networks have them, the mean over the networks.
    """

    def answer(pixels: tf.Tensor) -> Outputs:
        found = [network(pixels, training=False) for network in networks]
        logits = tf.cast(tf.concat([each["logits"] for each in found], axis=1), dtype)
        probabilities = tf.reduce_mean(tf.nn.softmax(logits), axis=1)
        tiny = tf.constant(np.finfo(dtype.as_numpy_dtype).tiny, dtype)
        outputs = {
            "probabilities": probabilities,
            "logits": logits[:, 0] if logits.shape[1] == 1 else tf.math.log(tf.maximum(probabilities, tiny)),
        }
        if serving.temperature is not None:
            scaled = logits * tf.constant(1 / serving.temperature, dtype)
            outputs["calibrated_probabilities"] = tf.reduce_mean(tf.nn.softmax(scaled), axis=1)
        if serving.threshold is None:
            decision = tf.argmax(probabilities, axis=1, output_type=tf.int32)
        else:
            decision = tf.cast(probabilities[:, 1] >= tf.constant(serving.threshold, dtype), tf.int32)
        outputs["decision_index"] = decision
        if MAPS in found[0]:
            outputs[MAPS] = tf.add_n([each[MAPS] for each in found]) / len(found)
        return outputs

    return answer


def answer_pictures(networks: Sequence[keras.Model], serving: Serving) -> Endpoint:
    """Give the function from grey pictures of one batch, of any size, to numbers and words.

    Returns:
        float32 (n, height, width, 1) in [0, 255] -> what `answer_pixels` gives, in float64, and what `_with_words` adds. Pictures that have
        the decoded size already pass the resize unchanged.
    """
    answer = _with_words(answer_pixels(networks, serving, dtype=tf.float64), serving)

    def from_pictures(pixels: tf.Tensor) -> Outputs:
        return answer(_centre(_each(lambda image: resize_gray(image, serving.decode), pixels, serving), serving))

    return from_pictures


def answer_files(networks: Sequence[keras.Model], serving: Serving) -> Endpoint:
    """Give the function from the bytes of JPEG and PNG files, string (n,), to what `answer_pictures` gives."""
    answer = _with_words(answer_pixels(networks, serving, dtype=tf.float64), serving)

    def from_files(image_bytes: tf.Tensor) -> Outputs:
        with tf.device("/CPU:0"):
            pixels = _each(lambda contents: decode_and_resize(contents, serving.decode), image_bytes, serving)
        return answer(_centre(pixels, serving))

    return from_files


def _each(function: Callable[[tf.Tensor], tf.Tensor], batch: tf.Tensor, serving: Serving) -> tf.Tensor:
    shape = tf.TensorSpec((serving.decode.height, serving.decode.width, 1), tf.float32)
    return tf.map_fn(function, batch, fn_output_signature=shape)


def _centre(pixels: tf.Tensor, serving: Serving) -> tf.Tensor:
    (top, left), (height, width) = serving.corner, serving.image_size
    return pixels[:, top : top + height, left : left + width]


def _with_words(answer: Endpoint, serving: Serving) -> Endpoint:
    """Add `decision` string (n,), `classes` string (n, k), and `threshold` and `temperature` float64 (n,) where there is one.

    Constants are repeated for each image, because TensorFlow Serving answers by rows and refuses outputs without the batch's dimension.
    """

    def told(pixels: tf.Tensor) -> Outputs:
        outputs = answer(pixels)
        number = tf.shape(pixels)[0]
        names = tf.constant(serving.classes)
        outputs["decision"] = tf.gather(names, outputs["decision_index"])
        outputs["classes"] = tf.tile(names[tf.newaxis], [number, 1])
        for name in ("threshold", "temperature"):
            if (value := getattr(serving, name)) is not None:
                outputs[name] = tf.fill([number], tf.constant(value, tf.float64))
        return outputs

    return told
