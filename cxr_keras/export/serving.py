"""What an exported graph computes with, and the networks inside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import keras
import numpy as np
from keras import layers

from cxr_keras.pixels.decode import DecodeSettings

MAPS = "class_activation_maps"
"""Output with one map a class; only where the head is linear in the features."""


@dataclass(frozen=True)
class Serving:
    """Constants of an exported graph.

    Attributes:
        classes: names, in the order of the outputs.
        decode: how files become pixels.
        image_size: height and width that the networks take; the centre of the decoded image where that is larger.
        temperature: T of the calibrated probabilities, above 0; None where none was fitted, and then there are none.
        threshold: from which probability of the second class on the decision is that class; None for more than two classes, where the most
            probable class is the decision.

    Raises:
        ValueError: settings that do not fit each other, or CLAHE.
    """

    classes: tuple[str, ...]
    decode: DecodeSettings
    image_size: tuple[int, int]
    temperature: float | None
    threshold: float | None

    def __post_init__(self) -> None:
        faults = []
        if self.decode.clahe is not None:
            faults.append(
                "the images were equalised (data.clahe), which runs in Python and not in a graph; train with data.clahe=null to export"
            )
        if len(self.classes) < 2:
            faults.append(f"classes: expected two names or more, got {self.classes!r}")
        if (self.threshold is None) != (len(self.classes) != 2):
            faults.append(f"threshold {self.threshold!r} for {len(self.classes)} classes: two classes have one, more have none")
        if self.threshold is not None and not 0 <= self.threshold <= 1:
            faults.append(f"threshold {self.threshold!r}: expected a probability")
        if self.temperature is not None and not self.temperature > 0:
            faults.append(f"temperature {self.temperature!r}: expected a number above 0, or None")
        if self.image_size[0] > self.decode.height or self.image_size[1] > self.decode.width:
            faults.append(
                f"image_size {self.image_size} is larger than the decoded {self.decode.height}×{self.decode.width} px it is cut from"
            )
        if faults:
            raise ValueError("; ".join(faults))

    @property
    def corner(self) -> tuple[int, int]:
        """Row and column of the decoded image where the centre crop begins."""
        return (self.decode.height - self.image_size[0]) // 2, (self.decode.width - self.image_size[1]) // 2


def network_of(model: keras.Model, *, maps: bool) -> keras.Model:
    """Take what an export needs of a trained model.

    Args:
        model: a model of `models_zoo`.
        maps: whether class activation maps are given too; the caller has made sure that the head is global average pooling and `logits`.

    Returns:
        A model of images float32 (n, h, w, 1) in [0, 255] that gives `logits` float32 (n, 1, classes), and with maps also
        `class_activation_maps` float32 (n, h', w', classes). It shares the layers of `model`.
    """
    dense = model.get_layer("logits")
    outputs = {"logits": layers.Reshape((1, dense.units))(dense.output)}
    if maps:
        weigh = layers.Conv2D(dense.units, 1, use_bias=False, dtype="float32", name=MAPS)
        outputs[MAPS] = weigh(model.get_layer("features").output)
        weigh.set_weights([np.asarray(dense.kernel)[np.newaxis, np.newaxis]])
    return keras.Model(model.inputs[0], outputs)


def network_of_classifiers(base: keras.Model, coefficients: Sequence[np.ndarray], intercepts: Sequence[np.ndarray]) -> keras.Model:
    """Put linear classifiers on the features of one fixed network: a dense layer, whose columns are those of all classifiers.

    Args:
        base: gives the features, of any shape; they are flattened.
        coefficients: of each classifier, float (classes, d).
        intercepts: of each classifier, float (classes,).

    Returns:
        As `network_of`, without maps; `logits` float32 (n, classifiers, classes).
    """
    number, classes = len(coefficients), len(intercepts[0])
    dense = layers.Dense(number * classes, dtype="float32", name="classifiers")
    logits = layers.Reshape((number, classes))(dense(layers.Flatten()(base.outputs[0])))
    dense.set_weights([np.concatenate(coefficients).T.astype(np.float32), np.concatenate(intercepts).astype(np.float32)])
    return keras.Model(base.inputs[0], {"logits": logits})
