"""Nearest neighbours as plain arrays: the names and labels of the training images, whose features lie in a file of their own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from cxr_keras.features.model_files import class_faults


@dataclass(frozen=True)
class NeighboursModel:
    """Probabilities are shares of votes among the nearest training images (Euclidean).

    Attributes:
        image_ids: text (m,), the training images.
        labels: text (m,), theirs.
        neighbours: number of votes.
        classes: k names.
    """

    image_ids: np.ndarray
    labels: np.ndarray
    neighbours: int
    classes: tuple[str, ...]

    def votes(self, distances: np.ndarray) -> np.ndarray:
        """Turn distances to the training images (b, m), of any monotonous kind, into shares of votes, float64 (b, k).

        Of images equally far the first in order votes.
        """
        nearest = np.argsort(distances, axis=1, kind="stable")[:, : self.neighbours]
        return (self.labels[nearest][:, :, None] == np.array(self.classes)).mean(axis=1)

    def arrays(self) -> dict[str, np.ndarray]:
        """The content of a file."""
        return {name: np.asarray(getattr(self, name)) for name in self.__dataclass_fields__}

    @classmethod
    def from_arrays(cls, content: Mapping[str, np.ndarray]) -> NeighboursModel:
        """Rebuild a model.

        Raises:
            ValueError: the arrays do not fit each other.
        """
        ids, labels, neighbours, classes = (content[name] for name in ("image_ids", "labels", "neighbours", "classes"))
        fault = class_faults(classes)
        if not fault and (ids.dtype.kind != "U" or labels.dtype.kind != "U" or ids.ndim != 1 or ids.shape != labels.shape):
            fault = f"image_ids {ids.dtype} {ids.shape} and labels {labels.dtype} {labels.shape} are not one text an image each"
        if not fault and not set(labels.tolist()) <= set(classes.tolist()):
            fault = "labels name classes that are not listed"
        if not fault and (neighbours.shape or neighbours.dtype.kind not in "iu" or not 1 <= neighbours <= len(ids)):
            fault = f"neighbours is {neighbours.tolist()}; expected a whole number from 1 to {len(ids)}"
        if fault:
            raise ValueError(fault)
        return cls(ids, labels, int(neighbours), tuple(classes.tolist()))
