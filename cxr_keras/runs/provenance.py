"""Under what conditions a run was made."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

from cxr_keras.runs.files import read_json, write_json

PACKAGES = ("cxr-keras", "keras", "tensorflow", "jax", "numpy", "pandas", "scikit-learn", "opencv-python-headless", "h5py")


def describe_environment() -> dict[str, Any]:
    """Versions, machine, threads and commit, as plain JSON values.

    Returns:
        `python`, `packages` (name to version), `backend`, `machine` (system, processor, cores that this process may use, memory in GiB),
        `threads` (the variables that limit them, where set), `commit` of the checkout (`None` for an installed wheel).
    """
    packages: dict[str, str | None] = {}
    for name in PACKAGES:
        try:
            packages[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            packages[name] = None
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "python": platform.python_version(),
        "packages": packages,
        "backend": os.environ.get("KERAS_BACKEND", "tensorflow"),
        "machine": {
            "system": platform.platform(),
            "processor": _processor(),
            "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
            "memory_gib": round(memory, 1),
        },
        "threads": {key: os.environ[key] for key in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS") if key in os.environ},
        "commit": _commit(),
        "command": " ".join(Path(part).name if index == 0 else part for index, part in enumerate(sys.argv)),
    }


def note_environment(path: Path) -> None:
    """Write the conditions of a run's start, as JSON: of the first, and under `continued` of every later one that differs.

    Args:
        path: of the file, which may hold the earlier ones.
    """
    now = describe_environment()
    if not path.exists():
        write_json(path, now)
        return
    held = read_json(path)
    last = starts_of(held)[-1]
    if any(last.get(key) != value for key, value in now.items() if key != "command"):
        write_json(path, held | {"continued": [*held.get("continued", []), now]})


def starts_of(environment: dict[str, Any]) -> list[dict[str, Any]]:
    """The conditions of all starts of a run that differ, from what `note_environment` wrote."""
    return [environment, *environment.get("continued", [])]


def commits_of(environment: dict[str, Any]) -> str:
    """The commits, or versions of the package, that a run was made with, in order."""
    made_with = [start.get("commit") or f"cxr-keras {start['packages']['cxr-keras']}" for start in starts_of(environment)]
    return ", then ".join(dict.fromkeys(made_with))


def _processor() -> str:
    """The processor's name; Linux tells it in a file, elsewhere the platform module does."""
    information = Path("/proc/cpuinfo")
    if information.exists():
        for line in information.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def _commit() -> str | None:
    """The commit of the checkout that this code runs from, with "+changes" where tracked files differ from it."""
    checkout = Path(__file__).resolve().parents[2]
    if not (checkout / ".git").exists():
        return None
    try:
        git = ["git", "-C", str(checkout)]
        commit = subprocess.run([*git, "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
        changes = subprocess.run([*git, "status", "--porcelain", "-uno"], capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
    return commit + ("+changes" if changes else "")
