"""Rows that a threshold or a temperature may be fitted on, and the rule that keeps them apart from the rows that are scored.

What is fitted takes no bare table: it takes `FittingRows`, and there are two ways to them. `validation_rows` is told which table will be
scored and refuses an image or a patient that is in both; `out_of_fold_rows` refuses a table of one fold, because those are the rows of a
test part. A fitted value keeps its rows and refuses to be scored on them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import InitVar, dataclass

import pandas as pd

_MADE_HERE = object()

VALIDATION = "validation"
"""What the column `part` of a predictions table says of validation images, where the table has that column."""


@dataclass(frozen=True)
class FittingRows:
    """Rows to fit on; made by `validation_rows` and `out_of_fold_rows`, and by nothing else.

    Attributes:
        table: a checked predictions table.
        origin: where its rows are from, in words.
        flaw: why they are not like new ones, from `flaw_of`; "" where they are.

    Raises:
        TypeError: rows that neither of the two functions has looked at.
    """

    table: pd.DataFrame
    origin: str
    flaw: str = ""
    made: InitVar[object] = None

    def __post_init__(self, made: object) -> None:
        if made is not _MADE_HERE:
            raise TypeError(
                "FittingRows are made by validation_rows(validation, scored=test) or out_of_fold_rows(predictions, without=fold), which "
                "keep test rows out."
            )

    @property
    def remark(self) -> str:
        """What the flaw means for a value fitted on these rows, or ""."""
        return f"the images it was fitted on {self.flaw}; new ones may differ, mostly for the worse" if self.flaw else ""

    def refuse_scoring(self, scored: pd.DataFrame) -> None:
        """Make sure that rows which are to be scored are none of these.

        Args:
            scored: image_id and group_id of the rows that are to be scored.

        Raises:
            ValueError: an image or a patient is in both.
        """
        for key, what in (("image_id", "images"), ("group_id", "patients")):
            if shared := sorted(set(self.table[key]) & set(scored[key])):
                raise ValueError(
                    f"{len(shared)} {what} are among the rows that are scored and among those fitted on ({self.origin}): "
                    f"{_some(shared)}. A fitted value looks better on its own rows than it is; score other images of other patients."
                )


@dataclass(frozen=True)
class Fitted:
    """A number that was fitted to rows.

    Attributes:
        value: the threshold (0 to 1) or the temperature (above 0).
        rows: what it was fitted on.
    """

    value: float
    rows: FittingRows

    def for_rows(self, scored: pd.DataFrame) -> float:
        """The value, for rows that it was not fitted on.

        Raises:
            ValueError: an image or a patient of `scored` is among the rows that it was fitted on.
        """
        self.rows.refuse_scoring(scored)
        return self.value


def flaw_of(*, chose_epoch: bool, other_look: bool = False) -> str:
    """Say why the rows of a validation part are not like new ones, or "".

    Args:
        chose_epoch: whether the epoch that was kept is the best of several on these rows, which look better than new ones for that.
        other_look: whether their images were altered before they were predicted.
    """
    return " and ".join(["chose the epoch"] * chose_epoch + ["were given another look"] * other_look)


def validation_rows(validation: pd.DataFrame, *, scored: pd.DataFrame, flaw: str = "") -> FittingRows:
    """Take the rows of a validation part to fit on.

    Args:
        validation: a checked predictions table; where it has a column `part`, that must say "validation" everywhere.
        scored: the predictions that the fitted value is meant for.
        flaw: from `flaw_of`, where the part served for something else before.

    Raises:
        ValueError: the part is another one, an image or a patient is in both tables, or nothing is scored.
    """
    if scored.empty:
        raise ValueError(
            "no rows are to be scored; give the predictions that the fitted value is meant for, so that they can be kept apart."
        )
    if "part" in validation and (others := sorted(set(validation["part"]) - {VALIDATION})):
        raise ValueError(
            f"the rows to fit on are of the part {', '.join(map(repr, others))}; thresholds and temperatures are fitted on {VALIDATION!r} "
            "rows, or on the rows of other folds, and never on test rows."
        )
    rows = FittingRows(validation, f"the validation part{_whose(flaw)}", flaw, _MADE_HERE)
    rows.refuse_scoring(scored)
    return rows


def out_of_fold_rows(table: pd.DataFrame, *, without: int | None = None, flaw: str = "") -> FittingRows:
    """Take cross-validated rows to fit on: each was predicted by a model that had not seen it.

    Where a fold chooses its epoch on a validation part of its own, which holds none of its rows, they have no flaw.

    Args:
        table: a checked predictions table of two folds or more.
        without: the fold that the fitted value is meant for; `None` takes all rows, for images from elsewhere.
        flaw: from `flaw_of`, where some of these rows chose the epochs of all folds.

    Raises:
        ValueError: the table is of one fold, so that its rows are a test part, or has no such fold.
    """
    folds = sorted(set(table["fold"]))
    if len(folds) < 2:
        raise ValueError(
            "the table is of one fold: these are held-out test rows, and nothing is fitted on them. Give the predictions of a validation "
            "part, or of cross-validation."
        )
    if without is None:
        return FittingRows(table, f"all folds{_whose(flaw)}", flaw, _MADE_HERE)
    if without not in folds:
        raise ValueError(f"there is no fold {without}; the folds are {', '.join(map(str, folds))}.")
    return FittingRows(table[table["fold"] != without], f"the other folds{_whose(flaw)}", flaw, _MADE_HERE)


def fitting_rows(
    table: pd.DataFrame, validation: pd.DataFrame | None, *, flaw: str = ""
) -> tuple[dict[int, FittingRows], FittingRows] | None:
    """Tell for each fold of a predictions table which rows may be fitted on.

    Args:
        table: the rows that are to be scored, a checked predictions table.
        validation: a validation part, for a table of one fold; with several folds the other folds serve.
        flaw: of the rows that are fitted on, from `flaw_of`.

    Returns:
        Rows for each fold, and those that serve images from elsewhere; `None` for one fold without a validation part.

    Raises:
        ValueError: a validation part is given beside several folds, or shares images or patients with the table.
    """
    folds = sorted(set(table["fold"]))
    if len(folds) > 1:
        if validation is not None:
            raise ValueError(
                f"the predictions are of {len(folds)} folds, which fit on each other; a validation part goes with one fold only."
            )
        return {fold: out_of_fold_rows(table, without=fold, flaw=flaw) for fold in folds}, out_of_fold_rows(table, flaw=flaw)
    if validation is None:
        return None
    rows = validation_rows(validation, scored=table, flaw=flaw)
    return dict.fromkeys(folds, rows), rows


def check_rows(rows: FittingRows) -> None:
    """Make sure that something is fitted on `FittingRows` and on no bare table.

    Raises:
        TypeError: it is something else.
    """
    if not isinstance(rows, FittingRows):
        raise TypeError(
            f"fitting takes FittingRows, but a {type(rows).__name__} came: make them with validation_rows(validation, scored=test) or "
            "out_of_fold_rows(predictions, without=fold), which keep test rows out."
        )


def _whose(flaw: str) -> str:
    return f", whose images {flaw}" if flaw else ""


def _some(values: Iterable[object]) -> str:
    texts = [str(value) for value in values]
    return ", ".join(texts[:3]) + (", …" if len(texts) > 3 else "")
