"""Images that most models miss, and labels that look wrong: what to look at first.

An image that every network misses is either hard or wrongly labelled. Confident learning (Northcutt, Jiang and Chuang 2021, Confident
Learning: Estimating Uncertainty in Dataset Labels) tells the second from the first as far as probabilities can: it takes a label for
doubtful where the probability of another class is above that class's own mean. It needs probabilities of models that did not train on the
image, which is what a predictions table holds.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping

import numpy as np
import pandas as pd

from cxr_keras.evaluation.paired import check_same_classes, why_unpaired
from cxr_keras.evaluation.predictions import class_names, probability_columns

NEEDS_CLEANLAB = "Likely label errors need the library cleanlab: pip install 'cxr-keras[label-errors]'."


def describe_together(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Tell of each image how many models miss it and what they take it for.

    Args:
        tables: name to checked predictions table, two or more, all of the same images, labels and patients.

    Returns:
        A row an image in the order of the first table: image_id, group_id, label, models (their number), wrong (how many of them miss it),
        p_label (mean probability of its label), named_instead (the other class of highest mean probability) and p_named (that).

    Raises:
        ValueError: fewer than two tables, or tables of other classes or images.
    """
    stacked, classes, truth = _stack(tables)
    mean, rows = stacked.mean(axis=0), np.arange(len(truth))
    others = mean.copy()
    others[rows, truth] = -1
    named = others.argmax(axis=1)
    return next(iter(tables.values()))[["image_id", "group_id", "label"]].assign(
        models=len(tables),
        wrong=(stacked.argmax(axis=2) != truth).sum(axis=0),
        p_label=mean[rows, truth],
        named_instead=np.array(classes)[named],
        p_named=mean[rows, named],
    )


def missed_by_most(described: pd.DataFrame) -> pd.Series:
    """Whether more than half of the models miss an image; a mask of the table from `describe_together`."""
    return described["wrong"] > described["models"] / 2


def label_errors_can_be_found() -> bool:
    """Whether the library that looks for them is installed."""
    return importlib.util.find_spec("cleanlab") is not None


def likely_label_errors(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Find labels that are more likely wrong than right by confident learning on the mean probabilities of several models.

    Args:
        tables: as for `describe_together`, every class among the labels.

    Returns:
        image_id and label_quality (the mean probability of the label, 0 to 1) of the doubtful labels, the most doubtful first. They are
        candidates for a second reading and no verdict.

    Raises:
        ValueError: as for `describe_together`, a class without images, or the library is not installed.
    """
    if not label_errors_can_be_found():
        raise ValueError(NEEDS_CLEANLAB)
    # Within, because it takes seconds to import and few need it.
    from cleanlab.filter import find_label_issues

    stacked, classes, truth = _stack(tables)
    if absent := sorted(set(classes) - set(np.array(classes)[truth])):
        raise ValueError(f"no image is labelled {', '.join(absent)}; label errors can be told only where every class occurs.")
    mean = stacked.mean(axis=0)
    found = find_label_issues(truth, mean, return_indices_ranked_by="self_confidence", n_jobs=1)
    image_ids = next(iter(tables.values()))["image_id"].to_numpy()
    return pd.DataFrame({"image_id": image_ids[found], "label_quality": mean[found, truth[found]]})


def _stack(tables: Mapping[str, pd.DataFrame]) -> tuple[np.ndarray, tuple[str, ...], np.ndarray]:
    """Probabilities, float64 (models, n, k), in the order of the first table; the classes; and the index of each label, int (n,)."""
    if len(tables) < 2:
        raise ValueError(f"{len(tables)} predictions table came; what models miss together takes two or more.")
    check_same_classes(tables)
    (first_name, first), *others = tables.items()
    for name, table in others:
        if why := why_unpaired(first, table):
            raise ValueError(f"{name} cannot be set beside {first_name}: {why}. Give predictions of the same images.")
    classes = class_names(first)
    stacked = [table.set_index("image_id").loc[first["image_id"], probability_columns(classes)].to_numpy() for table in tables.values()]
    return np.stack(stacked), classes, pd.Index(classes).get_indexer(pd.Index(first["label"]))
