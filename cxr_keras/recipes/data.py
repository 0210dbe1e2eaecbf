"""The data verbs, and the images of a run: sources to a checked manifest."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import pandas as pd

from cxr_keras.config.schema import DataSection
from cxr_keras.data.check import check_images
from cxr_keras.data.describe import describe_manifest
from cxr_keras.data.labels import AS_GIVEN, SCHEMES, classes_of, permute_labels
from cxr_keras.data.manifest import read_manifest, write_manifest
from cxr_keras.data.phantom import generate_phantom
from cxr_keras.data.phantom.generate import SETTINGS_FILE
from cxr_keras.data.sources import build_manifest
from cxr_keras.data.subsample import keep_official_parts, subsample_by_group
from cxr_keras.runs.directory import IDENTITY_FILE
from cxr_keras.runs.files import read_json, write_csv

BAD_FILES = "bad_files.csv"


def manifest_of(data: DataSection, *, seed: int) -> pd.DataFrame:
    """Read or build the manifest that the config names, with its choice of images and label permutation applied.

    Args:
        data: the config's data section.
        seed: seed of subsampling and permutation.

    Returns:
        The manifest, see `cxr_keras.data.manifest`.

    Raises:
        ValueError: no origin is named, or what it names cannot be used.
    """
    require_origin(data)
    if data.manifest:
        manifest = read_manifest(Path(data.manifest).expanduser())
    else:
        _draw_missing_phantoms(data)
        manifest = build_manifest(
            data.sources,
            labels=data.labels,
            patients=None if data.patients == "known" else data.patients,
            label_map=data.label_map or None,
            on_label_conflict=data.on_label_conflict,
        )
    if data.official_parts:
        manifest = keep_official_parts(manifest, data.official_parts)
    if data.at_most_per_class:
        manifest = subsample_by_group(manifest, data.at_most_per_class, seed=seed)
    if data.permute_labels:
        manifest = permute_labels(manifest, seed=seed)
    return manifest


def require_origin(data: DataSection) -> None:
    """Raise ValueError where the config names no images."""
    if not data.manifest and not data.sources:
        raise ValueError(
            "This config names no images. Give them with data.sources=[kermany:/path/to/chest_xray], with data.manifest=FILE made by "
            "`cxr data build`, or try the phantoms with --sample."
        )


def refuse_or_skip_bad_files(manifest: pd.DataFrame, *, policy: str, folder: Path, once: bool = False) -> pd.DataFrame:
    """Open every file before slow work and deal with those that are no usable images.

    The check's result is kept as `bad_files.csv` in the folder, so a run that has begun does not check again.

    Args:
        manifest: all images.
        policy: "refuse" or "skip", the config's `data.on_bad_files`.
        folder: the run directory, or `folder_of_check`.
        once: whether files that were all good in an earlier check in `folder` are not opened again; bad ones may have been mended.

    Returns:
        The manifest without bad files.

    Raises:
        ValueError: there are bad files and the policy is "refuse".
    """
    listing = folder / BAD_FILES
    bad = pd.read_csv(listing, dtype=str, keep_default_na=False) if listing.exists() else None
    if bad is None or not ((folder / IDENTITY_FILE).exists() or (once and bad.empty)):
        bad = check_images(manifest)
        write_csv(listing, bad)
    if bad.empty:
        return manifest
    if policy == "refuse":
        shown = "\n".join(f"  - {row.path}: {row.reason}" for row in bad.head(5).itertuples())
        raise ValueError(
            f"{len(bad)} of {len(manifest)} files are no usable images:\n{shown}\nAll are listed in {listing}. Mend or remove them, or set "
            "data.on_bad_files=skip to train without them."
        )
    print(f"bad files: {len(bad)} of {len(manifest)} images skipped, listed in {listing}", file=sys.stderr)
    return manifest[~manifest["image_id"].isin(bad["image_id"])].reset_index(drop=True)


def folder_of_check(manifest: pd.DataFrame, root: Path) -> Path:
    """Give the folder of the check of just these files, for which there is no run directory."""
    digest = hashlib.sha256()
    for row in manifest[["image_id", "path", "sha256"]].itertuples(index=False, name=None):
        digest.update("\n".join((*row, "")).encode())
    return root / digest.hexdigest()[:24]


def _draw_missing_phantoms(data: DataSection) -> None:
    """Draw the phantom folders that do not exist yet, with the generator's own settings; refuse one of another label scheme."""
    for source in data.sources:
        name, _, path = source.partition(":")
        name = name.rpartition("=")[2]
        folder = Path(path).expanduser()
        if name == "phantom" and path and not folder.exists():
            generate_phantom(folder, labels="four" if data.labels == AS_GIVEN else data.labels)
        elif name == "phantom" and len(data.sources) == 1 and not data.label_map and (folder / SETTINGS_FILE).is_file():
            _refuse_other_labels(folder, data.labels)


def _refuse_other_labels(folder: Path, labels: str) -> None:
    """Raise ValueError where phantoms drawn for one label scheme have no place in another, or leave one of its classes empty."""
    drawn = read_json(folder / SETTINGS_FILE)["labels"]
    if labels == AS_GIVEN or {SCHEMES[labels].get(name) for name in classes_of(drawn)} == set(classes_of(labels)):
        return
    raise ValueError(
        f"{folder} holds phantoms drawn for data.labels={drawn} ({', '.join(classes_of(drawn))}), and this run has data.labels={labels} "
        f"({', '.join(classes_of(labels))}). Name a folder that does not exist, which is then drawn, such as "
        f"data.sources=[phantom:{folder}_{labels}]; or remove {folder}."
    )


def build_data(sources: list[str], *, out: Path, labels: str, patients: str, label_map: list[str]) -> pd.DataFrame:
    """Build a manifest, write it and print what it holds.

    Args:
        sources: reader:PATH each.
        out: the CSV file to write.
        labels: label scheme.
        patients: "known" or "one_per_image".
        label_map: from=to each.

    Returns:
        The manifest.

    Raises:
        ValueError: the choice of patients or a label map is not understood, or a source cannot be read.
    """
    if patients not in ("known", "one_per_image"):
        raise ValueError(f"--patients is {patients!r}; expected known or one_per_image.")
    pairs = [entry.partition("=") for entry in label_map]
    if faulty := [entry for entry, (_, sign, _) in zip(label_map, pairs, strict=True) if not sign]:
        raise ValueError(f"--label-map {faulty[0]!r} is not understood; expected from=to, for example Lung_Opacity=pneumonia.")
    mapping = {old: new for old, _, new in pairs}
    manifest = build_manifest(
        sources, labels=labels, patients="one_per_image" if patients == "one_per_image" else None, label_map=mapping or None
    )
    write_manifest(manifest, out)
    print(describe_manifest(manifest))
    print(f"Written to {out}. Next: cxr data check {out}")
    return manifest


def check_data(manifest_path: Path, *, out: Path) -> int:
    """Open every file of a manifest and list those that are no usable images.

    Returns:
        The number of bad files.
    """
    manifest = read_manifest(manifest_path)
    bad = check_images(manifest)
    write_csv(out, bad)
    for reason, count in bad["reason"].value_counts().items():
        print(f"{count:>6}  {reason}")
    print(f"{len(manifest) - len(bad):,} of {len(manifest):,} files are good; bad ones are listed in {out}")
    return len(bad)
