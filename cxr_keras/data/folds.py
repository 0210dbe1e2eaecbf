"""Folds and parts: stratified by class, never through a group.

scikit-learn's StratifiedGroupKFold does it (1.9 or later: before 1.8 it did not stratify when it shuffled). Rows are sorted
by image_id first, so the same images and seed give the same folds in whatever order they come.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.model_selection import StratifiedGroupKFold

from cxr_keras.data.manifest import manifest_digest, require_official_split
from cxr_keras.runs.files import read_json, write_json

FILE_FORMAT = 1
MOST_FOLDS_OF_A_SPLIT = 20
"""A split by fractions joins folds; 20 of them meet every multiple of 0.05 exactly."""

OFFICIAL_PARTS = {"train": "train", "val": "train", "test": "test"}
"""The official val folder of Kermany holds 16 images, useless for choosing anything: it joins train."""


def make_folds(manifest: pd.DataFrame, *, n_folds: int, seed: int) -> dict[str, int]:
    """Deal the images into folds of about equal class shares; a group lies in one fold.

    Args:
        manifest: rows with image_id, label, group_id.
        n_folds: 2 or more.
        seed: of the shuffling.

    Returns:
        image_id -> fold, 0 to n_folds - 1, in the order of image_id.

    Raises:
        ValueError: fewer than two folds, fewer patients in a class than folds, or a class absent from a fold.
    """
    if n_folds < 2:
        raise ValueError(f"n_folds is {n_folds}; cross-validation needs 2 or more.")
    _require_patients(manifest, needed=n_folds, purpose=f"{n_folds} folds", remedy="Take fewer folds")
    folds = _deal(manifest, n_folds=n_folds, seed=seed)
    check_folds(folds, manifest, n_folds=n_folds)
    return folds


def _deal(manifest: pd.DataFrame, *, n_folds: int, seed: int) -> dict[str, int]:
    """Run StratifiedGroupKFold over the sorted rows."""
    rows = manifest.sort_values("image_id")
    splitter = StratifiedGroupKFold(n_folds, shuffle=True, random_state=seed)
    fold_of_row = np.empty(len(rows), dtype=int)
    for fold, (_, held_out) in enumerate(splitter.split(rows, rows["label"], rows["group_id"])):
        fold_of_row[held_out] = fold
    return dict(zip(rows["image_id"], fold_of_row.tolist(), strict=True))


def _require_patients(manifest: pd.DataFrame, *, needed: int, purpose: str, remedy: str) -> None:
    """Refuse classes with too few groups, with the number of groups of every class."""
    groups = manifest.groupby("label")["group_id"].nunique()
    if (groups < needed).any():
        counts = ", ".join(f"{label} {count}" for label, count in groups.items())
        raise ValueError(
            f"too few patients for {purpose}: {needed} needed in every class, there are {counts} (patients that share an "
            f"identical file count once). {remedy}, or add patients to {', '.join(groups.index[groups < needed])}."
        )


def check_folds(folds: Mapping[str, int], manifest: pd.DataFrame, *, n_folds: int) -> None:
    """Refuse folds that do not fit a manifest.

    Raises:
        ValueError: images without fold or folds without image, a fold that is none of 0 to n_folds - 1, a group in
            several folds, or a class absent from a fold; all faults in one message.
    """
    faults = []
    images = set(manifest["image_id"])
    for names, what in ((images - set(folds), "have no fold"), (set(folds) - images, "are not in the manifest")):
        if names:
            faults.append(f"{len(names)} images {what}: {', '.join(sorted(names)[:3])}")
    odd = sorted({repr(fold) for fold in folds.values() if type(fold) is not int or not 0 <= fold < n_folds})
    if odd:
        faults.append(f"the folds {', '.join(odd[:5])} are odd, expected 0 to {n_folds - 1}")
    if not faults:
        parts = manifest["image_id"].map(dict(folds))
        faults += _shared_groups(manifest, parts, what="folds")
        faults += _absent_classes(manifest, parts, expected=range(n_folds), what="fold")
    if faults:
        raise ValueError("folds: " + "; ".join(faults) + ". Make the folds again from this manifest.")


def _shared_groups(manifest: pd.DataFrame, parts: pd.Series, *, what: str) -> list[str]:
    per_group = parts.groupby(manifest["group_id"]).nunique()
    shared = per_group.index[per_group > 1]
    return [f"{len(shared)} patients lie in several {what}: {', '.join(shared[:3])}"] if len(shared) else []


def _absent_classes(manifest: pd.DataFrame, parts: pd.Series, *, expected: object, what: str) -> list[str]:
    table = pd.crosstab(parts, manifest["label"]).reindex(list(expected), fill_value=0)  # type: ignore[call-overload]
    return [
        f"class {label} is absent from {what} {part}" for part, counts in table.iterrows() for label, count in counts.items() if count == 0
    ]


def write_folds(path: str | Path, folds: Mapping[str, int], manifest: pd.DataFrame, *, seed: int) -> None:
    """Write `folds.json` with the seed and the digest of the manifest the folds were made from.

    Raises:
        ValueError: the folds do not fit the manifest.
    """
    n_folds = len(set(folds.values()))
    check_folds(folds, manifest, n_folds=n_folds)
    content = {
        "format": FILE_FORMAT,
        "n_folds": n_folds,
        "seed": seed,
        "manifest_digest": manifest_digest(manifest),
        "folds": dict(sorted(folds.items())),
    }
    write_json(path, content)


def read_folds(path: str | Path, manifest: pd.DataFrame) -> dict[str, int]:
    """Read `folds.json` and check it against a manifest.

    Returns:
        image_id -> fold.

    Raises:
        ValueError: no such file, another layout, folds of another manifest, or folds that `check_folds` refuses.
    """
    if not Path(path).is_file():
        raise ValueError(f"folds: {path} does not exist; make folds with make_folds and write_folds.")
    content = read_json(path)
    keys = {"format", "n_folds", "seed", "manifest_digest", "folds"}
    if not isinstance(content, dict) or not keys <= content.keys() or content["format"] != FILE_FORMAT:
        raise ValueError(f"folds: {path} is no fold file of format {FILE_FORMAT}; expected the keys {sorted(keys)}.")
    if content["manifest_digest"] != manifest_digest(manifest):
        raise ValueError(
            f"folds: {path} was made from another manifest (digest {content['manifest_digest'][:12]}…, this one has "
            f"{manifest_digest(manifest)[:12]}…): images, labels, groups or files changed. Use the former manifest, or "
            "start a new run directory so that new folds are made."
        )
    check_folds(content["folds"], manifest, n_folds=content["n_folds"])
    return content["folds"]


def split_by_group(manifest: pd.DataFrame, *, fractions: Mapping[str, float], seed: int) -> pd.Series:
    """Divide the images into named parts by the rule of the folds.

    The images are dealt into n folds and each part takes several of them: .75 / .25 is three and one of four. n is the
    smallest number up to 20 (and up to the number of patients of the rarest class) that meets the fractions best.

    Args:
        manifest: rows with image_id, label, group_id.
        fractions: part -> share of the images, which sum to 1, e.g. {"train": .7, "validation": .15, "test": .15}.
        seed: of the shuffling.

    Returns:
        The part of each image, indexed by image_id in the order of the manifest.

    Raises:
        ValueError: fractions that are no division of 1, fewer patients in a class than parts, or a class absent from
            a part.
    """
    shares = list(fractions.values())
    if len(shares) < 2 or any(not 0 < share < 1 for share in shares) or abs(sum(shares) - 1) > 1e-6:
        raise ValueError(
            f"fractions are {dict(fractions)}; expected two or more parts between 0 and 1 that sum to 1, they sum to {sum(shares):g}."
        )
    _require_patients(manifest, needed=len(shares), purpose=f"{len(shares)} parts", remedy="Take fewer parts")
    rarest = int(manifest.groupby("label")["group_id"].nunique().min())
    folds_per_part = _share_out(shares, most=min(MOST_FOLDS_OF_A_SPLIT, rarest))
    part_of_fold = [part for part, count in zip(fractions, folds_per_part, strict=True) for _ in range(count)]
    folds = _deal(manifest, n_folds=len(part_of_fold), seed=seed)
    parts = pd.Series([part_of_fold[folds[image]] for image in manifest["image_id"]], index=manifest["image_id"].to_list(), name="part")
    assert_no_shared_group(manifest, parts)
    _require_classes(manifest, parts, expected=list(fractions))
    return parts


def _share_out(shares: list[float], *, most: int) -> list[int]:
    """Give the number of folds of each part, by largest remainder, for the number of folds that errs least."""
    best: list[int] = []
    least = np.inf
    for total in range(len(shares), most + 1):
        exact = np.array(shares) * total
        counts = np.maximum(np.floor(exact + 1e-9).astype(int), 1)
        while counts.sum() < total:
            counts[np.argmax(exact - counts)] += 1
        while counts.sum() > total:
            counts[np.argmax(np.where(counts > 1, counts - exact, -np.inf))] -= 1
        error = round(float(np.abs(counts / total - shares).max()), 9)
        if error < least:
            best, least = counts.tolist(), error
    return best


def official_split(manifest: pd.DataFrame) -> pd.Series:
    """Give the split that the source published: train and val -> "train", test -> "test".

    Returns:
        The part of each image, indexed by image_id in the order of the manifest.

    Raises:
        ValueError: images without an official split, a part without a class, or a group in both parts.
    """
    require_official_split(manifest, "split: official", remedy="choose a split by fractions")
    parts = pd.Series([OFFICIAL_PARTS[split] for split in manifest["split"]], index=manifest["image_id"].to_list(), name="part")
    assert_no_shared_group(manifest, parts)
    _require_classes(manifest, parts, expected=["train", "test"])
    return parts


def official_halves(manifest: pd.DataFrame, *, seed: int) -> pd.Series:
    """Give the official training folder as "train" and divide the official test folder, by patient, into "validation" and "test".

    So Zhou et al. chose their epoch: on half of the official test folder. The validation half is of the same hospital, compression and
    share of sick as the test half, which flatters; and its labels are read after every epoch.

    Returns:
        The part of each image, indexed by image_id in the order of the manifest.

    Raises:
        ValueError: as `official_split`, or fewer than two patients of a class in the test folder.
    """
    parts = official_split(manifest)
    folder = manifest[(parts == "test").to_numpy()]
    parts.update(split_by_group(folder, fractions={"validation": 0.5, "test": 0.5}, seed=seed))
    assert_no_shared_group(manifest, parts)
    return parts


def _require_classes(manifest: pd.DataFrame, parts: pd.Series, *, expected: list[str]) -> None:
    aligned = manifest["image_id"].map(parts)
    faults = _absent_classes(manifest, aligned, expected=expected, what="part")
    if faults:
        raise ValueError("split: " + "; ".join(faults) + ". Take larger fractions, another seed, or more patients.")


def assert_no_shared_group(manifest: pd.DataFrame, parts: Mapping[str, object] | pd.Series) -> None:
    """Refuse parts that separate a group: the rule that every split of this project keeps.

    Args:
        manifest: rows with image_id and group_id.
        parts: part of each image, by image_id.

    Raises:
        ValueError: images without a part, or groups in several parts.
    """
    aligned = manifest["image_id"].map(dict(parts))
    missing = manifest.loc[aligned.isna(), "image_id"]
    faults = [f"{len(missing)} images lie in no part: {', '.join(missing[:3])}"] if len(missing) else []
    faults += _shared_groups(manifest, aligned, what="parts")
    if faults:
        raise ValueError("split: " + "; ".join(faults) + ". A patient must lie in one part; split by group_id.")
