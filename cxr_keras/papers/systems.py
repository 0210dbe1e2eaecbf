"""The systems of the papers and their figures, read from one YAML file a paper."""

from __future__ import annotations

import difflib
import functools
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any, Literal

import yaml

PAPERS = ("laban", "bozickovic", "zhou", "chapin")
"""One `<name>.yaml` each, in the order of listings."""

YARDSTICKS_FILE = "yardsticks.yaml"

Part = Literal["random_split", "folds", "official", "official_halves"]
Role = Literal["held_out", "optimistic", "chosen_on"]


@dataclass(frozen=True)
class Figure:
    """One number as a paper prints it.

    Attributes:
        metric: "accuracy", "macro_f1", "auroc", …, or of one class "precision", "sensitivity", "f1".
        of_class: the class it is of, against the rest; "" for a figure of all classes.
        printed: as it stands in the paper, "87.75%" or "0.95".
        shown: the same as a share of 1, with the paper's digits: "0.8775" or "0.95".
        value: 0 to 1; `None` where the paper prints a range.
        low: the least value that is printed so; for .95 it is .945.
        high: the highest value that is printed so.
    """

    metric: str
    of_class: str
    printed: str
    shown: str
    value: float | None
    low: float
    high: float


@dataclass(frozen=True)
class Reported:
    """The figures of one system under one evaluation.

    Attributes:
        evaluation: its name, e.g. "held_out_quarter".
        description: what was scored, with the section.
        part: how the scored images were set apart.
        role: "held_out"; "optimistic" where images that chose the number of epochs are scored again; "chosen_on" where the epoch was
            chosen on the very images.
        split_by: "image", "not stated" or "official folders".
        images: number of scored images; `None` if not printed.
        images_by_class: class to number of scored images; empty if not printed.
        aggregate: "pooled", or "mean_of_folds".
        average: over what the scores of classes are averaged.
        note: what a reader must know of these figures, or "".
        source: table or section.
        figures: the numbers.
    """

    evaluation: str
    description: str
    part: Part
    role: Role
    split_by: str
    images: int | None
    images_by_class: Mapping[str, int]
    aggregate: Literal["pooled", "mean_of_folds"]
    average: str
    note: str
    source: str
    figures: tuple[Figure, ...]


@dataclass(frozen=True)
class System:
    """One system of one paper.

    Attributes:
        name: e.g. "laban/mini_vgg"; a config names it as `paper`.
        title: one line.
        citation: authors and title of the paper.
        data: readers of the paper's image sets, in this project's words.
        model: architecture, in this project's words.
        params: parameters of the architecture that the paper settles.
        strategy: training strategy; "" where the paper's is none of this project's.
        weights: "random" or "imagenet".
        classes: the classes, sorted.
        image_size: side of the square images, pixels.
        epochs: epochs that the paper trained, at least; `None` if not printed.
        patience: epochs without improvement after which the paper stopped; `None` if it did not stop early.
        not_stated: settings that the paper does not print, so that this project had to choose them.
        note: a remark on the system, or "".
        reported: its figures; empty where the paper prints none.
    """

    name: str
    title: str
    citation: str
    data: tuple[str, ...]
    model: str
    params: Mapping[str, str]
    strategy: str
    weights: str
    classes: tuple[str, ...]
    image_size: int
    epochs: int | None
    patience: int | None
    not_stated: tuple[str, ...]
    note: str
    reported: tuple[Reported, ...]


@dataclass(frozen=True)
class Yardstick:
    """A figure of somebody else.

    Attributes:
        who: whose figure.
        weights: "random", "imagenet" or "not stated".
        accuracy: as printed, or "".
        auroc: as printed, or "".
    """

    who: str
    weights: str
    accuracy: str
    auroc: str


@dataclass(frozen=True)
class Yardsticks:
    """Figures of others on one test set.

    Attributes:
        description: what was scored.
        classes: the classes, sorted.
        images: number of images.
        rows: the figures.
    """

    description: str
    classes: tuple[str, ...]
    images: int
    rows: tuple[Yardstick, ...]


def list_systems() -> list[str]:
    """Names of all systems, paper by paper."""
    return list(_systems())


def get_system(name: str) -> System:
    """Look a system up by its name.

    Raises:
        ValueError: there is none of that name; the message lists the nearest ones or those of the paper.
    """
    known = _systems()
    if name in known:
        return known[name]
    paper, _, rest = str(name).rpartition("/")
    tails = {entry.rpartition("/")[2]: entry for entry in known if not paper or paper not in PAPERS or entry.startswith(f"{paper}/")}
    if near := difflib.get_close_matches(rest, tails, n=1):
        hint = f" Did you mean {tails[near[0]]!r}?"
    elif paper in PAPERS:
        hint = f" Those of {paper}: {', '.join(tails.values())}."
    else:
        hint = f" Expected PAPER/SYSTEM with a paper of {', '.join(PAPERS)}, for example {next(iter(known))!r}."
    raise ValueError(f"No paper has a system {name!r}.{hint}")


@functools.cache
def yardsticks() -> Yardsticks:
    """Figures of others on the official test folder, normal against pneumonia."""
    content = _read(YARDSTICKS_FILE)
    rows = tuple(Yardstick(row["who"], row["weights"], row.get("accuracy", ""), row.get("auroc", "")) for row in content["rows"])
    return Yardsticks(content["description"], tuple(content["classes"]), int(content["images"]), rows)


@functools.cache
def _systems() -> dict[str, System]:
    systems = {}
    for paper in PAPERS:
        content = _read(f"{paper}.yaml")
        for name, entry in content["systems"].items():
            systems[f"{paper}/{name}"] = _system(f"{paper}/{name}", entry, content)
    return systems


def _read(name: str) -> Any:
    # BaseLoader leaves every value as text, and so every printed zero in its place.
    return yaml.load(resources.files(__package__).joinpath(name).read_text(encoding="utf-8"), Loader=yaml.BaseLoader)


def _system(name: str, entry: dict[str, Any], paper: dict[str, Any]) -> System:
    return System(
        name=name,
        title=entry["title"],
        citation=paper["citation"],
        data=tuple(paper["data"]),
        model=entry["model"],
        params=entry.get("params", {}),
        strategy=entry.get("strategy", ""),
        weights=entry["weights"],
        classes=tuple(entry["classes"]),
        image_size=int(entry["image_size"]),
        epochs=_whole(entry.get("epochs")),
        patience=_whole(entry.get("patience")),
        not_stated=tuple(entry.get("not_stated", paper.get("not_stated", ()))),
        note=entry.get("note", ""),
        reported=tuple(_reported(block, paper["evaluations"][block["evaluation"]]) for block in entry.get("figures", ())),
    )


def _reported(block: dict[str, Any], evaluation: dict[str, Any]) -> Reported:
    figures = [_figure(metric, "", printed) for metric, printed in block.get("overall", {}).items()]
    for label, scores in block.get("per_class", {}).items():
        figures += [_figure(metric, label, printed) for metric, printed in scores.items()]
    return Reported(
        evaluation=block["evaluation"],
        description=evaluation["description"],
        part=evaluation["part"],
        role=evaluation["role"],
        split_by=evaluation["split_by"],
        images=_whole(evaluation.get("images")),
        images_by_class={label: int(count) for label, count in evaluation.get("images_by_class", {}).items()},
        aggregate=evaluation["aggregate"],
        average=evaluation["average"],
        note=evaluation.get("note", ""),
        source=block["source"],
        figures=tuple(figures),
    )


def _figure(metric: str, label: str, printed: str) -> Figure:
    """One figure; "50% to 84%" is a range."""
    ends = [_number(text) for text in printed.split(" to ")]
    return Figure(
        metric=metric,
        of_class=label,
        printed=printed,
        shown=" to ".join(f"{value:.{decimals}f}" for value, decimals in ends),
        value=ends[0][0] if len(ends) == 1 else None,
        low=min(value - 0.5 * 10.0**-decimals for value, decimals in ends),
        high=max(value + 0.5 * 10.0**-decimals for value, decimals in ends),
    )


def _number(text: str) -> tuple[float, int]:
    """A printed number as a share of 1, and its decimals as such."""
    digits = text.removesuffix("%")
    percent = digits != text
    decimals = len(digits.partition(".")[2]) + 2 * percent
    # Rounded, because 81.85 / 100 is not .8185 in the last bit.
    return round(float(digits) / (100 if percent else 1), decimals), decimals


def _whole(text: str | None) -> int | None:
    return None if text is None else int(text)
