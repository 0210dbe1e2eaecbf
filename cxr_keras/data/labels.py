"""Label schemes, and how the labels of sources are placed in them."""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd

SKIP = "skip"
"""The value in a label map that leaves images out; they are counted."""

AS_GIVEN = "as_given"
"""The scheme that keeps the labels of the sources, for class folders and CSV files with classes of their own."""

SCHEMES: dict[str, dict[str, str]] = {
    "binary": {"normal": "normal", "pneumonia": "pneumonia", "bacterial": "pneumonia", "viral": "pneumonia"},
    "three": {"normal": "normal", "bacterial": "bacterial", "viral": "viral"},
    "four": {"normal": "normal", "bacterial": "bacterial", "viral": "viral", "covid19": "covid19"},
}
"""For each scheme: label of a source -> class. COVID-19 is no class of binary and three by itself: a positive test does
not say that the radiograph shows a pneumonia, so a label map has to decide it."""

LABEL_PATTERN = re.compile(r"[a-z0-9][a-z0-9_]*")
"""Classes become column names (`p_<class>`) and file names."""

_OTHER_SPELLINGS = {"covid": "covid19", "covid_19": "covid19", "bacteria": "bacterial", "virus": "viral"}


def label_word(text: str) -> str:
    """Turn a label or the name of a class folder into a lower-case word: `Viral Pneumonia` -> `viral_pneumonia`."""
    word = re.sub(r"[^a-z0-9]+", "_", text.strip().lower()).strip("_")
    return _OTHER_SPELLINGS.get(word, word)


def class_order(labels: Iterable[str]) -> tuple[str, ...]:
    """Give the classes in the order of all columns: alphabetical, but with `normal` first of two (positive last)."""
    classes = sorted(set(labels))
    if len(classes) == 2 and "normal" in classes:
        classes.sort(key=lambda name: name != "normal")
    return tuple(classes)


def classes_of(scheme: str) -> tuple[str, ...]:
    """Give the classes of a named scheme in the order of all columns.

    Raises:
        ValueError: unknown scheme, or `as_given`, whose classes only the manifest knows.
    """
    require_scheme(scheme)
    if scheme == AS_GIVEN:
        raise ValueError("labels: as_given has the classes of its manifest; take class_order(manifest['label']).")
    return class_order(SCHEMES[scheme].values())


def require_scheme(scheme: str) -> None:
    """Refuse the name of a scheme that does not exist.

    Raises:
        ValueError: unknown scheme; the message names the nearest.
    """
    known = [*SCHEMES, AS_GIVEN]
    if scheme not in known:
        near = difflib.get_close_matches(scheme, known, n=1)
        hint = f" Did you mean {near[0]}?" if near else ""
        raise ValueError(f"labels: unknown scheme {scheme!r}; expected one of {', '.join(known)}.{hint}")


def place_labels(
    table: pd.DataFrame, *, scheme: str, label_map: Mapping[str, str] | None, foreign_labels: Mapping[str, str]
) -> pd.DataFrame:
    """Turn the labels of sources into classes of a scheme; rows without a class are left out and counted.

    Args:
        table: rows with the columns `label` and `source`.
        scheme: a key of `SCHEMES`, or `as_given`.
        label_map: label -> class, or `source:label` -> class for one source only, or -> `skip`. It comes before the
            scheme's own map.
        foreign_labels: source -> "error" or "skip", for labels that neither map places.

    Returns:
        The remaining rows, with `attrs["skipped"]` = {source: {reason: count}} enlarged by what was left out here.

    Raises:
        ValueError: unknown scheme, keys or values of the map that fit nothing, labels without a class.
    """
    require_scheme(scheme)
    chosen = {_normal_key(key): value for key, value in (label_map or {}).items()}
    _check_label_map(table, scheme=scheme, label_map=chosen)
    skipped = {source: Counter(counts) for source, counts in table.attrs.get("skipped", {}).items()}
    classes: dict[tuple[str, str], str | None] = {}
    foreign: Counter[tuple[str, str]] = Counter()
    for (source, label), count in Counter(zip(table["source"], table["label"], strict=True)).items():
        given = chosen.get(f"{source}:{label}", chosen.get(label))
        placed = given or (label if scheme == AS_GIVEN else SCHEMES[scheme].get(label))
        if placed is None and foreign_labels.get(source) != "skip":
            foreign[source, label] += count
        elif placed is None or placed == SKIP:
            skipped.setdefault(source, Counter())[f"label {label}"] += count
            placed = None
        classes[source, label] = placed
    if foreign:
        listed = ", ".join(f"{label} ({count} images of {source})" for (source, label), count in foreign.items())
        example = next(iter(foreign))[1]
        raise ValueError(
            f"labels: {scheme} has no class for {listed}. Its classes are {', '.join(classes_of(scheme))}; give a label "
            f"map such as {{{example}: {classes_of(scheme)[-1]}}} or {{{example}: skip}}, or another scheme."
        )
    placed_labels = [classes[pair] for pair in zip(table["source"], table["label"], strict=True)]
    kept = table.assign(label=pd.Series(placed_labels, index=table.index, dtype=object))
    kept = kept[kept["label"].notna()].reset_index(drop=True).astype({"label": "str"})
    kept.attrs["skipped"] = {source: dict(counts) for source, counts in skipped.items() if counts}
    return kept


def _normal_key(key: str) -> str:
    """Bring a key of a label map into the spelling of labels; the source before a colon stays as it is."""
    source, colon, label = key.rpartition(":")
    return source + colon + label_word(label)


def _check_label_map(table: pd.DataFrame, *, scheme: str, label_map: Mapping[str, str]) -> None:
    """Raise one error for all keys that name no label of the sources and all values that are no class."""
    labels = set(table["label"])
    known = labels | {f"{source}:{label}" for source, label in zip(table["source"], table["label"], strict=True)}
    faults = []
    for key, value in label_map.items():
        if key not in known:
            near = difflib.get_close_matches(key, sorted(known), n=1)
            hint = f", did you mean {near[0]}?" if near else ""
            faults.append(f"no image has the label {key!r} (found {', '.join(sorted(labels))}){hint}")
        if scheme == AS_GIVEN:
            if not LABEL_PATTERN.fullmatch(value):
                faults.append(f"{key}: {value!r} is no lower-case word")
        elif value not in (*classes_of(scheme), SKIP):
            faults.append(f"{key}: {value!r} is no class of {scheme} ({', '.join(classes_of(scheme))}) and not 'skip'")
    if faults:
        raise ValueError("label map: " + "; ".join(faults))


def require_every_class(table: pd.DataFrame, *, scheme: str) -> None:
    """Refuse a manifest in which a class of the scheme has no image.

    Raises:
        ValueError: classes without images; the message says what the sources gave.
    """
    if scheme == AS_GIVEN:
        return
    absent = [name for name in classes_of(scheme) if name not in set(table["label"])]
    if absent:
        given = "; ".join(f"{source} gives {', '.join(sorted(set(rows['label'])))}" for source, rows in table.groupby("source"))
        raise ValueError(
            f"labels: {scheme} needs {', '.join(absent)}, of which no source has an image ({given or 'no images left'}). "
            f"Add a source that has them, place other labels there with a label map, or choose another scheme of "
            f"{', '.join([*SCHEMES, AS_GIVEN])}."
        )


def permute_labels(manifest: pd.DataFrame, *, seed: int) -> pd.DataFrame:
    """Exchange labels between groups: the negative control, on which an honest evaluation finds nothing.

    The groups are put into a random order and dealt out to the classes along it, each class until it has its number of images.
    So a patient has one label, every class keeps its number of images up to part of a group, and the new label tells
    neither the old one nor the size of the group. Exchanging only between groups of equal size was rejected: in the real data
    size goes with the class, so part of the true labels would survive.

    Args:
        manifest: a manifest; not changed.
        seed: of the order.

    Returns:
        A copy with other labels and the free column `labels_permuted`, so that no table made from it is taken for real.
    """
    sizes = manifest.groupby("group_id").size().sort_index()
    sizes = sizes.iloc[np.random.default_rng(seed).permutation(len(sizes))]
    middles = sizes.cumsum() - sizes / 2
    counts = manifest["label"].value_counts().sort_index()
    position = np.searchsorted(counts.cumsum().to_numpy(), middles.to_numpy(), side="right")
    permuted = pd.Series(counts.index.to_numpy()[position], index=sizes.index)
    return manifest.assign(label=manifest["group_id"].map(permuted), labels_permuted=f"seed {seed}")
