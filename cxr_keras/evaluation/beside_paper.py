"""A run's scores beside the figures of the paper that it rebuilds: number by number, and whether the two may be compared at all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cxr_keras.papers import Figure, Reported, System


@dataclass(frozen=True)
class Conditions:
    """What a run's figures were obtained under, as far as it decides whether they may be compared.

    Attributes:
        classes: names of the classes.
        phantom: whether drawn images are among the run's.
        permuted_labels: whether labels were exchanged between patients (negative control).
        patients_known: whether the images' patients are known, so that no patient crosses the split.
        part: how the scored images were set apart: "random_split", "folds", "official" or "official_halves".
        sources: readers of the images.
        image_size: height and width, pixels.
        model: architecture.
        params: parameters of the architecture.
        strategy: training strategy.
        weights: "random", "imagenet", or the name of a weights file.
        epochs: epochs trained in the fold that trained fewest, all phases together; `None` if not recorded.
        patience: least number of epochs without improvement after which a phase stops; `None` without early stopping.
        optimistic: whether images that chose the number of epochs are scored too.
        changed: settings that differ from those of the shipped config of the same system, "key value (shipped value)".
    """

    classes: tuple[str, ...]
    phantom: bool
    permuted_labels: bool
    patients_known: bool
    part: str
    sources: tuple[str, ...]
    image_size: tuple[int, int]
    model: str
    params: Mapping[str, Any]
    strategy: str
    weights: str
    epochs: int | None
    patience: int | None
    optimistic: bool
    changed: tuple[str, ...]


@dataclass(frozen=True)
class Beside:
    """One figure of a paper beside the run's.

    Attributes:
        metric: e.g. "macro_f1", or of one class "precision".
        of_class: the class, or "".
        ours: the run's score as the paper computes it, 0 to 1; `None` where undefined.
        pooled: the run's score over all scored images at once.
        low: low end of its 95 % interval over patients.
        high: high end.
        paper: the paper's figure; `None` for a range.
        difference: ours minus the paper's.
        inside: whether some value that is printed as the paper's figure lies in [low, high]; `None` without an interval.
    """

    metric: str
    of_class: str
    ours: float | None
    pooled: float | None
    low: float | None
    high: float | None
    paper: float | None
    difference: float | None
    inside: bool | None


def beside_paper(scores: Mapping[str, Any], reported: Reported) -> list[Beside]:
    """Set a run's scores beside the figures of a paper.

    Args:
        scores: from `score_predictions`, of the same classes as the figures.
        reported: the figures.

    Returns:
        A row a figure, in the paper's order. "Ours" is the mean over the folds where the paper's is, else the pooled score.
    """
    return [_row(scores, figure, mean_of_folds=reported.aggregate == "mean_of_folds") for figure in reported.figures]


def _row(scores: Mapping[str, Any], figure: Figure, *, mean_of_folds: bool) -> Beside:
    pooled, folds = scores["scores"], scores["folds"]["scores"]
    if figure.of_class:
        pooled, folds = scores["per_class"][figure.of_class], scores["folds"]["per_class"][figure.of_class]
    entry = pooled[figure.metric]
    ours = folds[figure.metric]["mean"] if mean_of_folds else entry["value"]
    low, high = entry["low"], entry["high"]
    return Beside(
        metric=figure.metric,
        of_class=figure.of_class,
        ours=ours,
        pooled=entry["value"],
        low=low,
        high=high,
        paper=figure.value,
        difference=None if ours is None or figure.value is None else ours - figure.value,
        inside=None if low is None or high is None else figure.low <= high and figure.high >= low,
    )


def why_not_comparable(run: Conditions, system: System, reported: Reported, *, images: int) -> list[str]:
    """List what makes a run's figures and a paper's two different things; none, and they may be compared.

    Args:
        run: the run's conditions.
        system: what the run rebuilds.
        reported: the paper's figures, with their conditions.
        images: number of images that the run scored.

    Returns:
        Reasons, a phrase each, the gravest first.
    """
    return [
        *_of_images(run, system),
        *_of_network(run, system),
        *_of_split(run, system, reported, images=images),
        *([f"settings unlike the shipped config: {_first(run.changed)}"] if run.changed else []),
    ]


def _of_images(run: Conditions, system: System) -> list[str]:
    reasons = []
    if run.phantom:
        reasons.append("drawn phantoms, no X-rays")
    if run.permuted_labels:
        reasons.append("labels permuted between patients (negative control)")
    if set(run.classes) != set(system.classes):
        reasons.append(f"classes {', '.join(run.classes)}, the paper's {', '.join(system.classes)}")
    if not run.phantom and set(run.sources) != set(system.data):
        reasons.append(f"other images: {' + '.join(run.sources)}, the paper's {' + '.join(system.data)}")
    return reasons


def _of_network(run: Conditions, system: System) -> list[str]:
    reasons = []
    if run.model != system.model:
        reasons.append(f"architecture {run.model}, the paper's {system.model}")
    for key, value in system.params.items():
        if key in run.params and str(run.params[key]) != value:
            reasons.append(f"{key} {run.params[key]}, the paper's {value}")
    if system.strategy and run.strategy != system.strategy:
        reasons.append(f"strategy {run.strategy}, the paper's {system.strategy}")
    if run.weights != system.weights:
        reasons.append(f"{_weights(run.weights)}, the paper's {_weights(system.weights)}")
    if tuple(run.image_size) != (system.image_size, system.image_size):
        height, width = run.image_size
        reasons.append(f"{height}x{width} pixels, the paper's {system.image_size}x{system.image_size}")
    if system.epochs is not None and run.epochs is not None and run.epochs < system.epochs:
        reasons.append(f"{run.epochs} epochs, fewer than the paper's {system.epochs}")
    if system.patience is not None and (run.patience is None or run.patience < system.patience):
        own = f"stopped after {run.patience} epochs without improvement" if run.patience is not None else "no early stopping"
        trained = f" ({run.epochs} epochs)" if run.epochs is not None else ""
        reasons.append(f"{own}{trained}, the paper's patience is {system.patience}")
    return reasons


def _of_split(run: Conditions, system: System, reported: Reported, *, images: int) -> list[str]:
    reasons = []
    if run.part != reported.part:
        reasons.append(f"scored on {PARTS.get(run.part, run.part)}, the paper on {PARTS[reported.part]}")
    if run.patients_known and reported.split_by == "image":
        reasons.append("split by patient, the paper's by image")
    if run.patients_known and reported.split_by == "not stated":
        reasons.append("split by patient, the paper does not say by what")
    if not run.patients_known and reported.split_by == "official folders":
        reasons.append("patients not known, overlap not excluded")
    if reported.images is not None and images != reported.images:
        reasons.append(f"{images:,} images scored, the paper {reported.images:,}")
    if reported.role == "optimistic" and not run.optimistic:
        reasons.append("the paper chose its epochs on images that it scored again (optimistic), this run did not")
    if reported.role == "held_out" and run.optimistic:
        reasons.append("this run chose its epochs on images that it scored again (optimistic), the paper did not")
    return reasons


PARTS = {
    "random_split": "one random split",
    "folds": "cross-validation folds",
    "official": "the official test folder",
    "official_halves": "half of the official test folder",
}
"""Words for the kinds of `part`."""


def _weights(name: str) -> str:
    words = {"random": "random weights", "imagenet": "ImageNet weights"}
    return words.get(name, f"weights of the file {name}")


def _first(changed: tuple[str, ...], most: int = 4) -> str:
    further = len(changed) - most
    return ", ".join(changed[:most]) + (f" and {further} more" if further > 0 else "")
