"""How much each class counts in the loss."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np


def class_weights(setting: str | Mapping[str, float], classes: Sequence[str], *, training_labels: Sequence[str]) -> np.ndarray | None:
    """Turn the config's setting into one weight a class.

    Args:
        setting: "none"; "balanced", n / (classes · n of the class), scikit-learn's rule, so that the mean weight over the training
            images is 1; or a mapping from each class to its weight (Laban: normal 3, pneumonia 1).
        classes: class names in the order of the model's outputs.
        training_labels: the labels of the training images only; validation and test labels have no say.

    Returns:
        float32 (number of classes,), or `None` for "none".

    Raises:
        ValueError: unknown setting, a class without a weight, a weight for an unknown class, or a class without training images.
    """
    if setting == "none":
        return None
    if isinstance(setting, Mapping):
        missing, unknown = sorted(set(classes) - set(setting)), sorted(set(setting) - set(classes))
        if missing or unknown:
            raise ValueError(
                f"class_weights must name each class once. Missing: {missing or 'none'}; unknown: {unknown or 'none'}; "
                f"classes here: {list(classes)}."
            )
        return np.array([setting[name] for name in classes], dtype=np.float32)
    if setting != "balanced":
        raise ValueError(f"class_weights is {setting!r}; expected none, balanced, or a weight for each of {list(classes)}.")
    labels = np.asarray(training_labels)
    counts = np.array([np.count_nonzero(labels == name) for name in classes])
    if (counts == 0).any():
        absent = [name for name, count in zip(classes, counts, strict=True) if count == 0]
        raise ValueError(f"No training image of class {', '.join(absent)}: balanced class weights are undefined.")
    return (len(labels) / (len(classes) * counts)).astype(np.float32)
