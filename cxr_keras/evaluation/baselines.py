"""Yardsticks that a network must beat: what a plain method makes of the same images and the same folds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler


def thumbnail_baseline(
    images: NDArray[np.uint8],
    labels: Sequence[str] | NDArray[Any],
    groups: Sequence[str] | NDArray[Any],
    *,
    size: int = 8,
    folds: int = 5,
    seed: int = 0,
    fold_ids: ArrayLike | None = None,
) -> dict[str, Any]:
    """Score logistic regression on tiny thumbnails, out of fold: what brightness and gross layout alone tell of the class.

    Pixels are averaged to `size` x `size`, standardised on the training part and given to L2 logistic regression (C = 1).

    Args:
        images: (n, h, w, 1) or (n, h, w).
        labels: class of each image, (n,).
        groups: patient of each image, (n,); used only where the folds are made here.
        size: side of the thumbnails in pixels.
        folds: number of folds, stratified by class and grouped by patient, if `fold_ids` is not given.
        seed: of these folds.
        fold_ids: fold of each image, (n,), to score on the folds of a run; it replaces `folds` and `seed`.

    Returns:
        `macro_auroc` (mean over classes of one against the rest, pooled over folds; of two classes the plain AUROC),
        `auroc` by class, `thumbnail_size`, `n_images`, `n_folds`.

    Raises:
        ValueError: lengths differ, fewer than two classes or folds, a patient in two folds, or a class that some training part lacks.
    """
    labels, groups = np.asarray(labels), np.asarray(groups)
    thumbnails = _thumbnails(images, size)
    if not len(thumbnails) == len(labels) == len(groups):
        raise ValueError(f"images ({len(thumbnails)}), labels ({len(labels)}) and groups ({len(groups)}) must be equally many.")
    classes = sorted(set(labels.tolist()))
    if len(classes) < 2:
        raise ValueError(f"labels hold {len(classes)} class ({', '.join(map(str, classes))}); a baseline needs two or more.")
    assigned = _assign_folds(labels, groups, folds=folds, seed=seed) if fold_ids is None else np.asarray(fold_ids)
    _check_folds(assigned, labels, groups)
    probabilities = np.zeros((len(labels), len(classes)))
    for fold in np.unique(assigned):
        held_out = assigned == fold
        model = make_pipeline(StandardScaler(), LogisticRegression(C=1.0, max_iter=2000))
        probabilities[held_out] = model.fit(thumbnails[~held_out], labels[~held_out]).predict_proba(thumbnails[held_out])
    scored = classes if len(classes) > 2 else classes[1:]
    auroc = {str(name): float(roc_auc_score(labels == name, probabilities[:, classes.index(name)])) for name in scored}
    return {
        "macro_auroc": float(np.mean(list(auroc.values()))),
        "auroc": auroc,
        "thumbnail_size": size,
        "n_images": len(labels),
        "n_folds": len(np.unique(assigned)),
    }


def _thumbnails(images: NDArray[np.uint8], size: int) -> NDArray[np.float32]:
    """Average every image down to `size` x `size`: float32 (n, size * size)."""
    if np.ndim(images) not in (3, 4) or (np.ndim(images) == 4 and images.shape[3] != 1):
        raise ValueError(f"images have the shape {np.shape(images)}; expected (n, height, width) or (n, height, width, 1).")
    small = [
        cv2.resize(np.asarray(image).squeeze(-1) if image.ndim == 3 else image, (size, size), interpolation=cv2.INTER_AREA)
        for image in images
    ]
    return np.stack(small).reshape(len(small), -1).astype(np.float32)


def _assign_folds(labels: NDArray[Any], groups: NDArray[Any], *, folds: int, seed: int) -> NDArray[np.int64]:
    assigned = np.zeros(len(labels), dtype=np.int64)
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    for fold, (_, held_out) in enumerate(splitter.split(np.zeros(len(labels)), labels, groups)):
        assigned[held_out] = fold
    return assigned


def _check_folds(assigned: NDArray[Any], labels: NDArray[Any], groups: NDArray[Any]) -> None:
    if len(assigned) != len(labels):
        raise ValueError(f"fold_ids are {len(assigned)} for {len(labels)} images.")
    if len(np.unique(assigned)) < 2:
        raise ValueError("one fold only: out-of-fold predictions need two or more.")
    pairs = {(group, fold) for group, fold in zip(groups.tolist(), assigned.tolist(), strict=True)}
    if len(pairs) > len(set(groups.tolist())):
        raise ValueError("a patient lies in more than one fold; make the folds by patient.")
    for fold in np.unique(assigned):
        absent = sorted(set(labels.tolist()) - set(labels[assigned != fold].tolist()))
        if absent:
            raise ValueError(f"no image of {', '.join(map(str, absent))} outside fold {fold}: too few patients for so many folds.")
