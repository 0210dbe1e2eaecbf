"""The manifest: one row an image, and what must hold in it."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pandas as pd

from cxr_keras.data.groups import readable_copies
from cxr_keras.data.labels import LABEL_PATTERN
from cxr_keras.runs.files import write_csv

COLUMNS = ("image_id", "path", "label", "patient_id", "group_id", "source", "split", "sha256", "width", "height")
"""Every manifest has these; further columns are free. All are strings but width and height (pixels, int64)."""

INTEGER_COLUMNS = ("width", "height")
OFFICIAL_SPLITS = ("train", "val", "test", "")
DIGEST_COLUMNS = ["image_id", "label", "group_id", "sha256", "split"]


def read_manifest(path: str | Path) -> pd.DataFrame:
    """Read a manifest from CSV and check it.

    Args:
        path: the CSV file; relative image paths in it are taken from its folder.

    Returns:
        The table with absolute paths, string columns, and int64 `width` and `height` in pixels.

    Raises:
        ValueError: no such file, no CSV, or any rule of `check_manifest` broken; all faults in one message.
    """
    path = Path(path).expanduser().absolute()
    if not path.is_file():
        raise ValueError(
            f"manifest: {path} does not exist; expected a CSV with the columns {', '.join(COLUMNS)}. Make one with `cxr data build`."
        )
    try:
        manifest = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise ValueError(f"manifest: {path} is no CSV table ({error}).") from error
    _require_columns(manifest, name=str(path))
    for column in INTEGER_COLUMNS:
        numbers = pd.to_numeric(manifest[column], errors="coerce")
        wrong = manifest.loc[numbers.isna() | (numbers % 1 != 0) | (numbers < 0), "image_id"]
        if len(wrong):
            raise ValueError(f"manifest: {path}: {column} is no whole number of pixels for {_some(wrong)}.")
        manifest[column] = numbers.astype("int64")
    manifest["path"] = [os.path.normpath(path.parent / entry) if entry else "" for entry in manifest["path"]]
    check_manifest(manifest, name=str(path))
    return manifest


def write_manifest(manifest: pd.DataFrame, path: str | Path) -> None:
    """Check a manifest and write it as CSV, whole or not at all.

    Images below the folder of the CSV are written by their relative path, so that the folder can be moved as a whole.

    Raises:
        ValueError: any rule of `check_manifest` broken.
    """
    check_manifest(manifest, name="manifest to write")
    path = Path(path).expanduser().absolute()
    written = manifest.assign(path=[_relative(entry, path.parent) for entry in manifest["path"]])
    write_csv(path, written[[*COLUMNS, *(name for name in written.columns if name not in COLUMNS)]])


def _relative(entry: str, folder: Path) -> str:
    image = Path(entry)
    return image.relative_to(folder).as_posix() if image.is_relative_to(folder) else str(image)


def check_manifest(manifest: pd.DataFrame, *, name: str = "manifest") -> None:
    """Refuse a table that breaks the contract of the manifest.

    Args:
        manifest: the table.
        name: how to call it in the message, e.g. its file.

    Raises:
        ValueError: columns missing, no rows, ids not unique, cells empty, labels that are no lower-case words, unknown
            splits, a patient or a file in two groups. All faults stand in one message.
    """
    _require_columns(manifest, name=name)
    if manifest.empty:
        raise ValueError(f"{name}: the manifest has no rows; build it again from a source with images.")
    faults = []
    repeated = manifest.loc[manifest["image_id"].duplicated(), "image_id"]
    if len(repeated):
        faults.append(f"image_id must be unique, {len(repeated)} are repeated: {_some(repeated)}")
    for column in ("image_id", "path", "label", "patient_id", "group_id", "source"):
        empty = manifest.index[manifest[column].isna() | (manifest[column] == "")]
        if len(empty):
            faults.append(f"{column} is empty in {len(empty)} rows, the first is row {empty[0] + 2} of the file")
    odd = {label for label in manifest["label"].unique() if label and not LABEL_PATTERN.fullmatch(label)}
    if odd:
        faults.append(f"labels must be lower-case words (letters, digits, _), not {_some(sorted(odd))}")
    odd = set(manifest["split"]) - set(OFFICIAL_SPLITS)
    if odd:
        faults.append(f"split must be train, val, test or empty, not {_some(sorted(odd))}")
    odd_hash = manifest.loc[~manifest["sha256"].str.fullmatch("[0-9a-f]{64}"), "image_id"]
    if len(odd_hash):
        faults.append(f"sha256 must be 64 hexadecimal digits, it is not for {_some(odd_hash)}")
    faults += _group_faults(manifest)
    if faults:
        raise ValueError(f"{name}: " + "; ".join(faults) + ". Mend the file, or make it again with `cxr data build`.")


def _group_faults(manifest: pd.DataFrame) -> list[str]:
    """Name patients and identical files that lie in several groups, which would let a split separate them."""
    faults = []
    for table, column, what in ((manifest, "patient_id", "patients"), (readable_copies(manifest), "sha256", "files")):
        torn = table.groupby(column)["group_id"].nunique()
        torn = torn[torn > 1]
        if len(torn):
            faults.append(f"{len(torn)} {what} lie in several groups: {_some(torn.index)}")
    return faults


def _require_columns(manifest: pd.DataFrame, *, name: str) -> None:
    missing = [column for column in COLUMNS if column not in manifest.columns]
    if missing:
        raise ValueError(
            f"{name}: the columns {', '.join(missing)} are missing; found {', '.join(map(str, manifest.columns))}. "
            "For a table with only path and label use the source manifest_csv."
        )


def _some(values: pd.Series | pd.Index | list[str]) -> str:
    shown = list(values[:3])
    return ", ".join(map(str, shown)) + (" …" if len(values) > 3 else "")


def manifest_digest(manifest: pd.DataFrame) -> str:
    """Give the SHA-256 (hexadecimal) of what decides a result: id, label, group, bytes and official split of each row.

    It depends neither on the order of the rows nor on where the images lie.
    """
    rows = sorted(manifest[DIGEST_COLUMNS].itertuples(index=False, name=None))
    return hashlib.sha256("\n".join("\x1f".join(row) for row in rows).encode()).hexdigest()


def select_images(manifest: pd.DataFrame, image_ids: pd.Series | pd.Index | list[str]) -> pd.DataFrame:
    """Give the rows of some images, in the order of `image_ids`.

    Raises:
        ValueError: an id that the manifest does not have.
    """
    table = manifest.set_index("image_id", drop=False)
    unknown = pd.Index(image_ids).difference(table.index)
    if len(unknown):
        raise ValueError(f"manifest: {len(unknown)} images are not in it: {_some(unknown)}.")
    return table.loc[list(image_ids)].reset_index(drop=True)


def require_official_split(manifest: pd.DataFrame, setting: str, *, remedy: str) -> None:
    """Check that the source of every image has put it into a part.

    Args:
        manifest: all images; column `split` is empty where a source has no split of its own.
        setting: what needs it, for the message.
        remedy: what may be done instead of leaving the source out.

    Raises:
        ValueError: some images lie in no part.
    """
    without = manifest.loc[manifest["split"] == "", "source"].value_counts()
    if len(without):
        listed = ", ".join(f"{count} of {source}" for source, count in without.items())
        raise ValueError(f"{setting} needs train, val or test for every image; {listed} have none. Leave that source out, or {remedy}.")
