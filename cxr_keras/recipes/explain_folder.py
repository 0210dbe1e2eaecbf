"""Folders of explanations: whole or absent, and never written over unasked."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from cxr_keras.evaluation import append_test_reading, image_ids_digest
from cxr_keras.recipes.explain_images import Explained
from cxr_keras.recipes.readings import ledger_of
from cxr_keras.runs.directory import hold_run_directory
from cxr_keras.runs.files import write_json

SETTINGS_FILE = "explanation.json"


def folder_for(run: Path, out: Path | None, *, name: str, overwrite: bool) -> Path:
    """Say where explanations go, before anything is computed.

    Args:
        run: the run directory.
        out: the folder that the user named, or None.
        name: of the default folder, `RUN/explanations/<name>`.
        overwrite: whether explanations that are there may be replaced.

    Raises:
        ValueError: the folder holds explanations and may not be replaced, or holds something else, or is the one that the user is in.
    """
    folder = out or run / "explanations" / name
    if not folder.exists():
        return folder
    empty = folder.is_dir() and not any(folder.iterdir())
    if not empty and not (folder / SETTINGS_FILE).is_file():
        raise ValueError(f"{folder} is there and holds no explanations. Give a new folder with --out.")
    # A new folder takes its place, and whoever stands in the old one would see nothing of it.
    if Path.cwd().is_relative_to(folder.resolve()):
        raise ValueError(f"{folder} is the folder that you are in, and would be replaced as a whole. Give a folder inside it with --out.")
    if not empty and not overwrite:
        raise ValueError(f"{folder} holds explanations already and is left as it is. Give another folder with --out, or --overwrite.")
    return folder


@contextlib.contextmanager
def new_folder(folder: Path, settings: Mapping[str, Any]) -> Iterator[Path]:
    """Give a hidden folder to write into, which takes the name `folder` when all is written; a kill leaves the former state.

    Args:
        folder: the final folder, checked by `folder_for`.
        settings: what was asked for and found, written as `explanation.json`; it may be filled while the folder is.

    Yields:
        The folder to write into.

    Raises:
        ValueError: another process is writing it.
    """
    folder = folder.resolve()  # `a/..` and `.` have no name of their own
    partial = folder.with_name(f".{folder.name}.partial")
    with hold_run_directory(partial, option="--out"):
        for left in partial.iterdir():
            if left.name != ".lock":
                shutil.rmtree(left) if left.is_dir() else left.unlink()
        try:
            yield partial
        except BaseException:
            shutil.rmtree(partial)
            raise
        write_json(partial / SETTINGS_FILE, settings)
        if folder.exists():
            shutil.rmtree(folder)
        (partial / ".lock").unlink()
        partial.rename(folder)


def note_official_images(explained: Explained, *, what: str, given: bool = False) -> None:
    """Note in the ledger that official test labels were looked at.

    No score comes out of it, but whoever looks at the wrong ones and then changes the model has used the test set.

    Args:
        explained: the run and the images shown.
        what: was done with them.
        given: whether the user named the images. Then their own split counts; held-out images count where the run's split is official.
    """
    run, config = explained.run, explained.config
    of_split = config.split.kind != "grouped" and "fold-0" not in explained.models
    official = explained.table[(explained.table["split"] == "test") & (explained.table["label"] != "")]
    if not (given or of_split) or official.empty:
        return
    append_test_reading(
        ledger_of(config, run),
        run=f"{run.absolute().parent.name}/{run.name}",
        split_name=f"official test, {len(official)} images explained ({what}), no scores",
        n_images=len(official),
        image_ids_digest=image_ids_digest(official["image_id"]),
        scores={},
    )
    print(f"Labels of {len(official)} official test images are shown; noted in {ledger_of(config, run)}")
