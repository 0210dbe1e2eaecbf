"""A manifest in words: what it holds, and what its splits can and cannot promise."""

from __future__ import annotations

import pandas as pd

from cxr_keras.data.groups import count_copies
from cxr_keras.data.labels import class_order

UNKNOWN_PATIENTS = "patient overlap not excluded"
"""What every report says of sources that know no patients."""


def patients_unknown(manifest: pd.DataFrame) -> tuple[str, ...]:
    """Give the sources in which each image was taken for a patient of its own; a manifest without the column knows all."""
    if "patients_known" not in manifest.columns:
        return ()
    return tuple(sorted(manifest.loc[manifest["patients_known"] == "no", "source"].unique()))


def count_images(manifest: pd.DataFrame) -> pd.DataFrame:
    """Count images for each source and official split (rows, with a last row "total") and class (columns, and "images").

    Returns:
        Columns source, split, one for each class, images, patients, groups; counts are int64.
    """
    classes = list(class_order(manifest["label"]))
    rows = []
    for (source, split), part in manifest.groupby(["source", "split"], sort=False):
        rows.append({"source": source, "split": split or "-", **_counts(part, classes)})
    rows.append({"source": "total", "split": "", **_counts(manifest, classes)})
    return pd.DataFrame(rows, columns=["source", "split", *classes, "images", "patients", "groups"])


def _counts(part: pd.DataFrame, classes: list[str]) -> dict[str, int]:
    per_class = part["label"].value_counts()
    return {
        **{name: int(per_class.get(name, 0)) for name in classes},
        "images": len(part),
        "patients": int(part["patient_id"].nunique()),
        "groups": int(part["group_id"].nunique()),
    }


def describe_manifest(manifest: pd.DataFrame) -> str:
    """Describe a manifest on several lines: counts, identical files, what was left out, and warnings.

    Args:
        manifest: the table; `attrs["skipped"]` of a manifest built just now is shown too.
    """
    copies = count_copies(manifest)
    lines = [count_images(manifest).to_string(index=False)]
    lines.append(
        f"identical files: {copies['files']} in {copies['groups']} groups, of which {copies['across_patients']} join several "
        f"patients and {copies['across_sources']} lie in several sources"
    )
    for source, reasons in manifest.attrs.get("skipped", {}).items():
        lines.append(f"left out of {source}: " + ", ".join(f"{reason} {count}" for reason, count in reasons.items()))
    no_size = int((manifest["width"] == 0).sum())
    if no_size:
        lines.append(f"{no_size} files are no whole images (width 0): run `cxr data check`")
    unknown = patients_unknown(manifest)
    if unknown:
        lines.append(f"{UNKNOWN_PATIENTS}: {', '.join(unknown)} does not tell its patients, each image counts as one")
    if "labels_permuted" in manifest.columns:
        lines.append(f"LABELS PERMUTED between groups ({manifest['labels_permuted'].iloc[0]}): negative control, no real labels")
    return "\n".join(lines)
