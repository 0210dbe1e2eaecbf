"""`cxr report RUN…`: one HTML file about a finished run, or about several side by side."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from cxr_keras.config.loader import read_config
from cxr_keras.recipes.finished_runs import FinishedRun, read_runs
from cxr_keras.recipes.report_sections import run_sections
from cxr_keras.recipes.report_several import is_of_seeds, seeds_sections, several_sections
from cxr_keras.reporting.page import render_page
from cxr_keras.reporting.sections import Section
from cxr_keras.runs.directory import CONFIG_FILE
from cxr_keras.runs.files import write_text

REPORT_FILE = "report.html"
MOST_BYTES = 5_000_000
"""A report that grew beyond it could not be mailed; pictures are then left out, the last ones first."""


def report(folders: Sequence[str | Path], *, out: str | Path | None = None, mistakes: int | None = None, paper: str | None = None) -> Path:
    """Write one self-contained HTML file.

    Args:
        folders: one run directory, or several (or a folder of several), which are then compared. One folder of seeds is shown as repeats
            of one recipe.
        out: the file, or a folder that it goes into as `report.html`; by default in the run, or beside the first of several runs.
        mistakes: how many wrong predictions of a single run are shown with maps, which loads its models; 0 for none, and by default what
            the run's `evaluation.mistakes_shown` says.
        paper: system for runs whose config names none, e.g. "laban/mini_vgg".

    Returns:
        The file.

    Raises:
        ValueError: `out` cannot be a file, a folder is no finished run, a system is unknown, runs of other classes are to be compared, or
            mistakes of several runs are asked for.
    """
    asked = None if out is None else file_for(out)
    runs = read_runs(folders, paper=paper)
    of_seeds = is_of_seeds(folders)
    one = len(runs) == 1 and not of_seeds
    if mistakes and not one:
        raise ValueError(f"mistakes are shown in the report of one run, and {len(runs)} were given; leave --mistakes out.")
    path = asked or default_path(folders, one=runs[0].folder if one else None)
    if one:
        shown = read_config(runs[0].folder / CONFIG_FILE).evaluation.mistakes_shown if mistakes is None else mistakes
        sections, title = run_sections(runs[0], mistakes=shown), title_of(runs[0])
    elif of_seeds:
        sections = seeds_sections(Path(folders[0]).expanduser(), runs)
        title = f"{read_config(runs[0].folder / CONFIG_FILE).name}: report of {len(runs)} seeds"
    else:
        sections, title = several_sections(runs), "Report of several runs"
    write_text(path, render_within(sections, title=title))
    return path


def file_for(out: str | Path) -> Path:
    """The file that was asked for; in a folder it is `report.html`.

    Raises:
        ValueError: a folder on the way is a file.
    """
    path = Path(out).expanduser()
    if path.is_dir() or str(out).endswith("/"):
        path = path / REPORT_FILE
    blocked = next((folder for folder in path.parents if folder.exists() and not folder.is_dir()), None)
    if blocked is not None:
        raise ValueError(f"--out {out}: {blocked} is a file and no folder. Name another file.")
    return path


def title_of(run: FinishedRun) -> str:
    """Name the config, and the folder where it has another name."""
    name = read_config(run.folder / CONFIG_FILE).name
    return f"{name}: report" if name == run.name else f"{name} ({run.name}): report"


def default_path(folders: Sequence[str | Path], *, one: Path | None) -> Path:
    """Where a report goes: into the one run, into the folder of several runs, or beside the first of several."""
    if one is not None:
        return one / REPORT_FILE
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
