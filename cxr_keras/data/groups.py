"""Groups: patients, joined with every patient that shares an identical file."""

from __future__ import annotations

from collections.abc import Hashable, Iterable

import pandas as pd


class DisjointSets:
    """Union-find over any hashable members, with path halving; the smallest member represents its set."""

    def __init__(self) -> None:
        self._parent: dict[Hashable, Hashable] = {}

    def find(self, member: Hashable) -> Hashable:
        """Return the representative of the set of `member`, which is added as a set of its own if it is new."""
        parent = self._parent
        parent.setdefault(member, member)
        while parent[member] != member:
            parent[member] = parent[parent[member]]
            member = parent[member]
        return member

    def join(self, members: Iterable[Hashable]) -> None:
        """Make one set of the sets of all `members`; members must be comparable with each other."""
        roots = sorted({self.find(member) for member in members})  # type: ignore[type-var]
        for root in roots[1:]:
            self._parent[root] = roots[0]


def join_groups(manifest: pd.DataFrame) -> pd.DataFrame:
    """Set `group_id`: the smallest patient of all that are connected through identical files.

    Files that could not be measured (width 0) do not connect patients: two empty files are identical and say nothing.

    Args:
        manifest: rows with `patient_id`, `sha256`, `width`; not changed.

    Returns:
        A copy with the column `group_id`; it does not depend on the order of the rows.
    """
    sets = DisjointSets()
    for patient in manifest["patient_id"]:
        sets.find(patient)
    for _, patients in readable_copies(manifest).groupby("sha256")["patient_id"]:
        sets.join(patients)
    return manifest.assign(group_id=[str(sets.find(patient)) for patient in manifest["patient_id"]])


def readable_copies(manifest: pd.DataFrame) -> pd.DataFrame:
    """Give the rows whose file has at least one byte-identical copy in the manifest."""
    readable = manifest[manifest["width"] > 0]
    return readable[readable["sha256"].duplicated(keep=False)]


def count_copies(manifest: pd.DataFrame) -> dict[str, int]:
    """Count identical files.

    Returns:
        `groups` of identical files, `files` in them, `across_sources` (groups that lie in more than one source), and
        `across_patients` (groups that join more than one patient name).
    """
    copies = readable_copies(manifest).groupby("sha256")
    return {
        "groups": int(copies.ngroups),
        "files": int(copies.size().sum()),
        "across_sources": int((copies["source"].nunique() > 1).sum()),
        "across_patients": int((copies["patient_id"].nunique() > 1).sum()),
    }
