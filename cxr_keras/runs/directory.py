"""A run directory: made once, continued by the same command, closed to other configs, data and processes."""

from __future__ import annotations

import contextlib
import fcntl
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cxr_keras.runs.files import PARTIAL, read_json, write_json, write_text

IDENTITY_FILE = "run.json"
LOCK_FILE = ".lock"
CONFIG_FILE = "config.yaml"
DONE_FILE = "done.json"
BEST_CONFIG, FINAL_FOLDER = "best.yaml", "final"
"""In the directory of a search: the settings that it found, and the run that trains with them."""


@contextlib.contextmanager
def hold_run_directory(path: Path, *, wait_seconds: float = 0.0, option: str = "--run") -> Iterator[None]:
    """Keep other processes out of the directory while this one works in it.

    The lock belongs to the open file, so the system frees it when the process ends, however it ends. What is refused before anything
    was written leaves no directory behind.

    Args:
        path: the directory; made if it is not there.
        wait_seconds: how long to wait for another process to leave.
        option: of the command line that names another directory, for the message.

    Raises:
        ValueError: another process holds it, or the path is a file's.
    """
    refuse_file(path, option=option)
    made = [folder for folder in (path, *path.parents) if not folder.exists()]
    path.mkdir(parents=True, exist_ok=True)
    with open(path / LOCK_FILE, "w") as lock:
        last_try = time.monotonic() + wait_seconds
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= last_try:
                    raise ValueError(
                        f"Another process is working in {path}. Wait for it, or choose another directory with {option}."
                    ) from None
                time.sleep(0.2)
        for abandoned in path.glob(".*.partial*"):
            # A folder belongs to the verb that fills it, has its own lock, and may be in use; other names are not ours.
            if PARTIAL.search(abandoned.name) and not abandoned.is_dir():
                abandoned.unlink()  # of a write that was killed; ours to clear, as nobody else writes here
        try:
            yield
        except BaseException:
            _remove_empty(made)
            raise


def refuse_file(path: Path, *, option: str) -> None:
    """Raise ValueError where a folder is to be and a file is.

    Args:
        path: of the folder, which need not exist.
        option: of the command line that names it, for the message.
    """
    if path.exists() and not path.is_dir():
        raise ValueError(f"{path} is a file, and a folder is written to. Name another with {option}.")


def refuse_foreign_files(path: Path) -> None:
    """Raise ValueError where a directory without a run holds files of something else."""
    if (path / IDENTITY_FILE).exists() or not path.is_dir():
        return
    # What is written before the run's identity may lie there after a kill.
    allowed = {"bad_files.csv", CONFIG_FILE}
    if foreign := sorted({item.name for item in path.iterdir() if not item.name.startswith(".")} - allowed):
        raise ValueError(f"{path} holds files that are no run ({', '.join(foreign[:5])}). Choose an empty or new directory with --run DIR.")


def _remove_empty(made: list[Path]) -> None:
    """Remove the folders that were made, innermost first, as far as they hold nothing but the lock of the first."""
    with contextlib.suppress(OSError):  # somebody put something there; then it stays
        if made and {item.name for item in made[0].iterdir()} == {LOCK_FILE}:
            (made[0] / LOCK_FILE).unlink()
            for folder in made:
                folder.rmdir()


def open_run_directory(
    path: Path, *, verb: str, config_yaml: str, settings: dict[str, Any], data_digest: str, defaults: dict[str, Any] | None = None
) -> bool:
    """Make the directory for this run, or make sure that it holds the same one.

    Args:
        path: the directory.
        verb: what is done, e.g. "cv".
        config_yaml: the resolved config as it is written for a reader.
        settings: the same as dotted keys and plain values; compared with what the directory holds.
        data_digest: digest of the manifest.
        defaults: dotted keys to their defaults; a setting that the directory's version did not know yet is no difference at its default.

    Returns:
        Whether the run is continued.

    Raises:
        ValueError: the directory holds another run, or foreign files; the message shows the difference.
    """
    identity = {"verb": verb, "data": data_digest, "settings": settings}
    if (path / IDENTITY_FILE).exists():
        held = read_json(path / IDENTITY_FILE)
        known = held.get("settings", {})
        new = {key: value for key, value in (defaults or {}).items() if key not in known and settings.get(key) == value}
        if differences := _differences(held | {"settings": known | new}, identity):
            listed = "\n".join(f"  - {line}" for line in differences)
            raise ValueError(
                f"{path} holds another run:\n{listed}\nGive this run its own directory with --run DIR or name=NEW, or remove the old one."
            )
        return True
    refuse_foreign_files(path)
    write_text(path / CONFIG_FILE, config_yaml)
    write_json(path / IDENTITY_FILE, identity)
    return False


def _differences(held: dict[str, Any], wanted: dict[str, Any]) -> list[str]:
    """What differs between two identities, a line each."""
    lines = []
    if held.get("verb") != wanted["verb"]:
        lines.append(f"it was made by `cxr {held.get('verb')}`, this is `cxr {wanted['verb']}`")
    old, new = held.get("settings", {}), wanted["settings"]
    for key in sorted(set(old) | set(new)):
        if old.get(key) != new.get(key):
            lines.append(f"{key}: {old.get(key)!r} there, {new.get(key)!r} now")
    if held.get("data") != wanted["data"]:
        lines.append("the images or labels differ (digest of the manifest)")
    return lines
