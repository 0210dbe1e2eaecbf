"""Where images lie before and after a network: PCA and t-SNE pictures of them, and figures that need no picture."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import keras
import numpy as np
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from sklearn.metrics import pairwise_distances, silhouette_score

COMPONENTS_FOR_TSNE = 50
"""van der Maaten and Hinton 2008 reduce to 30 by PCA first; scikit-learn advises 50 for speed and less noise."""

PERPLEXITY = 30.0  # van der Maaten and Hinton 2008: 5 to 50


def embed_images(model: keras.Model, batches: Iterable[Any]) -> np.ndarray:
    """Compute the layer `embedding` of images.

    Args:
        model: a model of `models_zoo`.
        batches: (images float32 (b, h, w, 1) in [0, 255], ...).

    Returns:
        float32 (n, d).
    """
    part = keras.Model(model.inputs[0], model.get_layer("embedding").output)
    return np.concatenate([np.asarray(part.predict_on_batch(np.asarray(batch[0])), np.float32) for batch in batches])


def project(points: np.ndarray, *, seed: int) -> dict[str, np.ndarray]:
    """Bring points to two dimensions, twice.

    Args:
        points: float (n, d), n of at least 4.
        seed: of t-SNE and of the randomised solver of PCA.

    Returns:
        "pca" and "tsne" (of the first 50 components), each float64 (n, 2). Distances in t-SNE's picture between groups, and the groups'
        sizes, mean nothing.

    Raises:
        ValueError: fewer than 4 points.
    """
    count, dimensions = points.shape
    if count < 4:
        raise ValueError(f"{count} images are too few for a picture of their places; take 4 or more.")
    components = PCA(min(COMPONENTS_FOR_TSNE, count, dimensions), random_state=seed).fit_transform(points.astype(np.float64))
    if components.shape[1] < 2:
        components = np.pad(components, ((0, 0), (0, 1)))
    perplexity = min(PERPLEXITY, (count - 1) / 3)
    tsne = TSNE(2, perplexity=perplexity, init="pca", random_state=seed).fit_transform(components)
    return {"pca": components[:, :2], "tsne": np.asarray(tsne, np.float64)}


def separation(points: np.ndarray, labels: np.ndarray, groups: np.ndarray) -> dict[str, float | None]:
    """Say how far classes lie apart, in the space itself and not in a picture of it.

    Args:
        points: float (n, d).
        labels: (n,), the class of each.
        groups: (n,), the patient of each.

    Returns:
        `silhouette`, mean silhouette of the classes in Euclidean distance, -1 to 1; `nearest_neighbour_accuracy`, the share of images whose
        nearest image of *another* patient has the same class (another image of the same patient nearly always has); `majority`, the share
        of the largest class, which guessing reaches. None where there is one class, or one patient.
    """
    classes, counts = np.unique(labels, return_counts=True)
    away = pairwise_distances(points)
    np.fill_diagonal(away, 0)
    silhouette = float(silhouette_score(away, labels, metric="precomputed")) if 1 < len(classes) < len(labels) else None
    away[groups[:, None] == groups[None, :]] = np.inf
    others = np.isfinite(away).any(axis=1)
    right = labels[away.argmin(axis=1)] == labels
    accuracy = float(right[others].mean()) if others.any() else None
    return {"silhouette": silhouette, "nearest_neighbour_accuracy": accuracy, "majority": float(counts.max() / len(labels))}
