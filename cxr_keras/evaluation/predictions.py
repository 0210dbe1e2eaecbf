"""The predictions table: the one thing that scores are computed from.

One row an image, columns `image_id, group_id, fold, label` and then one column `p_<class>` per class, in class order. Every
row is a prediction for an image that the model of its fold was not trained on; with a single split, `fold` is 0 everywhere.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from cxr_keras.runs.files import write_csv

PROBABILITY_PREFIX = "p_"
KEY_COLUMNS = ("image_id", "group_id", "fold", "label")

SUM_TOLERANCE = 1e-3
"""How far a row of probabilities may sum from 1. Float32 softmax is within 1e-6; three printed decimals stay within 1e-3."""

_HOW_TO_ADD = {
    "image_id": "add a column with a unique name per image",
    "group_id": "add a column with the patient of each image; images of one patient share a value",
    "fold": "add a column with the number of the fold each image was held out in, 0 everywhere for a single split",
    "label": "add a column with the true class of each image, in the words of the p_<class> columns",
}


def class_names(table: pd.DataFrame) -> tuple[str, ...]:
    """Names of the classes, in the order of the `p_<class>` columns."""
    return tuple(str(name).removeprefix(PROBABILITY_PREFIX) for name in table if _is_probability(name))


def probability_columns(classes: Iterable[str]) -> list[str]:
    """Names of the columns that hold the probabilities of `classes`."""
    return [PROBABILITY_PREFIX + name for name in classes]


def predictions_table(
    manifest: pd.DataFrame, probabilities: np.ndarray, classes: Sequence[str], *, fold: int, part: str | None = None
) -> pd.DataFrame:
    """Make the table of one fold.

    Args:
        manifest: image_id, group_id and label of the predicted images.
        probabilities: float (n, k), in the order of the manifest.
        classes: k names in the order of the columns.
        fold: number of the fold.
        part: "validation" or "test", which becomes a column, so that thresholds can refuse to be chosen on test rows.

    Returns:
        One row an image, in the order of the manifest.
    """
    table = manifest[["image_id", "group_id", "label"]].reset_index(drop=True)
    table.insert(2, "fold", fold)
    for index, column in enumerate(probability_columns(classes)):
        table[column] = probabilities[:, index]
    return table if part is None else table.assign(part=part)


def read_predictions(path: str | Path, *, classes: Sequence[str] | None = None) -> pd.DataFrame:
    """Read and check a predictions table.

    Args:
        path: a CSV file.
        classes: the classes in their order; by default the order of the `p_<class>` columns.

    Returns:
        The table as `validate_predictions` gives it.

    Raises:
        ValueError: the file is missing, is no CSV table, or has faults; all of them are listed.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"No predictions at {path}. Give the path of a predictions.csv, as `cxr cv` leaves in its run.")
    try:
        # Text first: an image_id such as 0012 stays as it is, and a fault can be shown as it stands in the file.
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not a CSV table ({error}). Write it with commas, UTF-8 and one header line.") from error
    return validate_predictions(table, classes=classes, name=str(path))


def write_predictions(path: str | Path, table: pd.DataFrame) -> None:
    """Check a predictions table and write it, floats with all their digits."""
    write_csv(path, validate_predictions(table))


def validate_predictions(table: pd.DataFrame, *, classes: Sequence[str] | None = None, name: str = "The predictions table") -> pd.DataFrame:
    """Check a predictions table and give it with the types and column order that scoring relies on.

    Args:
        table: what came; numbers may be text.
        classes: the classes in their order; by default the order of the `p_<class>` columns.
        name: what to call the table in a message.

    Returns:
        A new table: `image_id`, `group_id`, `label` as text, `fold` int64, `p_<class>` float64, then any further columns.

    Raises:
        ValueError: the table has faults; each is listed with the images it concerns and how to mend it.
    """
    faults = [f"column {key!r} is missing: {_HOW_TO_ADD[key]}" for key in KEY_COLUMNS if key not in table]
    faults += [f"column {key!r} occurs twice: remove one" for key in table.columns[table.columns.duplicated()].unique()]
    found = class_names(table)
    wanted = tuple(classes) if classes is not None else found
    faults += _class_faults(found, wanted, given=classes is not None)
    if table.empty:
        faults.append("it has no rows: predict at least one image")
    if faults:
        raise ValueError(_message(name, faults))

    columns = probability_columns(wanted)
    checked = table[[*KEY_COLUMNS, *columns, *(key for key in table if key not in (*KEY_COLUMNS, *columns))]].copy()
    for key in ("image_id", "group_id", "label"):
        checked[key] = [_text(value) for value in checked[key]]
    fold = np.array([_number(value) for value in checked["fold"]])
    probabilities = np.array([[_number(value) for value in table[key]] for key in columns]).T
    faults += _key_faults(checked, fold, wanted) + _probability_faults(checked, probabilities, columns)
    if faults:
        raise ValueError(_message(name, faults))
    checked["fold"] = fold.astype(np.int64)
    checked[columns] = probabilities
    return checked.reset_index(drop=True)


def _class_faults(found: tuple[str, ...], wanted: tuple[str, ...], *, given: bool) -> list[str]:
    faults = []
    if len(set(wanted)) != len(wanted):
        faults.append(f"classes are named twice in {', '.join(wanted)}: name each once")
    if len(wanted) < 2:
        came = f"one column of probabilities, p_{wanted[0]}" if wanted else "no column of probabilities"
        faults.append(f"{came}: give one column p_<class> for each class, at least two (for example p_normal, p_pneumonia)")
    if given:
        for name in wanted:
            if name not in found:
                faults.append(f"column 'p_{name}' is missing: add it{_nearest(name, found)}")
        for name in found:
            if name not in wanted:
                faults.append(f"column 'p_{name}' is of no asked class ({', '.join(wanted)}): remove it or ask for {name!r} too")
    return faults


def _key_faults(table: pd.DataFrame, fold: np.ndarray, classes: tuple[str, ...]) -> list[str]:
    faults = []
    ids = table["image_id"].to_numpy()
    for key in ("image_id", "group_id", "label"):
        empty = (table[key] == "").to_numpy()
        if empty.any():
            where = f"data rows {_some(np.flatnonzero(empty) + 1)}" if key == "image_id" else _images(ids[empty])
            faults.append(f"{key} is empty in {where}: fill it in")
    repeated = table["image_id"][table["image_id"].duplicated() & (table["image_id"] != "")].unique()
    if len(repeated):
        faults.append(f"image_id occurs more than once for {_images(repeated)}: keep one row an image")
    for label in sorted(set(table["label"]) - set(classes) - {""}):
        rows = (table["label"] == label).to_numpy()
        faults.append(
            f"label {label!r} in {_images(ids[rows])} is none of the classes {', '.join(classes)}: "
            f"correct it or add a column p_{label}{_nearest(label, classes)}"
        )
    odd = ~(np.isfinite(fold) & (fold == np.floor(fold)) & (np.abs(fold) < 2**53))
    if odd.any():
        faults.append(f"fold is no whole number in {_images(ids[odd])}: number the folds 0, 1, 2 …")
    folds_per_group = pd.Series(fold).groupby(table["group_id"].to_numpy()).nunique()
    shared = folds_per_group[folds_per_group > 1].index
    shared = shared[shared != ""]
    if len(shared):
        who = "1 patient (group_id) is" if len(shared) == 1 else f"{len(shared)} patients (group_id) are"
        faults.append(
            f"{who} in more than one fold ({_some(shared)}): such a model has seen its test patients; "
            "make the folds by patient and predict again"
        )
    return faults


def _probability_faults(table: pd.DataFrame, probabilities: np.ndarray, columns: list[str]) -> list[str]:
    faults = []
    ids = table["image_id"].to_numpy()
    for name, values in zip(columns, probabilities.T, strict=True):
        missing = ~np.isfinite(values)
        if missing.any():
            faults.append(f"{name} is empty or no finite number in {_images(ids[missing])}: predict these images again")
        outside = (values < 0) | (values > 1)
        outside &= ~missing
        if outside.any():
            worst = values[outside][0]
            faults.append(
                f"{name} is outside [0, 1] in {_images(ids[outside])} (first {worst:.6g}): give probabilities, "
                "the softmax of logits, not logits or percentages"
            )
    sums = probabilities.sum(axis=1)
    off = np.abs(sums - 1) > SUM_TOLERANCE
    if off.any():
        faults.append(
            f"probabilities do not sum to 1 within {SUM_TOLERANCE:g} in {_images(ids[off])} (first sum "
            f"{sums[off][0]:.6g}): divide each row by its sum, or add the column of the missing class"
        )
    return faults


def _message(name: str, faults: list[str]) -> str:
    counted = "1 fault" if len(faults) == 1 else f"{len(faults)} faults"
    return f"{name} cannot be scored, {counted}:\n" + "\n".join(f"  - {fault}" for fault in faults)


def _images(ids: np.ndarray) -> str:
    return f"{len(ids)} image{'s' if len(ids) > 1 else ''} ({_some(ids)})"


def _some(values: Iterable[object]) -> str:
    """The first five values, so that a message about thousands of rows stays readable."""
    texts = [str(value) for value in values]
    return ", ".join(texts[:5]) + (", …" if len(texts) > 5 else "")


def _nearest(name: str, known: Sequence[str]) -> str:
    folded = {candidate.lower(): candidate for candidate in known}
    near = difflib.get_close_matches(name.lower(), folded, n=1)
    return f" (did you mean {folded[near[0]]!r}?)" if near else ""


def _is_probability(column: object) -> bool:
    return isinstance(column, str) and column.startswith(PROBABILITY_PREFIX) and len(column) > len(PROBABILITY_PREFIX)


def _text(value: object) -> str:
    return "" if value is None or value is pd.NA or value != value else str(value)


def _number(value: object) -> float:
    """One number, nan where it is none; Python's own reading, which gives back every digit that was written."""
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return float("nan")
