"""Fitted classifiers as files of plain arrays (`.npz`): written whole, read with every check, nothing in them is code."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from cxr_keras.runs.files import read_npz, write_atomically

FILE_FORMAT = 1

AGAIN = "Fit the classifier again, or give the file of such a run."

SAME_FEATURES = ("architecture", "parameters", "layer", "dimensions", "image_size", "weights_sha256", "precision", "decode", "crop")
"""Settings that a classifier's features must share with those it was fitted on; versions and the device may differ."""


def feature_key(settings: Mapping[str, Any]) -> str:
    """Name the features that a classifier is fitted on, wherever and by whichever version they are computed."""
    digest = hashlib.sha256(json.dumps({name: settings[name] for name in SAME_FEATURES}, sort_keys=True).encode()).hexdigest()
    return f"{settings['architecture']}/{settings['layer']}/{digest[:24]}"


def write_arrays(path: str | Path, content: Mapping[str, np.ndarray], *, kind: str, feature_key: str) -> None:
    """Write the arrays of one classifier, whole or not at all.

    Args:
        path: the file.
        content: name -> array, none of objects.
        kind: name of the classifier.
        feature_key: what names the features it reads; `read_arrays` compares it.
    """
    with write_atomically(path) as temporary, open(temporary, "wb") as stream:
        np.savez(
            stream,
            allow_pickle=False,
            file_format=np.array(FILE_FORMAT),
            kind=np.array(kind),
            feature_key=np.array(feature_key),
            **content,
        )


def read_arrays(path: str | Path, names: Mapping[str, frozenset[str]], *, feature_key: str) -> tuple[str, dict[str, np.ndarray]]:
    """Read a file of `write_arrays`.

    Args:
        path: the file.
        names: kind -> the names of its arrays.
        feature_key: of the features that the classifier shall read.

    Returns:
        The kind and its arrays.

    Raises:
        ValueError: no such file, no file of these kinds or of this format, a damaged one, or a classifier of other features.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"No classifier at {path}. Give the .npz file that a run on stored features leaves.")
    try:
        content = read_npz(path)
    except ValueError as error:
        raise ValueError(f"{path} is no readable classifier ({error}). {AGAIN}") from error
    if "file_format" not in content or content["file_format"].tolist() != FILE_FORMAT:
        came = content["file_format"].tolist() if "file_format" in content else "none"
        raise ValueError(f"{path} has file format {came}, expected {FILE_FORMAT}. {AGAIN}")
    kind = str(content.get("kind"))
    if kind not in names:
        raise ValueError(f"{path} holds a classifier of kind {kind!r}; expected one of {', '.join(names)}. {AGAIN}")
    expected = {"file_format", "kind", "feature_key", *names[kind]}
    if set(content) != expected:
        raise ValueError(f"{path} holds {', '.join(sorted(content))}; expected {', '.join(sorted(expected))}. {AGAIN}")
    if content["feature_key"].shape or str(content["feature_key"]) != feature_key:
        raise ValueError(
            f"{path} was fitted on features {str(content['feature_key'])!r}, these are {feature_key!r}: other weights, layer or decode "
            "settings. Extract the features that it was fitted on, or fit it again."
        )
    return kind, {name: content[name] for name in names[kind]}


def class_faults(classes: np.ndarray) -> str:
    """What is wrong with an array of class names, or an empty text."""
    if classes.dtype.kind != "U" or classes.ndim != 1 or len(set(classes.tolist())) != len(classes) or len(classes) < 2:
        return f"classes are {classes.dtype} {classes.shape}, expected two or more different names"
    return ""


def number_faults(content: Mapping[str, np.ndarray], *, single: tuple[str, ...]) -> str:
    """What is wrong with the arrays of numbers among `content`, or an empty text; those of `single` are one number each."""
    for name, values in content.items():
        if name != "classes" and (values.dtype != np.float64 or not np.isfinite(values).all()):
            return f"{name} holds {values.dtype} or numbers that are not finite, expected finite float64"
    if odd := [name for name in single if content[name].shape]:
        return f"{', '.join(odd)} must be single values"
    return ""


def damaged(path: str | Path, fault: str) -> ValueError:
    """The error for a file whose arrays do not fit each other."""
    return ValueError(f"{path} is damaged: {fault}. {AGAIN}")
