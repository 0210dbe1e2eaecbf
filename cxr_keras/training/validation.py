"""Scores of a part that is not trained on, after each epoch."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from scipy.special import softmax
from sklearn.metrics import roc_auc_score

# The smallest positive float32: keeps the logarithm of a probability of 0 finite.
_TINY = float(np.finfo(np.float32).tiny)


def predict_probabilities(model: keras.Model, dataset: Any) -> tuple[np.ndarray, np.ndarray]:
    """Run the model over a finite dataset.

    Batch by batch with one compiled function; the targets are gathered on the way, so that no second pass over the images is needed.

    Args:
        model: gives probabilities (batch, classes).
        dataset: batches of (images, targets).

    Returns:
        Probabilities and targets, each float32 (images, classes), in the order of the dataset.
    """
    targets = []

    def images() -> Any:
        for batch in dataset:
            targets.append(np.asarray(batch[1]))
            yield np.asarray(batch[0])

    probabilities = [np.asarray(keras.ops.convert_to_numpy(model.predict_on_batch(batch))) for batch in images()]
    return np.concatenate(probabilities).astype(np.float32), np.concatenate(targets).astype(np.float32)


def predict_from_logits(model: keras.Model, dataset: Any) -> tuple[np.ndarray, np.ndarray]:
    """Run the model over a finite dataset and take the softmax in float64.

    In float32 the probability of a class is 1 from 17 above the other logits on, and of a third of the images that a small network has
    learned well the order is lost; here it is kept up to 36.

    Args:
        model: has a layer `logits` (batch, classes), whose softmax it gives.
        dataset: batches of (images, targets).

    Returns:
        Probabilities float64 and targets float32, each (images, classes), in the order of the dataset.
    """
    logits, targets = predict_probabilities(keras.Model(model.inputs[0], model.get_layer("logits").output), dataset)
    return softmax(logits.astype(np.float64), axis=1), targets


def validation_scores(model: keras.Model, dataset: Any) -> dict[str, float]:
    """Loss, accuracy and macro one-against-rest AUROC of a dataset.

    Keras's `AUC` on one-hot targets is a micro average, so the probabilities go to scikit-learn. A class that the part does not hold
    is left out of the macro mean; with fewer than two classes the AUROC is nan.

    Returns:
        `val_loss` (unweighted cross-entropy in nats), `val_accuracy` and `val_auroc`, both in [0, 1].
    """
    probabilities, targets = predict_probabilities(model, dataset)
    if not np.isfinite(probabilities).all():
        raise FloatingPointError("The validation probabilities became nan or infinite. Lower the learning rate and start again.")
    true = targets.argmax(axis=1)
    chosen = np.maximum(probabilities[np.arange(len(true)), true], _TINY)
    areas = [
        roc_auc_score(true == index, probabilities[:, index])
        for index in range(targets.shape[1])
        if 0 < np.count_nonzero(true == index) < len(true)
    ]
    return {
        "val_loss": float(-np.log(chosen).mean()),
        "val_accuracy": float((probabilities.argmax(axis=1) == true).mean()),
        "val_auroc": float(np.mean(areas)) if areas else float("nan"),
    }
