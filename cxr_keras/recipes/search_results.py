"""What a search leaves: the table and figure of its trials, the best settings, and a model trained with them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from cxr_keras.config.loader import flatten, to_yaml
from cxr_keras.config.schema import RunConfig
from cxr_keras.data.sources.phantom import holds_phantoms
from cxr_keras.recipes.run import data_provenance
from cxr_keras.recipes.train import train
from cxr_keras.recipes.trial import TrialRecord, higher_is_better, in_folds, read_records, total_epochs, with_settings
from cxr_keras.reporting import save_figure
from cxr_keras.reporting.tables import Table, format_value, render_markdown, render_text
from cxr_keras.reporting.trials import score_name, trials_figure, trials_table
from cxr_keras.runs.directory import BEST_CONFIG, FINAL_FOLDER
from cxr_keras.runs.files import read_json, write_csv, write_json, write_text

TRIALS_FILE = "trials.csv"


def best_of(records: list[TrialRecord], *, higher: bool) -> TrialRecord:
    """The trial of the best mean among those that ran all folds and epochs; of equals the first.

    Raises:
        ValueError: there is none.
    """
    eligible = [record for record in records if record.eligible]
    if not eligible:
        reasons = "; ".join(dict.fromkeys(record.reason for record in records if record.reason))
        raise ValueError(f"None of {len(records)} trials came to its end{f': {reasons}' if reasons else ''}.")
    sign = 1 if higher else -1
    return max(eligible, key=lambda record: (sign * (record.mean or 0.0), -int(record.trial)))


def finish_search(config: RunConfig, folder: Path, manifest: pd.DataFrame, apart: pd.Series) -> RunConfig:
    """Write table, figure and best config of a search whose trials have ended, and train with the best settings.

    Args:
        config: with its section `tune`.
        folder: the run directory.
        manifest: all images.
        apart: ids of those that no trial saw.

    Returns:
        The best settings.

    Raises:
        ValueError: no trial came to its end.
    """
    section = config.tune
    assert section is not None
    records = read_records(folder)
    best = best_of(records, higher=higher_is_better(section))
    score = score_name(section.score)
    found = f"{score} {best.mean:.4f} over {in_folds(best)} in trial {best.trial} of {len(records)}"
    config_of_best = with_settings(config, best.settings, origin="the best settings").model_copy(
        update={
            "name": f"{config.name}-tuned",
            "description": f"{config.description or config.name}; settings found by a search: {found}",
            "paper": None,  # its settings are no longer the paper's
        }
    )
    write_text(folder / BEST_CONFIG, to_yaml(config_of_best))
    write_csv(folder / TRIALS_FILE, trials_frame(records, list(section.space)))
    usable = manifest[~manifest["image_id"].isin(apart)]
    provenance = {
        **data_provenance(usable),
        "n": f"{len(usable):,} images, {usable['group_id'].nunique():,} patients",
        "pixels": f"{config.data.image_size[0]}x{config.data.image_size[1]} {config.data.resize}",
        "epochs": str(total_epochs(config)) if config.classifier is None else "none",
        "seed": str(config.seed),
        "weights": config.model.weights or "random",
    }
    tables = trials_table(records, best, list(section.space), score=section.score, folds=section.folds, provenance=provenance)
    kind = "phantoms" if holds_phantoms(manifest) else "images"
    figure = trials_figure(records, best, list(section.space), score=section.score, title=f"{config.name}: {section.search} search")
    save_figure(figure, folder / "figures" / "trials.png", svg=True)
    write_text(folder / "summary.md", f"# {config.name}: search\n\n{render_markdown(tables)}")
    print(render_text(tables))
    print(f"Best: {found}. Its settings: {folder / BEST_CONFIG}; `cxr cv {folder / BEST_CONFIG}` runs them.")
    if section.final_model:
        print(f"Training with them on the {len(usable):,} {kind} of the search, testing on the {len(apart):,} set apart", flush=True)
        scores = train(config_of_best, folder / FINAL_FOLDER)
        parts = pd.Series(read_json(folder / FINAL_FOLDER / "split.json"))
        if strange := set(parts.index[parts == "test"]) - set(apart):
            raise ValueError(f"{folder / FINAL_FOLDER} tested on {len(strange)} images that the search has used; remove that folder.")
        tables.append(_final_table(best, scores, section.score))
        write_text(folder / "summary.md", f"# {config.name}: search\n\n{render_markdown(tables)}")
        print(render_text(tables[-1:]))
    write_json(folder / "tune.json", {"best": best.trial, "score": section.score, "mean": best.mean, "trials": len(records)})
    print(f"Everything lies in {folder}")
    return config_of_best


def _final_table(best: TrialRecord, scores: Mapping[str, Any], score: str) -> Table:
    """The best trial's mean, which chose it, beside the score on images that chose nothing."""
    tested = scores["scores"][score]
    return Table(
        "The best settings on images that chose nothing",
        ("", score_name(score), "images"),
        (
            ("mean over the folds that chose them (flatters)", f"{best.mean:.3f}", "of the search"),
            ("the final model on the images set apart", format_value(tested), f"{scores['n_images']:,}"),
        ),
        note="The best of many trials looks better than it is on the images that chose it; the second line has not chosen anything.",
    )


def trials_frame(records: list[TrialRecord], settings: list[str]) -> pd.DataFrame:
    """One row a trial: its settings, status, scores and time."""
    rows = []
    for record in records:
        row: dict[str, Any] = {"trial": record.trial}
        row |= {name: _cell(record.settings.get(name)) for name in settings}
        row |= {"status": record.status, "folds": len(record.scores), "mean": record.mean, "standard_deviation": record.standard_deviation}
        row |= {"epochs_share": record.epochs, "reason": record.reason, "seconds": record.seconds}
        rows.append(row)
    return pd.DataFrame(rows)


def _cell(value: Any) -> Any:
    """A setting for a CSV cell: several keys as dotted text, None as empty."""
    return str(flatten(value)) if isinstance(value, dict) else str(value) if isinstance(value, list | tuple) else value
