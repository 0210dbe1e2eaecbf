"""One run a seed, then all of them side by side: each seed's scores, their mean and spread, and the ensemble."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from cxr_keras.config.schema import RunConfig
from cxr_keras.evaluation import read_predictions, score_predictions
from cxr_keras.recipes.over_seeds import ENSEMBLE_FILE, SUMMARY, ensemble_predictions, ensemble_provenance, over_seeds, seeds_table
from cxr_keras.recipes.readings import ledger_of, note_reading
from cxr_keras.recipes.tracking import with_store_of
from cxr_keras.reporting.tables import headline_table, render_markdown, render_text
from cxr_keras.runs.files import read_json, write_csv, write_json, write_text


def run_seeds(recipe: Callable[[RunConfig, Path], dict[str, Any]], config: RunConfig, folder: str | Path) -> dict[str, Any]:
    """Run a recipe once for each of `config.seeds`, in folders `seed-<n>`, and sum up; the same call continues.

    The seed draws splits and folds too, unless `config.split_seed` holds them still: then the spread is that of training alone.

    Args:
        recipe: `cross_validate` or `train`.
        config: settings with `seeds`.
        folder: the folder of all these runs.

    Returns:
        `seeds.json`: per seed and score the value with its interval, over seeds mean and sample standard deviation, and the scores of
        the ensemble where all seeds predicted the same images (else None).
    """
    folder = Path(folder)
    # One ledger for all of them, beside their common folder.
    ledger = str(ledger_of(config, folder))
    evaluation = config.evaluation.model_copy(update={"ledger": ledger})
    config = with_store_of(config, folder)
    runs = []
    for seed in config.seeds:
        one = config.model_copy(update={"seed": seed, "seeds": (), "evaluation": evaluation})
        recipe(one, folder / f"seed-{seed}")
        runs.append(folder / f"seed-{seed}")
    scores = [read_json(run / "metrics.json") for run in runs]
    ensemble = ensemble_predictions([read_predictions(run / "predictions.csv") for run in runs])
    ensemble_scores = None
    if ensemble is not None:
        write_csv(folder / ENSEMBLE_FILE, ensemble)
        ensemble_scores = score_predictions(ensemble, draws=config.evaluation.bootstrap_draws, seed=config.seeds[0])
        _note_ensemble(config, folder, Path(ledger), image_ids=ensemble["image_id"], scores=ensemble_scores)
    summary = {
        "seeds": {str(seed): found["scores"] for seed, found in zip(config.seeds, scores, strict=True)},
        "over_seeds": over_seeds([found["scores"] for found in scores]),
        "ensemble": None if ensemble_scores is None else ensemble_scores["scores"],
    }
    write_json(folder / SUMMARY, summary)
    named = [(f"seed {seed}", found, found["provenance"]) for seed, found in zip(config.seeds, scores, strict=True)]
    if ensemble_scores is not None:
        named.append(("ensemble (mean probability)", ensemble_scores, ensemble_provenance([found["provenance"] for found in scores])))
    tables = [headline_table(named), seeds_table(config.seeds, summary)]
    write_text(folder / "summary.md", f"# {config.name}, {len(config.seeds)} seeds\n\n{render_markdown(tables)}")
    print(render_text(tables))
    print(f"Everything lies in {folder}")
    return summary


def _note_ensemble(config: RunConfig, folder: Path, ledger: Path, *, image_ids: Iterable[str], scores: Mapping[str, Any]) -> None:
    """Note in the ledger that official test labels were read once more, with the mean of all seeds."""
    if not (folder / f"seed-{config.seeds[0]}" / "test_reading.json").exists():
        return
    where = f"official test, mean of seeds {', '.join(map(str, config.seeds))}"
    note_reading(ledger, run=folder, where=where, image_ids=image_ids, scores=scores["scores"], once=True)
