"""How much memory a process may still take."""

from __future__ import annotations

import os
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")


def free_memory() -> int:
    """Bytes that a process could take now without swapping, within the limit of the container (cgroup v2) if there is one."""
    free = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    information = Path("/proc/meminfo")
    if information.exists():
        for line in information.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                free = int(line.split()[1]) * 1024
    return min(free, _free_in_container(CGROUP, otherwise=free))


def _free_in_container(folder: Path, *, otherwise: int) -> int:
    """What the limit leaves; cached file pages that the kernel would give back count as free."""
    try:
        limit = (folder / "memory.max").read_text().strip()
        if limit == "max":
            return otherwise
        statistics = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
        return int(limit) - int((folder / "memory.current").read_text()) + int(statistics.get("inactive_file", 0))
    except (OSError, ValueError):  # no cgroup v2 here
        return otherwise
