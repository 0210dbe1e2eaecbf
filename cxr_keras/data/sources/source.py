"""What a source of images is, and what every reader needs: found folders, found files, one table of rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pandas as pd

IMAGE_SUFFIXES = (".jpeg", ".jpg", ".png")
"""What the decoder reads; other files beside them are left out and counted."""

ROW_COLUMNS = ("image_id", "path", "label", "patient_id", "split", "patients_known")

Patients = Literal["one_per_image"]


@dataclass(frozen=True)
class Source:
    """One layout of images on disk and the function that reads it.

    Attributes:
        name: the word before the colon in `name:FOLDER`.
        read: `read(path, *, patients)` gives a table with the columns of `ROW_COLUMNS` (and free columns), all strings.
            `label` is the source's own finest label as a lower-case word; the label scheme is applied afterwards, for
            all sources alike. `image_id` and `patient_id` are given without the name of the source, and do not
            depend on where the folder lies. `attrs["skipped"]` counts by reason what was left out.
        description: one line for lists and error messages.
        gives: the labels a reader can give, or empty if they come from the data.
        knows_patients: whether the layout tells which images are of one person.
        patients_everywhere: whether a patient_id means the same person in every folder of this layout, so that somebody whose
            images lie in two of them is one patient.
        foreign_labels: what to do with a label that neither the scheme nor a label map places: "error", or "skip"
            (and count) for collections in which most findings are none of the problem's classes.
    """

    name: str
    read: Callable[..., pd.DataFrame]
    description: str
    gives: tuple[str, ...] = ()
    knows_patients: bool = True
    patients_everywhere: bool = False
    foreign_labels: Literal["error", "skip"] = "error"


def require_folder(path: str | Path, *, source: str, expected: str) -> Path:
    """Return `path` as an absolute folder.

    Args:
        path: what the user gave.
        source: the name of the source, for the message.
        expected: what the folder should hold, for the message.

    Raises:
        ValueError: nothing is there, or it is a file.
    """
    folder = Path(path).expanduser().absolute()
    if folder.is_dir():
        return folder
    found = "is a file" if folder.exists() else "does not exist"
    near = next((parent for parent in folder.parents if parent.is_dir()), None)
    beside = sorted(entry.name for entry in near.iterdir() if entry.is_dir())[:8] if near else []
    raise ValueError(
        f"{source}: {folder} {found}; expected {expected}. "
        f"The nearest existing folder is {near} with {', '.join(beside) or 'no folders in it'}."
    )


def require_patients_choice(patients: str | None, *, source: str) -> None:
    """Refuse a source that knows no patients unless the user says what to take instead.

    Raises:
        ValueError: `patients` is not "one_per_image".
    """
    if patients != "one_per_image":
        raise ValueError(
            f"{source}: this layout does not say which images are of one patient, so a split could put one person into "
            "training and test. Give patients: one_per_image to treat every image as its own patient (reports then "
            "say 'patient overlap not excluded'), or a manifest_csv source with a patient_id column."
        )


def list_images(folder: Path, skipped: Counter[str], *, recursive: bool = False) -> list[Path]:
    """List the images of one folder in the order of their paths.

    Args:
        folder: an existing folder.
        skipped: counts other files by suffix; hidden files (`.DS_Store`, `._x.jpeg` of macOS archives) count as such.
        recursive: also look into the folders below.
    """
    images = []
    for entry in sorted(folder.rglob("*") if recursive else folder.iterdir()):
        if entry.is_dir():
            continue
        if entry.name.startswith(".") or "__MACOSX" in entry.relative_to(folder).parts:
            skipped["hidden files"] += 1
        elif entry.suffix.lower() in IMAGE_SUFFIXES:
            images.append(entry)
        else:
            skipped[f"files with suffix '{entry.suffix}'"] += 1
    return images


def require_images(images: list[Path], *, source: str, folder: Path, skipped: Mapping[str, int]) -> None:
    """Refuse a class folder without an image.

    Raises:
        ValueError: `images` is empty.
    """
    if not images:
        others = ", ".join(f"{count} {reason}" for reason, count in skipped.items()) or "nothing else"
        raise ValueError(
            f"{source}: no image in {folder} (found {others}); expected at least one file ending in "
            f"{', '.join(IMAGE_SUFFIXES)}. Put images there, or remove the folder if the class is not wanted."
        )


def rows_table(rows: Iterable[Mapping[Any, str]], skipped: Mapping[str, int]) -> pd.DataFrame:
    """Make the table that a reader returns.

    Args:
        rows: one mapping an image with at least the keys of `ROW_COLUMNS`.
        skipped: what was left out, by reason; kept in `attrs["skipped"]`.
    """
    table = pd.DataFrame(list(rows))
    table = table.reindex(columns=[*ROW_COLUMNS, *(name for name in table.columns if name not in ROW_COLUMNS)])
    table.attrs["skipped"] = {reason: int(count) for reason, count in skipped.items() if count}
    return table


def unique_ids(paths: list[Path], root: Path) -> list[str]:
    """Name each image by its stem, or by its path below `root` where several images share a stem.

    All images that share a stem take the long name, so an id does not depend on the order of reading.
    """
    stems = Counter(path.stem for path in paths)
    return [path.stem if stems[path.stem] == 1 else _path_below(root, path) for path in paths]


def _path_below(root: Path, path: Path) -> str:
    """Give the path below `root`; an image elsewhere keeps its last three parts, as ids do not tell where data lie."""
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else "/".join(path.parts[-3:])
