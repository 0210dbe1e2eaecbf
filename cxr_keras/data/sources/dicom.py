"""A folder of DICOM radiographs with a table of labels: `DIR/**/*` and `DIR/labels.csv`.

The table has the column label, and path (relative to the table) or SOPInstanceUID to say which file it is of. It may have split
(train, val, test), view (AP or PA, where the headers do not say it) and patient_id (where the headers hold none or a wrong one);
other columns are not read. A file is DICOM by its bytes, whatever its name.

Radiographs (modality CR, DX, DR, RG) seen from the front (View Position AP, PA) are taken, others are left out and counted. Of the
header, the manifest keeps the view, the sex, and the age in whole years, with everybody of 90 or more as 90 (as in the Safe Harbor rule,
45 CFR 164.514(b)(2)). Patient and image get the keyed hash of their identifiers as names. No name, number or date is kept.
"""

from __future__ import annotations

import os
import sys
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from cxr_keras.data.labels import label_word
from cxr_keras.data.manifest import OFFICIAL_SPLITS
from cxr_keras.data.sources.dicom_header import RadiographHeader, read_header_of_radiograph
from cxr_keras.data.sources.ieee8023 import is_frontal
from cxr_keras.data.sources.pseudonyms import pseudonym, read_salt
from cxr_keras.data.sources.source import Source, require_folder, rows_table
from cxr_keras.pixels.dicom import is_dicom, require_pydicom

LABELS_FILE = "labels.csv"
EXPECTED = f"a folder of DICOM files with {LABELS_FILE}, or that table itself, with the columns label and path or SOPInstanceUID"
MODALITIES = ("CR", "DX", "DR", "RG")
"""Computed, digital and film radiography; DR is no term of the standard but is found."""

_SHORTEST_TELLING_NUMBER = 4
"""Patient numbers with fewer characters are found in many paths by chance."""


class _Image(NamedTuple):
    """A labelled file: row of the table, where the file is, and its header."""

    row: int
    path: Path
    header: RadiographHeader


def read(path: str | Path, *, patients: str | None = None) -> pd.DataFrame:
    """Read the frontal radiographs that the table labels.

    Args:
        path: the folder, or the CSV file in it.
        patients: "one_per_image" to take files without a patient number for a patient each.

    Returns:
        The rows, with the free columns view, sex ("F", "M", "O" or "") and age (years, or "").

    Raises:
        ValueError: pydicom is not installed, folder or table missing, no salt (see `pseudonyms`), rows of the table without a file
            or a label, headers that cannot be read, patients unknown and not given, or no frontal radiograph at all.
    """
    require_pydicom()
    sheet, table = _read_table(path)
    salt = read_salt(sheet.parent)
    skipped: Counter[str] = Counter()
    files = _dicom_files(sheet.parent, skipped)
    images = _match(table, files, sheet, skipped)
    rows = []
    for image in images:
        header = image.header
        given = {name: table[name].iloc[image.row].strip() for name in table.columns}
        view = given.get("view", "").upper() or header.view
        if header.modality not in MODALITIES:
            skipped[f"modality {header.modality or 'unknown'}"] += 1
        elif not is_frontal(view):
            skipped[f"view {view or 'unknown'}"] += 1
        else:
            image_id = pseudonym(header.uid, kind="image", salt=salt)
            patient = given.get("patient_id") or header.patient
            row = {"image_id": image_id, "path": str(image.path), "label": label_word(given["label"]), "split": given.get("split", "")}
            row |= {"patient_id": pseudonym(patient, kind="patient", salt=salt) if patient else image_id}
            rows.append(row | {"patients_known": "yes" if patient else "no", "view": view, "sex": header.sex, "age": header.age})
    if not rows:
        raise ValueError(
            f"dicom: {sheet} labels no frontal radiograph; left out: {dict(+skipped)}. Where the headers do not say the view, give the "
            "table a column view with AP or PA."
        )
    _refuse_unknown_patients(rows, patients)
    _tell_of_telling_paths(images, sheet.parent)
    return rows_table(rows, skipped)


def _read_table(path: str | Path) -> tuple[Path, pd.DataFrame]:
    """Find and read the table of labels."""
    place = Path(os.path.abspath(Path(path).expanduser()))  # without "..", as the table's paths are compared
    if place.suffix.lower() != ".csv":
        place = require_folder(place, source="dicom", expected=EXPECTED) / LABELS_FILE
    if not place.is_file():
        raise ValueError(f"dicom: {place} does not exist; expected {EXPECTED}.")
    try:
        table = pd.read_csv(place, dtype=str, keep_default_na=False)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise ValueError(f"dicom: {place} is no CSV table ({type(error).__name__}); expected {EXPECTED}.") from None
    if "label" not in table.columns or not {"path", "SOPInstanceUID"} & set(table.columns) or table.empty:
        what = "has no rows" if table.empty else f"has the columns {', '.join(map(str, table.columns))}"
        raise ValueError(f"dicom: {place} {what}; expected {EXPECTED}.")
    key = "path" if "path" in table.columns else "SOPInstanceUID"
    known = (key, "label", "split", "view", "patient_id")
    return place, table[[name for name in table.columns if name in known]]


def _dicom_files(root: Path, skipped: Counter[str]) -> list[Path]:
    """List the DICOM files below a folder in the order of their paths; others are counted."""
    files = []
    for entry in sorted(root.rglob("*")):
        parts = entry.relative_to(root).parts
        if not entry.is_file() or any(part.startswith(".") or part == "__MACOSX" for part in parts):
            continue
        with open(entry, "rb") as stream:
            found = is_dicom(stream.read(132))
        if found and entry.name.upper() != "DICOMDIR":
            files.append(entry)
        else:
            skipped["files that are no DICOM images"] += entry.suffix.lower() not in (".csv", ".txt")
    return files


def _match(table: pd.DataFrame, files: list[Path], sheet: Path, skipped: Counter[str]) -> list[_Image]:
    """Find the file of each row; one error tells of all rows and files that cannot be used."""
    by_path = "path" in table.columns
    if by_path:
        keys = [os.path.normpath(sheet.parent / entry.strip()) for entry in table["path"]]
    else:
        keys = [entry.strip() for entry in table["SOPInstanceUID"]]
    faults = _table_faults(table, keys)
    rows = {key: row for row, key in enumerate(keys)}
    images: list[_Image] = []
    first: dict[str, Path] = {}
    for path in files:
        if by_path and str(path) not in rows:
            skipped[f"DICOM files without a row in {sheet.name}"] += 1
            continue
        name = path.relative_to(sheet.parent)
        try:
            header = read_header_of_radiograph(path)
        except ValueError as error:
            faults.append(f"{name}: {error}")
            continue
        key = str(path) if by_path else header.uid
        if key not in rows:
            skipped[f"DICOM files without a row in {sheet.name}"] += 1
        elif (other := first.setdefault(header.uid, path)) != path:
            faults.append(f"{name}: has the SOPInstanceUID of {other.relative_to(sheet.parent)}, keep one of them")
        else:
            images.append(_Image(rows[key], path, header))
    listed = set(map(str, files)) if by_path else {image.header.uid for image in images}
    reason = "this path is no DICOM file" if by_path else "no file has this SOPInstanceUID"
    faults += [f"row {row + 2}: {reason}" for key, row in rows.items() if key not in listed]
    if faults:
        shown = "; ".join(faults[:5]) + (" …" if len(faults) > 5 else "")
        raise ValueError(f"dicom: {len(faults)} faults in {sheet} and its files: {shown}. Mend the table or the folder.")
    return images


def _table_faults(table: pd.DataFrame, keys: list[str]) -> list[str]:
    """List rows with empty or repeated cells; row numbers are those of the file, its header being row 1."""
    faults = []
    for column in ("path", "SOPInstanceUID", "label", "patient_id"):
        cells: list[str] = list(table[column]) if column in table.columns else []
        faults += [f"row {row + 2}: empty {column}" for row, cell in enumerate(cells) if not cell.strip()]
    counts = Counter(keys)
    faults += [f"row {row + 2}: its file is in the table twice" for row, key in enumerate(keys) if counts[key] > 1]
    for row, split in enumerate(table["split"] if "split" in table.columns else []):
        if split.strip() not in OFFICIAL_SPLITS:
            faults.append(f"row {row + 2}: split {split!r} is none of train, val, test or empty")
    return faults


def _refuse_unknown_patients(rows: list[dict[str, str]], patients: str | None) -> None:
    """Refuse files without a patient number unless the user says what to take instead."""
    unknown = sum(row["patients_known"] == "no" for row in rows)
    if unknown and patients != "one_per_image":
        raise ValueError(
            f"dicom: {unknown} of {len(rows)} files have no PatientID, so a split could put one person into training and test. Give "
            "the table a column patient_id, or patients: one_per_image to take each of them for a patient of its own (reports then say "
            "'patient overlap not excluded')."
        )


def _tell_of_telling_paths(images: list[_Image], root: Path) -> None:
    """Say on the error stream that paths, which the manifest has to keep, hold patient numbers."""
    telling = 0
    for image in images:
        number = image.header.patient
        telling += len(number) >= _SHORTEST_TELLING_NUMBER and number.lower() in str(image.path.relative_to(root)).lower()
    if telling:
        print(
            f"dicom: the paths of {telling} files contain the file's PatientID, and a manifest keeps paths. If these numbers are no "
            "pseudonyms, rename the files before you pass the manifest on.",
            file=sys.stderr,
        )


SOURCE = Source(
    name="dicom",
    read=read,
    patients_everywhere=True,  # names are hashes of the PatientID; another salt gives other names, never another person's
    description="DICOM radiographs below DIR, labelled by DIR/labels.csv (path or SOPInstanceUID, label); needs a salt, see docs/dicom.md",
)
