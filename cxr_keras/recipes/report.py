"""`cxr report RUN…`: one HTML file about a finished run, or about several side by side."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from cxr_keras.config.loader import read_config
from cxr_keras.recipes.compare import compare_runs
from cxr_keras.recipes.finished_runs import FinishedRun, read_runs
from cxr_keras.recipes.report_sections import run_sections
from cxr_keras.reporting.page import render_page
from cxr_keras.reporting.sections import Section
from cxr_keras.runs.directory import CONFIG_FILE
from cxr_keras.runs.files import write_text

REPORT_FILE = "report.html"
MOST_BYTES = 5_000_000
"""A report that grew beyond it could not be mailed; pictures are then left out, the last ones first."""


def report(folders: Sequence[str | Path], *, out: str | Path | None = None, mistakes: int | None = None) -> Path:
    """Write one self-contained HTML file.

    Args:
        folders: one run directory, or several (or a folder of several), which are then compared.
        out: the file; by default `report.html` in the run, or beside the first of several runs.
        mistakes: how many wrong predictions of a single run are shown with maps, which loads its models; 0 for none, and by default what
            the run's `evaluation.mistakes_shown` says.

    Returns:
        The file.

    Raises:
        ValueError: a folder is no finished run, runs of other classes are to be compared, or mistakes of several runs are asked for.
    """
    runs = read_runs(folders)
    if len(runs) > 1 and mistakes:
        raise ValueError(f"mistakes are shown in the report of one run, and {len(runs)} were given; leave --mistakes out.")
    path = Path(out) if out is not None else default_path(folders, runs)
    if len(runs) == 1:
        shown = read_config(runs[0].folder / CONFIG_FILE).evaluation.mistakes_shown if mistakes is None else mistakes
        sections, title = run_sections(runs[0], mistakes=shown), title_of(runs[0])
    else:
        _, compared, _ = compare_runs(runs)
        sections, title = compared, "Report of several runs"
    write_text(path, render_within(sections, title=title))
    return path


def title_of(run: FinishedRun) -> str:
    """Name the config, and the folder where it has another name."""
    name = read_config(run.folder / CONFIG_FILE).name
    return f"{name}: report" if name == run.name else f"{name} ({run.name}): report"


def default_path(folders: Sequence[str | Path], runs: Sequence[FinishedRun]) -> Path:
    """Where a report goes: into the run, into the folder of several runs, or beside the first of several."""
    if len(runs) == 1:
        return runs[0].folder / REPORT_FILE
    first = Path(folders[0]).expanduser()
    return (first if len(folders) == 1 else first.resolve().parent) / REPORT_FILE


def render_within(sections: Sequence[Section], *, title: str, most: int = MOST_BYTES) -> str:
    """Render a page of at most `most` bytes; of pictures that are too many the last ones give way, and the page says so."""
    kept = list(sections)
    left_out = 0
    while len((page := render_page(kept, title=title)).encode()) > most:
        last = max((number for number, section in enumerate(kept) if section.pictures), default=None)
        if last is None:
            break
        left_out += 1
        section = kept[last]
        told = (*(remark for remark in section.remarks if not remark.startswith("Left out")), f"Left out for size: {left_out} pictures.")
        kept[last] = dataclasses.replace(section, pictures=section.pictures[:-1], remarks=told)
    return page
