"""Fewer images: those of some official parts, or of a class so many, drawn patient by patient."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from cxr_keras.data.manifest import require_official_split


def subsample_by_group(manifest: pd.DataFrame, at_most: Mapping[str, int], *, seed: int) -> pd.DataFrame:
    """Keep at most so many images of the named classes.

    Groups are taken in a random order until the next one would pass the limit; a group is kept or left out as a whole, so no patient is
    torn apart. A group that holds several classes counts for each.

    Args:
        manifest: all images.
        at_most: class to the greatest number of its images; classes not named keep all.
        seed: seed of the order.

    Returns:
        The kept rows in their former order.

    Raises:
        ValueError: a class is not in the manifest or its limit is below 1.
    """
    counts = manifest["label"].value_counts()
    if unknown := sorted(set(at_most) - set(counts.index)):
        raise ValueError(f"at_most_per_class names {', '.join(unknown)}; classes of this manifest: {', '.join(sorted(counts.index))}.")
    if small := [name for name, limit in at_most.items() if limit < 1]:
        raise ValueError(f"at_most_per_class of {', '.join(small)} is below 1.")
    table = manifest.groupby(["group_id", "label"]).size().unstack(fill_value=0).sort_index()
    order = np.random.default_rng(seed).permutation(len(table))
    left = {name: int(limit) for name, limit in at_most.items()}
    kept = []
    for group, row in zip(table.index[order], table.iloc[order].to_dict("records"), strict=True):
        if all(row[name] <= room for name, room in left.items() if row[name]):
            kept.append(group)
            left = {name: room - row[name] for name, room in left.items()}
    return manifest[manifest["group_id"].isin(kept)].reset_index(drop=True)


def keep_official_parts(manifest: pd.DataFrame, parts: Sequence[str]) -> pd.DataFrame:
    """Keep the images that the source's own split puts into some of its parts.

    Whoever chooses settings on the images of train and val alone has not read a label of the official test.

    Args:
        manifest: all images; column `split` says train, val, test, or nothing where a source has no split of its own.
        parts: the parts to keep.

    Returns:
        The kept rows in their former order.

    Raises:
        ValueError: some images have no official split, or none lies in these parts.
    """
    require_official_split(manifest, "data.official_parts", remedy="leave the setting out")
    kept = manifest[manifest["split"].isin(parts)]
    if kept.empty:
        found = ", ".join(f"{count} in {part}" for part, count in manifest["split"].value_counts().items())
        raise ValueError(f"data.official_parts is {list(parts)}, in which no image lies; found: {found}.")
    return kept.reset_index(drop=True)
