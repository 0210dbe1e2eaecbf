"""The training histories that lie in a run directory."""

from __future__ import annotations

from pathlib import Path

import pandas as pd


def read_histories(folder: Path) -> list[tuple[str, pd.DataFrame]]:
    """Read the `history.csv` of a fold folder, or of every fold of a run directory.

    Returns:
        Name of the fold and its history, in the order of the names; empty where there is none.
    """
    own = [folder / "history.csv"] if (folder / "history.csv").exists() else []
    found = own or sorted([*folder.glob("fold-*/history.csv"), *folder.glob("split/history.csv")])
    return [(path.parent.name, pd.read_csv(path)) for path in found]
