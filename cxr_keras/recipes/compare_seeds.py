"""A folder of seeds in a comparison: one recipe trained several times, whose seeds are repeats and no rivals."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from cxr_keras.evaluation import read_predictions, score_predictions
from cxr_keras.evaluation.intervals import DRAWS
from cxr_keras.recipes.finished_runs import FinishedRun, short_names
from cxr_keras.recipes.over_seeds import ENSEMBLE_FILE, SUMMARY, ensemble_provenance, seeds_table
from cxr_keras.reporting.sections import Section
from cxr_keras.reporting.tables import Table, label_of
from cxr_keras.runs.files import read_json


def families_of(runs: Sequence[FinishedRun]) -> dict[Path, list[FinishedRun]]:
    """The runs that were given as a folder of seeds, by that folder."""
    found: dict[Path, list[FinishedRun]] = {}
    for run in runs:
        if run.seeds_of is not None:
            found.setdefault(run.seeds_of, []).append(run)
    return found


def names_of_families(folders: Iterable[Path]) -> dict[Path, str]:
    """What folders of seeds are called: the last part of each path, and more of them where that is not enough to tell them apart."""
    listed = list(folders)
    return dict(zip(listed, short_names(listed), strict=True))


def rivals_of(runs: Sequence[FinishedRun], names: Mapping[Path, str], *, draws: int | None, seed: int) -> list[FinishedRun]:
    """What is tested against each other: single runs, and of each folder of seeds the ensemble, in the order of `runs`.

    Args:
        runs: of one comparison.
        names: of the folders of seeds.
        draws: bootstrap resamples for the scores of ensembles.
        seed: of the resamples.

    Returns:
        The runs. A folder of seeds that scored different images has no ensemble, and gives none.
    """
    rivals: list[FinishedRun] = []
    done: set[Path] = set()
    for run in runs:
        if run.seeds_of is None:
            rivals.append(run)
        elif run.seeds_of not in done:
            done.add(run.seeds_of)
            path = run.seeds_of / ENSEMBLE_FILE
            if path.is_file():
                members = [other for other in runs if other.seeds_of == run.seeds_of]
                rivals.append(_ensemble(members, path, name=names[run.seeds_of], draws=draws or DRAWS, seed=seed))
    return rivals


def _ensemble(members: Sequence[FinishedRun], path: Path, *, name: str, draws: int, seed: int) -> FinishedRun:
    predictions = read_predictions(path)
    first = members[0]
    if "sha256" in first.predictions:
        digests = first.predictions.set_index("image_id")["sha256"]
        predictions["sha256"] = predictions["image_id"].map(digests)
    return replace(
        first,
        name=f"{name}, ensemble of {len(members)} seeds",
        folder=path.parent,
        scores=score_predictions(predictions, draws=draws, seed=seed),
        provenance=ensemble_provenance([run.provenance for run in members]),
        predictions=predictions,
        system=None,
        validation=None,
        seeds_of=None,
    )


def over_seeds_section(folder: Path, name: str, members: Sequence[FinishedRun]) -> tuple[list[dict[str, Any]], Section]:
    """Rows and section of every score over the seeds of a folder: mean, standard deviation, ensemble."""
    summary = read_json(folder / SUMMARY)
    rows = [
        {"kind": "seeds", "run": name, "score": score, "pooled": spread["mean"], "sd": spread["standard_deviation"]}
        for score, spread in summary["over_seeds"].items()
    ]
    table = seeds_table([int(seed) for seed in summary["seeds"]], summary)
    remark = "Seeds are repeats of one recipe, so none is tested against another; " + (
        "a test against other runs takes their ensemble."
        if summary["ensemble"]
        else "they scored different images, so there is no ensemble, and nothing is tested against other runs."
    )
    return rows, Section(f"{name} over seeds", tables=(table,), remarks=(remark,), phantom=members[0].conditions.phantom)


def paper_over_seeds(name: str, rows: Sequence[Mapping[str, Any]], *, phantom: bool) -> list[Section]:
    """Tabulate the seeds of a folder beside each set of figures of their paper.

    Args:
        name: of the folder of seeds.
        rows: those of kind "paper" of all its runs.
        phantom: whether the images are drawn.
    """
    sections = []
    for system, evaluation in dict.fromkeys((row["system"], row["evaluation"]) for row in rows):
        mine = [row for row in rows if (row["system"], row["evaluation"]) == (system, evaluation)]
        runs = list(dict.fromkeys(row["run"] for row in mine))
        body = []
        for score, of_class in dict.fromkeys((row["score"], row["class"]) for row in mine):
            found = [row for row in mine if (row["score"], row["class"]) == (score, of_class)]
            values = [row["ours"] for row in found if row["ours"] is not None]
            spread = f" ± {statistics.stdev(values):.3f}" if len(values) > 1 else ""
            mean = f"{statistics.fmean(values):.3f}{spread}" if values else "n/a"
            inside = sum(row["inside"] is True for row in found)
            label = f"{label_of(score)}, {of_class}" if of_class else label_of(score)
            own = (f"{row['ours']:.3f}" if row["ours"] is not None else "n/a" for row in found)
            body.append((label, *own, mean, found[0]["paper_shown"], f"{inside} of {len(found)}"))
        header = ("score", *runs, f"mean ± sd of {len(runs)} seeds", "paper", "paper in our interval")
        reasons = dict.fromkeys(reason for row in mine for reason in row["reasons"].split("; ") if reason)
        sections.append(
            Section(
                f"{name} beside {system} ({evaluation.replace('_', ' ')})",
                lead="Comparable: no." if reasons else "Comparable: yes, by all that the paper states.",
                points=tuple(reasons),
                tables=(Table("Figure by figure, over seeds", header, tuple(body)),),
                phantom=phantom,
            )
        )
    return sections
