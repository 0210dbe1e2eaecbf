"""Cohen's covid-chestxray-dataset: `metadata.csv` beside `images/`.

Cohen et al. 2020, arXiv 2006.11988. Only radiographs (`modality` X-ray) seen from the front (`view` PA, AP, AP Supine, AP
Erect) are taken; CT slices and lateral views are counted as skipped. The finding was written `COVID-19` or `COVID-19, ARDS` in
early releases and `Pneumonia/Viral/COVID-19` later: all three become covid19. Every other finding keeps its own name
(`no_finding`, `pneumonia_fungal_pneumocystis`): it is skipped and counted unless a label map places it, because
"No Finding" in a collection of suspected cases is not the healthy child of another source.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pandas as pd

from cxr_keras.data.labels import label_word
from cxr_keras.data.sources.source import Source, require_folder, rows_table, unique_ids

EXPECTED = "metadata.csv and the folder images/ of covid-chestxray-dataset"
COLUMNS = ("patientid", "finding", "view", "modality", "folder", "filename")
FREE_COLUMNS = ("view", "sex", "age", "offset", "license", "url", "doi")
"""Copied into the manifest where the file has them; the licence differs from image to image."""


def label_of(finding: str) -> str:
    """Turn a finding into a label: covid19 if any of its parts says so, else the finding as one lower-case word."""
    parts = [part.strip().lower() for part in finding.replace("/", ",").split(",")]
    if "covid-19" in parts:
        return "covid19"
    return label_word(finding)


def is_frontal(view: str) -> bool:
    """Tell whether a view looks from the front or the back: PA, AP, AP Supine, AP Erect."""
    return view.strip().upper().split(" ")[0] in ("PA", "AP")


def read(path: str | Path, *, patients: str | None = None) -> pd.DataFrame:
    """Read the frontal radiographs that `metadata.csv` lists.

    Args:
        path: the folder with `metadata.csv`.
        patients: not used, `patientid` holds them.

    Raises:
        ValueError: folder or `metadata.csv` missing, columns missing, a file listed but absent, a row without patient, or
            no frontal radiograph at all.
    """
    root = require_folder(path, source="ieee8023", expected=EXPECTED)
    sheet = root / "metadata.csv"
    if not sheet.is_file():
        raise ValueError(f"ieee8023: no metadata.csv in {root}; expected {EXPECTED}.")
    table = pd.read_csv(sheet, dtype=str, keep_default_na=False)
    missing = [name for name in COLUMNS if name not in table.columns]
    if missing:
        raise ValueError(f"ieee8023: {sheet} lacks the columns {', '.join(missing)}; it has {', '.join(map(str, table.columns))}.")
    skipped: Counter[str] = Counter()
    radiograph = table["modality"].str.strip().str.lower() == "x-ray"
    frontal = table["view"].map(is_frontal)
    skipped.update(f"modality {name or 'unknown'}" for name in table.loc[~radiograph, "modality"])
    skipped.update(f"view {name or 'unknown'}" for name in table.loc[radiograph & ~frontal, "view"])
    table = table[radiograph & frontal].drop_duplicates(["folder", "filename"]).reset_index(drop=True)
    if table.empty:
        raise ValueError(f"ieee8023: {sheet} lists no frontal radiograph; left out: {dict(skipped)}.")
    images = [root / folder / name for folder, name in zip(table["folder"], table["filename"], strict=True)]
    _refuse_faults(table, images, sheet)
    rows = pd.DataFrame(
        {
            "image_id": unique_ids(images, root),
            "path": [str(image) for image in images],
            "label": table["finding"].map(label_of),
            "patient_id": table["patientid"].str.strip(),
            "split": "",
            "patients_known": "yes",
            **{name: table[name] for name in FREE_COLUMNS if name in table.columns},
        }
    )
    return rows_table(rows.to_dict("records"), skipped)


def _refuse_faults(table: pd.DataFrame, images: list[Path], sheet: Path) -> None:
    """Raise one error that lists absent files and rows without patient or finding."""
    faults = [f"{image.name}: file not found" for image in images if not image.is_file()]
    for column in ("patientid", "finding"):
        faults += [f"{name}: empty {column}" for name in table.loc[table[column].str.strip() == "", "filename"]]
    if faults:
        raise ValueError(
            f"ieee8023: {len(faults)} rows of {sheet} cannot be used: {'; '.join(faults[:5])}"
            f"{' …' if len(faults) > 5 else ''}. Complete the folder, or remove these rows from metadata.csv."
        )


SOURCE = Source(
    name="ieee8023",
    read=read,
    description="covid-chestxray-dataset, Cohen 2020: metadata.csv and images/, frontal radiographs",
    foreign_labels="skip",
)
