"""From sources to one manifest: read, place labels, measure files, join groups."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import pandas as pd

from cxr_keras.data.groups import count_copies, join_groups, readable_copies
from cxr_keras.data.inspect_image import read_header
from cxr_keras.data.labels import place_labels, require_every_class, require_scheme
from cxr_keras.data.manifest import COLUMNS, check_manifest
from cxr_keras.data.parallel import map_in_threads
from cxr_keras.data.sources.registry import get_source
from cxr_keras.data.sources.source import Patients, Source

LabelConflict = Literal["error", "drop", "first_source"]
LABEL_CONFLICTS = ("error", "drop", "first_source")


def build_manifest(
    sources: Sequence[str],
    *,
    labels: str = "binary",
    patients: Patients | None = None,
    label_map: Mapping[str, str] | None = None,
    on_label_conflict: LabelConflict = "error",
    workers: int | None = None,
    show_progress: bool = True,
) -> pd.DataFrame:
    """Build one manifest from one or several sources.

    Args:
        sources: `NAME:PATH` each, e.g. `kermany:/data/chest_xray`; `ALIAS=NAME:PATH` gives the rows another source name,
            which two sources of one kind need.
        labels: a scheme of `cxr_keras.data.labels`: binary, three, four, or as_given.
        patients: `one_per_image` for sources that know no patients; they refuse otherwise.
        label_map: label of a source (or `source:label`) -> class, or -> `skip`.
        on_label_conflict: what to do with identical files of different class. `error`; `drop` leaves all of them out;
            `first_source` gives them the label they have in the source that was named first, and is an error where the
            conflict lies inside that source.
        workers: threads that read the files, or None for one a processor.
        show_progress: False to stay silent.

    Returns:
        The manifest, sorted by source as given and then as read. `attrs["skipped"]` counts per source what was left
        out, `attrs["copies"]` counts identical files (see `count_copies`).

    Raises:
        ValueError: anything a source, a label map or the files have wrong; raised before files are read where possible.
    """
    require_scheme(labels)
    if on_label_conflict not in LABEL_CONFLICTS:
        raise ValueError(f"on_label_conflict is {on_label_conflict!r}; expected one of {', '.join(LABEL_CONFLICTS)}.")
    named = _parse_sources(sources)
    table = _read_all(named, patients=patients)
    if patients is not None and (table["patients_known"] == "yes").all():
        raise ValueError(
            f"patients: {patients} was given, but {', '.join(alias for alias, _, _ in named)} tells the patient of every image; "
            "remove the setting."
        )
    foreign = {alias: source.foreign_labels for alias, source, _ in named}
    table = place_labels(table, scheme=labels, label_map=label_map, foreign_labels=foreign)
    require_every_class(table, scheme=labels)
    skipped: dict[str, dict[str, int]] = dict(table.attrs["skipped"])
    table = _measure(table, workers=workers, show_progress=show_progress)
    order = {alias: position for position, (alias, _, _) in enumerate(named)}
    table, dropped = _settle_conflicts(table, choice=on_label_conflict, source_order=order)
    if dropped:
        skipped["label conflicts"] = {"identical files of different class": dropped}
        require_every_class(table, scheme=labels)
    table = join_groups(table)
    table = table[[*COLUMNS, *(name for name in table.columns if name not in COLUMNS)]]
    table.attrs = {"skipped": skipped, "copies": count_copies(table)}
    check_manifest(table, name="built manifest")
    return table


def _parse_sources(sources: Sequence[str]) -> list[tuple[str, Source, str]]:
    """Split `[ALIAS=]NAME:PATH` into (alias, source, path); aliases must differ."""
    if isinstance(sources, str) or not sources:
        raise ValueError(f"sources is {sources!r}; expected a list of NAME:PATH, e.g. ['kermany:/data/chest_xray'].")
    named = []
    for text in sources:
        name, colon, path = text.partition(":")
        if not colon or not path:
            raise ValueError(f"source {text!r}; expected NAME:PATH, e.g. kermany:/data/chest_xray.")
        alias, equals, kind = name.partition("=")
        source = get_source(kind if equals else alias)
        named.append((alias, source, path))
    aliases = [alias for alias, _, _ in named]
    repeated = sorted({alias for alias in aliases if aliases.count(alias) > 1})
    if repeated:
        raise ValueError(
            f"the source {', '.join(repeated)} is given more than once; tell them apart as "
            f"first={repeated[0]}:PATH and second={repeated[0]}:PATH."
        )
    return named


def _read_all(named: Sequence[tuple[str, Source, str]], *, patients: Patients | None) -> pd.DataFrame:
    """Read all sources into one table; ids carry the alias of their source, patients too, or the layout's name where that tells more."""
    tables, skipped = [], {}
    for alias, source, path in named:
        table = source.read(path, patients=patients)
        whose = source.name if source.patients_everywhere else alias
        table = table.assign(image_id=alias + "/" + table["image_id"], patient_id=whose + "/" + table["patient_id"], source=alias)
        skipped[alias] = table.attrs.get("skipped", {})
        table.attrs = {}
        tables.append(table)
    joined = pd.concat(tables, ignore_index=True).fillna("").astype(str)
    joined.attrs["skipped"] = {alias: counts for alias, counts in skipped.items() if counts}
    return joined


def _measure(table: pd.DataFrame, *, workers: int | None, show_progress: bool) -> pd.DataFrame:
    """Add `sha256`, `width` and `height`; bytes that are no whole image keep the size 0 and are found by the check."""
    measured = map_in_threads(_measure_file, list(table["path"]), workers=workers, description="measuring", show_progress=show_progress)
    failed = [f"{path}: {result}" for path, result in zip(table["path"], measured, strict=True) if isinstance(result, str)]
    if failed:
        raise ValueError(
            f"{len(failed)} image files cannot be read: {'; '.join(failed[:5])}{' …' if len(failed) > 5 else ''}. "
            "Restore them or their permissions."
        )
    sizes = pd.DataFrame(measured, columns=["sha256", "width", "height"], index=table.index)
    return table.assign(sha256=sizes["sha256"], width=sizes["width"].astype("int64"), height=sizes["height"].astype("int64"))


def _measure_file(path: str) -> tuple[str, int, int] | str:
    """Give hash and size of one file, or in words why it cannot be read."""
    try:
        contents = Path(path).read_bytes()
    except OSError as error:
        return error.strerror or type(error).__name__
    header = read_header(contents)
    size = (0, 0) if header.fault else (header.width, header.height)
    return (hashlib.sha256(contents).hexdigest(), *size)


def _settle_conflicts(table: pd.DataFrame, *, choice: LabelConflict, source_order: Mapping[str, int]) -> tuple[pd.DataFrame, int]:
    """Treat identical files of different class as `choice` says; also give the number of rows left out."""
    copies = readable_copies(table)
    classes = copies.groupby("sha256")["label"].nunique()
    conflicting = copies[copies["sha256"].isin(classes.index[classes > 1])]
    if conflicting.empty:
        return table, 0
    if choice == "drop":
        return table.drop(index=conflicting.index).reset_index(drop=True), len(conflicting)
    ranked = conflicting.assign(order=conflicting["source"].map(dict(source_order)))
    first = ranked[ranked["order"] == ranked.groupby("sha256")["order"].transform("min")].groupby("sha256")["label"]
    if choice == "error" or (first.nunique() > 1).any():
        pairs = [" = ".join(f"{row.image_id} ({row.label})" for row in rows.itertuples()) for _, rows in conflicting.groupby("sha256")]
        raise ValueError(
            f"{len(pairs)} identical files have different classes: {'; '.join(pairs[:3])}{' …' if len(pairs) > 3 else ''}. "
            "Correct the labels, or choose on_label_conflict: drop (leave them out) or first_source (believe the source "
            "named first; it must not contradict itself)."
        )
    label = table["sha256"].map(first.min()).where(table.index.isin(conflicting.index), table["label"])
    return table.assign(label=label), 0
