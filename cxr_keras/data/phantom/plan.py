"""Who is in a phantom set: patients, images, labels, the official split, and the faults planted on request."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from difflib import get_close_matches
from typing import Any

import numpy as np
import pandas as pd

PATTERNS_OF_LABEL: dict[str, dict[str, tuple[str, ...]]] = {
    "binary": {"normal": ("normal",), "pneumonia": ("bacterial", "viral")},
    "three": {"normal": ("normal",), "bacterial": ("bacterial",), "viral": ("viral",)},
    "four": {"bacterial": ("bacterial",), "covid19": ("covid19",), "normal": ("normal",), "viral": ("viral",)},
}
"""By label scheme: the classes, and the patterns of disease that a class is drawn from, patient by patient in turn."""

MAX_IMAGES_PER_PATIENT = 4
TEST_SHARE = 0.25
"""Share of the patients of each class in the official test part."""

FAULTS_SEED, PLAN_SEED = 7_001, 7_002
"""Second words of the seeds, so that planting a fault changes nothing else in the set."""


@dataclass(frozen=True)
class Faults:
    """Faults that a data audit must find, planted on request; the default plants none.

    Attributes:
        patients_in_two_splits: number of patients whose last image goes to the other official part.
        copied_files: number of files that appear a second time, byte for byte, under another patient of the same label.
        marker_class: label whose images all carry a bright letter in the upper corner at image right, or None.
        compression_class: label whose images are compressed harder than all others, or None.
        wrong_labels: share of the images, in [0, 1), whose label is another class's; column `true_label` keeps the right one.
    """

    patients_in_two_splits: int = 0
    copied_files: int = 0
    marker_class: str | None = None
    compression_class: str | None = None
    wrong_labels: float = 0.0


def make_plan(patients_per_class: int | Mapping[str, int], *, labels: str, seed: int, faults: Faults | None = None) -> pd.DataFrame:
    """List the images of a phantom set.

    Args:
        patients_per_class: number of patients of every class, or by class name.
        labels: "binary", "three" or "four".
        seed: of the whole set.
        faults: what to plant, or None.

    Returns:
        One row an image: image_id, patient_id, label, true_label, pattern, split ("train" or "test"), patient (int, seed of
        the anatomy), image (int, number within the patient), copy_of (image_id or ""), fault (names joined by ";", or "").

    Raises:
        ValueError: unknown scheme or class, or numbers out of range; all of them in one message.
    """
    faults = faults or Faults()
    counts = check_settings(patients_per_class, labels=labels, faults=faults)
    rng = np.random.default_rng([seed, PLAN_SEED])
    rows: list[dict[str, Any]] = []
    patient = 0
    for label, count in counts.items():
        patterns = PATTERNS_OF_LABEL[labels][label]
        n_test = max(1, round(TEST_SHARE * count)) if count > 1 else 0
        in_test = set(rng.permutation(count)[:n_test].tolist())
        for i in range(count):
            patient_id = f"p{patient:05d}"
            for image in range(int(rng.integers(1, MAX_IMAGES_PER_PATIENT + 1))):
                rows.append(
                    {
                        "image_id": f"{patient_id}-{image}",
                        "patient_id": patient_id,
                        "label": label,
                        "true_label": label,
                        "pattern": patterns[i % len(patterns)],
                        "split": "test" if i in in_test else "train",
                        "patient": patient,
                        "image": image,
                        "copy_of": "",
                        "fault": "",
                    }
                )
            patient += 1
    return plant_faults(pd.DataFrame(rows), faults, seed=seed)


def check_settings(patients_per_class: int | Mapping[str, int], *, labels: str, faults: Faults) -> dict[str, int]:
    """Return the number of patients by class, or say everything that is wrong in one ValueError."""
    if labels not in PATTERNS_OF_LABEL:
        raise ValueError(f"labels={labels!r} is no label scheme of the phantom.{_nearest(labels, list(PATTERNS_OF_LABEL))}")
    classes = list(PATTERNS_OF_LABEL[labels])
    problems = []
    given = dict(patients_per_class) if isinstance(patients_per_class, Mapping) else dict.fromkeys(classes, patients_per_class)
    for name in given:
        if name not in classes:
            problems.append(f"patients_per_class names {name!r}, no class of the scheme {labels!r}.{_nearest(name, classes)}")
        elif given[name] < 1:
            problems.append(f"patients_per_class gives {given[name]} patients to {name!r}; each class needs at least 1.")
    problems += [f"patients_per_class says nothing of {name!r}; give it a number too." for name in classes if name not in given]
    for field in ("marker_class", "compression_class"):
        name = getattr(faults, field)
        if name is not None and name not in classes:
            problems.append(f"faults.{field}={name!r} is no class of the scheme {labels!r}.{_nearest(name, classes)}")
    for field in ("patients_in_two_splits", "copied_files"):
        if getattr(faults, field) < 0:
            problems.append(f"faults.{field}={getattr(faults, field)} must be 0 or more.")
    if not 0 <= faults.wrong_labels < 1:
        problems.append(f"faults.wrong_labels={faults.wrong_labels} is a share of the images and must lie in [0, 1).")
    if problems:
        raise ValueError("The phantom cannot be made:\n" + "\n".join(f"- {problem}" for problem in problems))
    return {name: int(given[name]) for name in classes}


def _nearest(name: str, known: list[str]) -> str:
    close = get_close_matches(name, known, n=1)
    meant = f" Did you mean {close[0]!r}?" if close else ""
    return f"{meant} Known: {', '.join(known)}."


def plant_faults(plan: pd.DataFrame, faults: Faults, *, seed: int) -> pd.DataFrame:
    """Plant the faults that the plan can hold; marker and compression are only noted here and drawn with the image.

    Raises:
        ValueError: more faults asked for than there are patients or files for them.
    """
    rng = np.random.default_rng([seed, FAULTS_SEED])
    plan = plan.copy()
    for field, fault in (("marker_class", "marker"), ("compression_class", "compression")):
        name = asdict(faults)[field]
        _note(plan, plan.index[plan["label"] == name], fault)
    plan = _split_patients(plan, faults.patients_in_two_splits, rng)
    plan = _copy_files(plan, faults.copied_files, rng)
    return _mislabel(plan, faults.wrong_labels, rng)


def _note(plan: pd.DataFrame, rows: pd.Index, fault: str) -> None:
    plan.loc[rows, "fault"] = [f"{former};{fault}" if former else fault for former in plan.loc[rows, "fault"]]


def _split_patients(plan: pd.DataFrame, count: int, rng: np.random.Generator) -> pd.DataFrame:
    images = plan.groupby("patient_id").size()
    able = images.index[images > 1].to_numpy()
    if count > len(able):
        raise ValueError(
            f"faults.patients_in_two_splits={count}, but only {len(able)} patients have two images or more: ask for fewer "
            f"or raise patients_per_class."
        )
    for patient_id in rng.permutation(able)[:count]:
        rows = plan.index[plan["patient_id"] == patient_id]
        plan.loc[rows[-1], "split"] = "train" if plan.loc[rows[-1], "split"] == "test" else "test"
        _note(plan, rows, "patient_in_two_splits")
    return plan


def _copy_files(plan: pd.DataFrame, count: int, rng: np.random.Generator) -> pd.DataFrame:
    """Give files to a second patient of the same label, in the other official part where there is one."""
    if count > len(plan):
        raise ValueError(f"faults.copied_files={count}, but there are only {len(plan)} files: ask for fewer.")
    copies: list[dict[Any, Any]] = []
    for source in rng.permutation(len(plan))[:count]:
        original = plan.loc[source]
        others = plan[(plan["label"] == original["label"]) & (plan["patient_id"] != original["patient_id"])]
        if others.empty:
            raise ValueError(f"faults.copied_files needs two patients or more in every class; {original['label']!r} has one.")
        across = others[others["split"] != original["split"]]
        receiver = (others if across.empty else across).sample(1, random_state=int(rng.integers(2**31))).iloc[0]
        taken = sum(row["patient_id"] == receiver["patient_id"] for row in copies)
        copy = original.to_dict() | {
            "image_id": f"{receiver['patient_id']}-copy{taken}",
            "patient_id": receiver["patient_id"],
            "split": receiver["split"],
            "copy_of": original["image_id"],
        }
        copies.append(copy)
        _note(plan, pd.Index([source]), "copied_file")
        copy["fault"] = plan.loc[source, "fault"]
    return pd.concat([plan, pd.DataFrame(copies, columns=plan.columns)], ignore_index=True) if copies else plan


def _mislabel(plan: pd.DataFrame, share: float, rng: np.random.Generator) -> pd.DataFrame:
    """Give images the label of another class; copied files are left alone, as two labels on one file are another fault."""
    able = plan.index[~plan["fault"].str.contains("copied_file")].to_numpy()
    rows = pd.Index(rng.permutation(able)[: round(share * len(plan))])
    classes = sorted(set(plan["label"]))
    for row in rows:
        plan.loc[row, "label"] = rng.choice([name for name in classes if name != plan.loc[row, "label"]])
    _note(plan, rows, "wrong_label")
    return plan
