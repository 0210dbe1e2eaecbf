"""`cxr compare`: finished runs beside the papers that they rebuild, and beside each other."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from cxr_keras.evaluation import class_names, score_predictions
from cxr_keras.evaluation.beside_paper import Beside, beside_paper, why_not_comparable
from cxr_keras.evaluation.gap import take_gap_apart
from cxr_keras.evaluation.intervals import DRAWS
from cxr_keras.evaluation.paired import (
    PAIRED_DEFINITIONS,
    Difference,
    check_draws,
    check_same_classes,
    draws_for,
    paired_differences,
    why_unpaired,
)
from cxr_keras.papers import Figure, System
from cxr_keras.recipes.compare_seeds import families_of, names_of_families, over_seeds_section, paper_over_seeds, rivals_of
from cxr_keras.recipes.compare_yardsticks import beside_yardsticks
from cxr_keras.recipes.finished_runs import FinishedRun, read_runs
from cxr_keras.recipes.wrong_together import FILE as WRONG_TOGETHER_FILE
from cxr_keras.recipes.wrong_together import wrong_together
from cxr_keras.reporting.comparison import (
    comparison_markdown,
    comparison_text,
    gap_section,
    paired_section,
    paper_section,
)
from cxr_keras.reporting.page import render_page
from cxr_keras.reporting.sections import PHANTOM_REMARK, PHANTOM_TITLE, Section
from cxr_keras.reporting.tables import headline_table
from cxr_keras.runs.directory import refuse_file
from cxr_keras.runs.files import write_csv, write_text

TITLE = "Comparison of runs"

COLUMNS = (
    *("kind", "run", "against", "system", "evaluation", "source", "score", "class"),
    *("ours", "theirs", "pooled", "low", "high", "sd", "paper", "paper_printed", "paper_shown", "paper_low", "paper_high", "inside"),
    *("difference", "p", "p_holm", "one_image", "verdict", "comparable", "reasons"),
    *("data", "pixels", "n", "patients", "epochs", "seeds", "weights", "phantom"),
)
"""Columns of `comparison.csv`; each kind of row fills some of them."""

LEFT_OUT = ("training",)
"""Of a run's provenance: how long it took says nothing about its figures."""


def compare(
    folders: Sequence[str | Path],
    *,
    out: str | Path | None = None,
    paper: str | None = None,
    all_pairs: bool = False,
    draws: int | None = None,
    seed: int = 0,
) -> pd.DataFrame:
    """Compare finished runs with the papers' figures and with each other; print it and write `comparison.{md,csv,html}`.

    Where several runs are of the same images, `wrong_together.csv` lists those that most of them miss and the labels that look wrong.

    Args:
        folders: run directories, or folders of several runs (a grid). The first run is the one that others are held against. A folder of
            seeds stands for one recipe: mean and spread beside the paper, and its ensemble in tests against other runs.
        out: folder of the results; by default `comparison` beside the first run.
        paper: system for runs whose config names none, e.g. "laban/mini_vgg".
        all_pairs: compare every run with every earlier one instead of with the first only.
        draws: bootstrap resamples; by default 2,000, for the differences more where many of them need it.
        seed: their seed.

    Returns:
        All figures, a row each, with the columns `COLUMNS`.

    Raises:
        ValueError: a run is missing, unfinished or no run, a system is unknown, the runs are of different classes, or `out` is a file.
    """
    folder = Path(out) if out is not None else _default_folder(folders[0])
    refuse_file(folder, option="--out")
    table, sections, missed = compare_runs(read_runs(folders, paper=paper), all_pairs=all_pairs, draws=draws, seed=seed)
    _write(table, sections, folder, missed=missed)
    return table


def compare_runs(
    runs: Sequence[FinishedRun], *, all_pairs: bool = False, draws: int | None = None, seed: int = 0
) -> tuple[pd.DataFrame, list[Section], pd.DataFrame | None]:
    """Compare runs that were read, without writing anything; see `compare`.

    Returns:
        All figures with the columns `COLUMNS`, the sections that show them, and the images that most runs miss (None for one run).
    """
    check_same_classes({run.name: run.predictions for run in runs})
    rows: list[dict[str, Any]] = []
    sections: list[Section] = []
    missed: list[pd.DataFrame] = []
    for phantom in (False, True):
        members = [run for run in runs if run.conditions.phantom == phantom]
        if not members:
            continue
        families = families_of(members)
        names = names_of_families(families)
        rivals = rivals_of(members, names, draws=draws, seed=seed)
        shown = [*members, *(run for run in rivals if run not in members)]
        sections.append(_headline(shown, phantom=phantom))
        rows += [row for run in shown for row in _run_rows(run)]
        for folder, of_seeds in families.items():
            found, over_seeds = over_seeds_section(folder, names[folder], of_seeds)
            beside_of_seeds = [row for run in of_seeds for row in _paper_rows(run, draws=draws, seed=seed)]
            rows += found + beside_of_seeds
            sections += [over_seeds, *paper_over_seeds(names[folder], beside_of_seeds, phantom=phantom)]
        for run in members:
            if run.system is not None and run.seeds_of is None:
                found, beside = _beside_paper(run, run.system, draws=draws, seed=seed)
                rows += found
                sections += beside
        if len(rivals) > 1:
            found, beside = _pairs(rivals, all_pairs=all_pairs, draws=draws, seed=seed)
            rows += found
            sections += beside
        if together := wrong_together(members):
            missed.append(together[0])
            sections.append(together[1])
        if not phantom and (others := beside_yardsticks(shown)):
            rows += others[0]
            sections.append(others[1])
    if unnamed := ", ".join(run.name for run in runs if run.system is None):
        remark = f"{unnamed}: the config names no system of a paper. Name one with --paper, for example --paper laban/mini_vgg."
        sections.append(Section("Without a paper", remarks=(remark,)))
    return pd.DataFrame(rows, columns=list(COLUMNS)), sections, pd.concat(missed) if missed else None


def paper_sections(run: FinishedRun, *, draws: int | None = None, seed: int = 0) -> list[Section]:
    """Set a run beside every set of figures that its paper prints; empty where its config names no system."""
    return [] if run.system is None else _beside_paper(run, run.system, draws=draws, seed=seed)[1]


def _paper_rows(run: FinishedRun, *, draws: int | None, seed: int) -> list[dict[str, Any]]:
    return [] if run.system is None else _beside_paper(run, run.system, draws=draws, seed=seed)[0]


def _default_folder(first: str | Path) -> Path:
    return Path(first).expanduser().resolve().parent / "comparison"


def _write(table: pd.DataFrame, sections: Sequence[Section], folder: Path, *, missed: pd.DataFrame | None) -> None:
    write_csv(folder / "comparison.csv", table)
    if missed is not None:
        write_csv(folder / WRONG_TOGETHER_FILE, missed)
    else:
        (folder / WRONG_TOGETHER_FILE).unlink(missing_ok=True)  # an earlier comparison's
    write_text(folder / "comparison.md", comparison_markdown(sections, title=TITLE))
    write_text(folder / "comparison.html", render_page(sections, title=TITLE))
    print(comparison_text(sections))
    further = "" if missed is None else f", {WRONG_TOGETHER_FILE}"
    print(f"Written to {folder}: comparison.md, comparison.csv, comparison.html{further}")


def _headline(runs: Sequence[FinishedRun], *, phantom: bool) -> Section:
    shown = [(run.name, run.scores, {key: text for key, text in run.provenance.items() if key not in LEFT_OUT}) for run in runs]
    return Section(
        PHANTOM_TITLE if phantom else "Runs", lead=PHANTOM_REMARK if phantom else "", tables=(headline_table(shown),), phantom=phantom
    )


def _provenance(run: FinishedRun, scores: dict[str, Any] | None = None) -> dict[str, Any]:
    """What stands in every row beside its figure."""
    scores = scores or run.scores
    told = {key: run.provenance.get(key, "not stated") for key in ("data", "pixels", "epochs", "seeds", "weights")}
    return told | {"n": scores["n_images"], "patients": scores["n_groups"], "phantom": run.conditions.phantom}


def _run_rows(run: FinishedRun) -> list[dict[str, Any]]:
    return [
        {"kind": "run", "run": run.name, "score": name, "pooled": entry["value"], "low": entry["low"], "high": entry["high"]}
        | _provenance(run)
        for name, entry in run.scores["scores"].items()
    ]


def _beside_paper(run: FinishedRun, system: System, *, draws: int | None, seed: int) -> tuple[list[dict[str, Any]], list[Section]]:
    """Rows and sections of one run beside every set of figures that the paper prints of its system."""
    cited = f"{system.citation}; {system.title}."
    if not system.reported:
        return [], [Section(f"{run.name} beside {system.name}", remarks=(cited, system.note), phantom=run.conditions.phantom)]
    rows, sections = [], []
    for reported in system.reported:
        chosen_on = run.validation if reported.role == "chosen_on" else None
        scores = run.scores if chosen_on is None else score_predictions(chosen_on, draws=draws or DRAWS, seed=seed)
        reasons = why_not_comparable(run.conditions, system, reported, images=scores["n_images"])
        if reported.role == "chosen_on" and chosen_on is None:
            reasons.append("the paper's figures are of images that chose its epoch, this run's of held-out ones")
        unsaid = f"The paper does not state, and this project chose: {', '.join(system.not_stated)}." if system.not_stated else ""
        scored = f"The paper ({reported.source}): {reported.description}; {reported.average}."
        remarks = [cited, scored, unsaid, reported.note, system.note]
        if chosen_on is not None:
            remarks.insert(0, "The figures of both are of images that chose the epoch, and flatter.")
        elif run.conditions.optimistic and reported.role == "optimistic":
            remarks.insert(0, "The figures of both are optimistic: images that chose the number of epochs are scored again.")
        remarks = [remark for remark in remarks if remark]
        if set(run.conditions.classes) != set(system.classes):
            title = f"{run.name} beside {system.name} ({reported.evaluation.replace('_', ' ')})"
            sections.append(Section(title, lead="Not compared.", points=tuple(reasons), phantom=run.conditions.phantom))
            continue
        shared = {
            **{"kind": "paper", "run": run.name, "system": system.name, "evaluation": reported.evaluation, "source": reported.source},
            **{"comparable": "no" if reasons else "yes", "reasons": "; ".join(reasons)},
            **_provenance(run, scores),
        }
        compared = zip(reported.figures, beside_paper(scores, reported), strict=True)
        found = [shared | _paper_row(figure, beside) for figure, beside in compared]
        rows += found
        sections.append(paper_section(found, reasons=reasons, remarks=remarks, mean_of_folds=reported.aggregate == "mean_of_folds"))
    return rows, sections


def _paper_row(figure: Figure, beside: Beside) -> dict[str, Any]:
    named = {"score": figure.metric, "class": figure.of_class, "paper_printed": figure.printed, "paper_shown": figure.shown}
    found = {key: getattr(beside, key) for key in ("ours", "pooled", "low", "high", "paper", "difference", "inside")}
    return named | {"paper_low": figure.low, "paper_high": figure.high} | found


def _pairs(runs: Sequence[FinishedRun], *, all_pairs: bool, draws: int | None, seed: int) -> tuple[list[dict[str, Any]], list[Section]]:
    """Rows and sections: differences between runs on the same images, and gaps between binary runs on other ones."""
    reference = runs[0]
    wanted = list(itertools.combinations(runs, 2)) if all_pairs else [(reference, other) for other in runs[1:]]
    pairs: list[tuple[str, str]] = []
    rows: list[dict[str, Any]] = []
    unpaired: list[str] = []
    gaps: list[Section] = []
    for first, other in wanted:
        why = why_unpaired(first.predictions, other.predictions)
        if not why:
            pairs.append((other.name, first.name))
            continue
        unpaired.append(f"{other.name} and {first.name} are not paired: {why}. Their scores stand side by side, without a test.")
        rows.append({"kind": "unpaired", "run": other.name, "against": first.name, "reasons": why} | _provenance(other))
        if len(class_names(first.predictions)) == 2 and _share_nothing(first.predictions, other.predictions):
            found, gap_shown = _gap(first, other, draws=draws, seed=seed)
            rows += found
            gaps.append(gap_shown)
    if draws is not None and pairs:
        check_draws(draws, len(pairs))
    by_name = {run.name: run for run in runs}
    tables = {run.name: run.predictions for run in runs}
    differences = [
        _difference_row(found, by_name[found.run], by_name[found.against])
        for found in paired_differences(tables, pairs, draws=draws, seed=seed)
    ]
    told = PAIRED_DEFINITIONS | {"draws": f"{draws or draws_for(len(pairs)):,} resamples of patients, seed {seed}"}
    section = paired_section(differences, unpaired=unpaired, definitions=told, phantom=reference.conditions.phantom)
    return rows + differences, [section, *gaps]


def _share_nothing(first: pd.DataFrame, second: pd.DataFrame) -> bool:
    """Whether two prediction tables have no image, file or patient in common, so that they can be resampled apart."""
    columns = [name for name in ("image_id", "group_id", "sha256") if name in first and name in second]
    return not any(set(first[name].dropna()) & set(second[name].dropna()) for name in columns)


def _gap(first: FinishedRun, second: FinishedRun, *, draws: int | None, seed: int) -> tuple[list[dict[str, Any]], Section]:
    """Rows and section of why the accuracies of two binary runs on different images differ."""
    gap = take_gap_apart(first.predictions, second.predictions, draws=draws or DRAWS, seed=seed)
    shared = {"kind": "gap", "run": first.name, "against": second.name} | _provenance(second)
    rows = [
        shared | {"score": f"accuracy, {name}", "pooled": value, "low": low, "high": high}
        for name, (value, low, high) in gap.values.items()
    ]
    section = gap_section(
        gap.values,
        names=(first.name, second.name),
        prevalences=gap.prevalences,
        best_threshold=gap.best_threshold,
        phantom=first.conditions.phantom,
    )
    return rows, section


def _difference_row(found: Difference, run: FinishedRun, against: FinishedRun) -> dict[str, Any]:
    values = {key: getattr(found, key) for key in ("run", "against", "score", "low", "high", "p_holm", "one_image", "verdict")}
    both = {"ours": run.scores["scores"][found.score]["value"], "theirs": against.scores["scores"][found.score]["value"]}
    return {"kind": "paired", "difference": found.value, "p": found.p_value, "reasons": found.reason} | values | both | _provenance(run)
