"""A CSV table with at least the columns path and label; patient_id, image_id and split if known."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from cxr_keras.data.labels import label_word
from cxr_keras.data.manifest import OFFICIAL_SPLITS
from cxr_keras.data.sources.source import Source, require_patients_choice, rows_table, unique_ids

EXPECTED = "a CSV file with the columns path and label, and patient_id if the patients are known"
MEASURED = ("group_id", "source", "sha256", "width", "height")
"""Columns of a finished manifest; they are measured again rather than believed."""


def read(path: str | Path, *, patients: str | None = None) -> pd.DataFrame:
    """Read a table of images; relative paths are taken from the folder of the CSV.

    Args:
        path: the CSV file.
        patients: "one_per_image" if the file has no column patient_id.

    Returns:
        The rows; columns beyond those of the manifest are kept as free columns.

    Raises:
        ValueError: no such file, no table, columns missing, or rows with empty cells, absent files, repeated ids or
            unknown splits (all faults in one message), or patients unknown and not given.
    """
    sheet = Path(path).expanduser().absolute()
    if not sheet.is_file():
        raise ValueError(f"manifest_csv: {sheet} is no file; expected {EXPECTED}.")
    try:
        table = pd.read_csv(sheet, dtype=str, keep_default_na=False)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise ValueError(f"manifest_csv: {sheet} is no CSV table ({error}); expected {EXPECTED}.") from error
    missing = [name for name in ("path", "label") if name not in table.columns]
    if missing or table.empty:
        what = f"lacks the columns {', '.join(missing)}" if missing else "has no rows"
        raise ValueError(f"manifest_csv: {sheet} {what}; it has {', '.join(map(str, table.columns))}; expected {EXPECTED}.")
    known = "patient_id" in table.columns
    if not known:
        require_patients_choice(patients, source="manifest_csv")
    images = [sheet.parent / entry for entry in table["path"]]
    ids = list(table["image_id"]) if "image_id" in table.columns else unique_ids(images, sheet.parent)
    split = table["split"] if "split" in table.columns else pd.Series("", index=table.index)
    rows = table.drop(columns=[name for name in MEASURED if name in table.columns]).assign(
        image_id=ids,
        path=[str(image) for image in images],
        label=table["label"].map(label_word),
        patient_id=table["patient_id"].str.strip() if known else ids,
        split=split,
        patients_known=table.get("patients_known", "yes") if known else "no",
    )
    _refuse_faults(rows, images, sheet)
    return rows_table(rows.to_dict("records"), {})


def _refuse_faults(rows: pd.DataFrame, images: list[Path], sheet: Path) -> None:
    """Raise one error for all rows that cannot be used; row numbers are those of the file, its header being row 1."""
    faults = [f"row {row + 2}: {image} not found" for row, image in enumerate(images) if not image.is_file()]
    for column in ("image_id", "label", "patient_id"):
        faults += [f"row {row + 2}: empty {column}" for row in rows.index[rows[column] == ""]]
    faults += [f"row {row + 2}: image_id {rows['image_id'][row]} repeated" for row in rows.index[rows["image_id"].duplicated()]]
    odd = rows.index[~rows["split"].isin(OFFICIAL_SPLITS)]
    faults += [f"row {row + 2}: split {rows['split'][row]!r} is none of train, val, test or empty" for row in odd]
    if faults:
        raise ValueError(
            f"manifest_csv: {len(faults)} faults in {sheet}: {'; '.join(faults[:5])}{' …' if len(faults) > 5 else ''}. Mend these rows."
        )


SOURCE = Source(
    name="manifest_csv",
    read=read,
    description="FILE.csv with path and label, and patient_id (else patients: one_per_image)",
    knows_patients=False,
)
