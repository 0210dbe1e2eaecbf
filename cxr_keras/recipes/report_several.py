"""What a report says of several runs side by side, and of one recipe that was trained with several seeds."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from cxr_keras.config.loader import read_config
from cxr_keras.data.manifest import manifest_digest, read_manifest
from cxr_keras.recipes.compare import compare_runs
from cxr_keras.recipes.finished_runs import FinishedRun
from cxr_keras.recipes.over_seeds import SUMMARY
from cxr_keras.recipes.report_sections import LIMITS
from cxr_keras.recipes.report_summary import warnings_of
from cxr_keras.reporting.overlay import roc_overlay_figure
from cxr_keras.reporting.sections import Card, Listing, Picture, Section
from cxr_keras.reporting.style import STYLE
from cxr_keras.reporting.tables import Table, format_value, label_of
from cxr_keras.runs.directory import CONFIG_FILE
from cxr_keras.runs.files import file_sha256, read_json
from cxr_keras.runs.provenance import commits_of

DIGITS = 16
"""Of a hash in a table of several runs."""


def several_sections(runs: Sequence[FinishedRun]) -> list[Section]:
    """The comparison of several runs, their ROC curves, limits and origin."""
    _, compared, _ = compare_runs(runs)
    return [*compared, *roc_sections(runs), limits_section(runs), origins_section(runs)]


def is_of_seeds(folders: Sequence[str | Path]) -> bool:
    """Whether one folder was given that holds one recipe with several seeds."""
    first = Path(folders[0]).expanduser()
    return len(folders) == 1 and (first / SUMMARY).exists() and not (first / CONFIG_FILE).exists()


def seeds_sections(folder: Path, runs: Sequence[FinishedRun]) -> list[Section]:
    """What is known of a recipe from several trainings: mean, spread and ensemble, and no test of one seed against another.

    Args:
        folder: of the seeds, with `seeds.json`.
        runs: all of them, read.

    Raises:
        ValueError: the runs are of different classes.
    """
    summary = read_json(folder / SUMMARY)
    _, compared, _ = compare_runs(runs)
    return [_seeds_summary(summary, runs), *compared, *roc_sections(runs), limits_section(runs), origins_section(runs)]


def _seeds_summary(summary: Mapping[str, Any], runs: Sequence[FinishedRun]) -> Section:
    first, number = runs[0], len(runs)
    binary = "auroc" in first.scores["scores"]
    decided = "at 0.5" if binary else "of the most probable class"
    places = {"auroc" if binary else "macro_auroc": "over all thresholds"}
    places |= {name: decided for name in ("accuracy", "balanced_accuracy", "macro_f1")}
    cards = []
    for name, place in places.items():
        spread = summary["over_seeds"][name]
        value = "n/a" if spread["mean"] is None else f"{spread['mean']:.3f}"
        deviation = spread["standard_deviation"]
        told = f"mean of {number} seeds" if deviation is None else f"± {deviation:.3f} (mean ± sd of {number} seeds)"
        cards.append(Card(f"{label_of(name)} {place}", value, told))
    if summary["ensemble"]:
        for name, place in places.items():
            value, _, interval = format_value(summary["ensemble"][name]).partition(" ")
            cards.append(Card(f"{label_of(name)} {place}, ensemble", value, interval, row=1))
    told = first.provenance
    config = read_config(first.folder / CONFIG_FILE)
    lead = (
        f"{config.name}: {told.get('model', 'a network')} ({told.get('strategy', 'strategy not stated')}, weights {told['weights']}) on "
        f"{told['data']} images at {told['pixels']} pixels, trained {number} times ({told['evaluation']})."
    )
    ensemble = "The ensemble is the mean probability of all seeds." if summary["ensemble"] else "The seeds scored different images."
    remark = f"Seeds are repeats of one recipe and no rivals, so none is tested against another. {ensemble}"
    return Section("Summary", lead=lead, cards=tuple(cards), remarks=(remark,), phantom=first.conditions.phantom)


def roc_sections(runs: Sequence[FinishedRun]) -> list[Section]:
    """ROC curves of all runs over each other; those of drawn images apart."""
    sections = []
    for phantom in (False, True):
        members = [run for run in runs if run.conditions.phantom == phantom]
        if len(members) < 2:
            continue
        images = {frozenset(run.predictions["image_id"]) for run in members}
        remark = () if len(images) == 1 else ("The runs scored different images, so their curves tell no better from worse.",)
        classes = members[0].scores["classes"]
        drawn = roc_overlay_figure([(run.name, run.predictions, run.scores) for run in members], classes, title="ROC of each run")
        picture = Picture("ROC of each run", _svg_of(drawn), "image/svg+xml", small=len(classes) == 2)
        sections.append(Section("ROC curves", remarks=remark, pictures=(picture,), phantom=phantom))
    return sections


def limits_section(runs: Sequence[FinishedRun]) -> Section:
    """What holds for all figures, and what must be known of each run."""
    # A run of predictions alone keeps no manifest.
    manifests = {run.name: run.folder / "manifest.csv" for run in runs}
    own = [
        f"{run.name}: {warning}"
        for run in runs
        if manifests[run.name].exists()
        for warning in warnings_of(run, read_manifest(manifests[run.name]))
    ]
    return Section("Limits", points=(*LIMITS, *own))


def origins_section(runs: Sequence[FinishedRun]) -> Section:
    """Commit, command and hashes of each run, and its resolved config."""
    rows = []
    for run in runs:
        environment = run.folder / "environment.json"
        known = read_json(environment) if environment.exists() else {}
        manifest = run.folder / "manifest.csv"
        rows.append(
            (
                *(run.name, commits_of(known) if known else "not known", file_sha256(run.folder / CONFIG_FILE)[:DIGITS]),
                manifest_digest(read_manifest(manifest))[:DIGITS] if manifest.exists() else "not kept",
                known.get("command", "not known"),
            )
        )
    header = ("run", "commit", "config.yaml", "manifest (images and labels)", "command")
    table = Table("Runs", header, tuple(rows), note=f"config.yaml and manifest: the first {DIGITS} digits of the SHA-256.")
    configs = tuple(Listing(f"Resolved config of {run.name} (config.yaml)", (run.folder / CONFIG_FILE).read_text()) for run in runs)
    return Section("Origin", tables=(table,), listings=configs)


def _svg_of(figure: Figure) -> bytes:
    """Draw a figure into an SVG file in memory."""
    stream = io.BytesIO()
    with matplotlib.rc_context(STYLE):
        figure.savefig(stream, format="svg", metadata={"Date": None})
    return stream.getvalue()
