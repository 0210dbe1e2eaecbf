"""Božičković's way to the number of epochs: an initial split with early stopping, its best epochs carried into the folds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from cxr_keras.config.schema import RunConfig
from cxr_keras.recipes.parts import UNUSED
from cxr_keras.recipes.run import fold_job
from cxr_keras.recipes.tracking import told_to
from cxr_keras.runs.files import read_json
from cxr_keras.runs.jobs import Engine, run_jobs

INITIAL_FOLD = 99
"""Number of the initial split where folds are numbered: gives it seeds of its own."""


def initial_epochs(config: RunConfig, folder: Path, manifest: pd.DataFrame, *, engine: Engine | None = None) -> dict[str, int]:
    """Train on the initial split and read off how many epochs each phase needed.

    The images that choose the epochs return in the folds, so the folds' figures are optimistic; the summary of such a run says so.

    Args:
        config: all settings; its phases stop early on the monitored value.
        folder: the run directory; the split lies in `initial/`.
        manifest: all images.
        engine: where it is trained; by default in a process of this machine.

    Returns:
        Phase name to number of epochs.

    Raises:
        ValueError: a class has too few patients for validation and test.
    """
    parts = initial_split(manifest, share=config.cross_validation.initial_share, seed=config.seed_of_splits)
    job = fold_job(folder / "initial", folder, parts, fold=INITIAL_FOLD, label="initial split", tracking=told_to(config, folder))
    run_jobs([job], engine=engine)
    return {phase["phase"]: phase["epochs_best"] for phase in read_json(folder / "initial" / "done.json")["phases"]}


def initial_split(manifest: pd.DataFrame, *, share: float, seed: int) -> pd.Series:
    """Božičković's initial split (section II.A).

    A share of the rarest class's patients goes to validation and as many to test, one image a patient; every other class gives as many
    images, each of another patient. Further images of those patients are left out, so no patient stands in two parts.

    Args:
        manifest: all images.
        share: share of the rarest class's patients in each of validation and test (paper: 15 %).
        seed: seed of the draw.

    Returns:
        Part ("train", "validation", "test" or "unused") of each image, by image_id.

    Raises:
        ValueError: a class has fewer patients than validation, test and training need.
    """
    random = np.random.default_rng(seed)
    patients = manifest.groupby("label")["group_id"].nunique()
    count = max(round(share * patients.min()), 1)
    if patients.min() < 2 * count + 1:
        raise ValueError(
            f"Class {patients.idxmin()} has {patients.min()} patients; the initial split needs {count} for validation, {count} for test "
            "and at least one to train on."
        )
    parts = pd.Series("train", index=manifest["image_id"].to_numpy(), name="part")
    taken: set[str] = set()
    for label in patients.sort_values().index:
        rows = manifest[(manifest["label"] == label) & ~manifest["group_id"].isin(taken)]
        groups = random.permutation(np.sort(rows["group_id"].unique()))[: 2 * count]
        if len(groups) < 2 * count:
            raise ValueError(f"Class {label} has only {len(groups)} patients left for the initial split; {2 * count} are needed.")
        taken |= set(groups)
        for part, members in (("validation", groups[:count]), ("test", groups[count:])):
            for group in members:
                images = np.sort(rows.loc[rows["group_id"] == group, "image_id"].to_numpy())
                parts[random.choice(images)] = part
    in_taken = manifest["group_id"].isin(taken).to_numpy()
    parts[in_taken & (parts == "train").to_numpy()] = UNUSED
    return parts
