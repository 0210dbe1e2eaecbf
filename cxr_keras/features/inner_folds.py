"""Inner folds of a grid search: patients kept whole, classes spread evenly."""

from __future__ import annotations

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold


def grouped_splits(labels: np.ndarray, groups: np.ndarray, *, folds: int, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Deal rows into folds by patient, stratified by class; a function of labels, groups and seed, not of the order of rows.

    Args:
        labels: text (n,).
        groups: text (n,), patients.
        folds: 2 or more.
        seed: of the shuffling.

    Returns:
        For each fold the training and the held-out rows, int64.

    Raises:
        ValueError: fewer than two folds, one class, fewer patients in a class than folds, or a class absent from a fold.
    """
    if folds < 2:
        raise ValueError(f"folds is {folds}; a grid search needs 2 or more.")
    classes = np.unique(labels)
    if len(classes) < 2:
        raise ValueError(f"all {len(labels)} images are {str(classes[0])!r}; a classifier needs images of two classes or more.")
    patients = {str(name): len(np.unique(groups[labels == name])) for name in classes}
    few = [name for name, count in patients.items() if count < folds]
    if few:
        counts = ", ".join(f"{name} {count}" for name, count in patients.items())
        raise ValueError(
            f"too few patients for {folds} folds: {folds} needed in every class, there are {counts}. Take fewer folds, or add patients to "
            f"{', '.join(few)}."
        )
    splits = list(StratifiedGroupKFold(folds, shuffle=True, random_state=seed).split(labels, labels, groups))
    for fold, parts in enumerate(splits):
        absent = [str(name) for name in classes if any(not (labels[part] == name).any() for part in parts)]
        if absent:
            raise ValueError(
                f"class {', '.join(absent)} is absent from fold {fold} of {folds} or from the rest: its images lie with too few patients. "
                "Take fewer folds or another seed."
            )
    return splits
