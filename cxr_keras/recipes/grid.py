"""`cxr cv --grid`: several architectures under several strategies on the same folds, ending with the table of Božičković et al."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import models_zoo
from cxr_keras.config.loader import check_config
from cxr_keras.config.schema import RunConfig
from cxr_keras.recipes.cross_validate import cross_validate
from cxr_keras.recipes.data import require_origin
from cxr_keras.recipes.frozen import check_frozen_base
from cxr_keras.recipes.run import announce_phantom
from cxr_keras.recipes.tracking import with_store_of
from cxr_keras.recipes.weights import check_model, model_of
from cxr_keras.reporting.tables import Table, headline_table, render_markdown, render_text
from cxr_keras.runs.files import read_json, write_json, write_text
from cxr_keras.runs.jobs import Engine
from cxr_keras.training.strategies import STRATEGIES, get_strategy

MODELS = ("resnet50", "inception_v3", "inception_resnet_v2", "xception")
PAPER_STRATEGIES = ("end_to_end", "two_stage", "two_stage_dropout")
"""Božičković's experiments 1, 2 and 3, in this order."""

SUMMARY = "grid.json"


def run_grid(
    config: RunConfig,
    folder: str | Path,
    *,
    models: Sequence[str] = MODELS,
    strategies: Sequence[str] = PAPER_STRATEGIES,
    workers: int = 1,
    engine: Engine | None = None,
) -> None:
    """Cross-validate every model under every strategy; the same call continues an interrupted grid.

    Each cell is a run of its own in `folder/<model>_<strategy>`, with the settings of `config` but for model and strategy; all cells
    have the same images and folds. At the end a table in the layout of the paper's Table II and a headline row a cell are printed and
    written to `summary.md` and `grid.json`.

    Args:
        config: shared settings; of `training.phases` those are taken that a strategy has.
        folder: the folder of all cells.
        models: names of architectures.
        strategies: names of strategies.
        workers: folds of a cell that are trained at a time.
        engine: where they are trained; by default in processes of this machine.

    Raises:
        ValueError: unknown or repeated names or no images, before anything runs, or what a cell's run refuses.
    """
    folder = Path(folder)
    config = with_store_of(config, folder)
    cells = cells_of(config, models=models, strategies=strategies)
    for number, ((model, strategy), cell) in enumerate(cells.items(), start=1):
        print(f"grid {number} of {len(cells)}: {model}, {strategy}", flush=True)
        cross_validate(cell, folder / f"{model}_{strategy}", workers=workers, engine=engine)
    scores = {cell: read_json(folder / f"{cell[0]}_{cell[1]}" / "metrics.json") for cell in cells}
    write_json(folder / SUMMARY, {f"{model}_{strategy}": found for (model, strategy), found in scores.items()})
    tables = [
        paper_layout(scores, models=models, strategies=strategies),
        headline_table([(f"{model}, {strategy}", found, found["provenance"]) for (model, strategy), found in scores.items()]),
    ]
    write_text(folder / "summary.md", f"# {config.name}: {len(models)} models, {len(strategies)} strategies\n\n{render_markdown(tables)}")
    print(render_text(tables))
    print(f"Everything lies in {folder}")
    announce_phantom(config)


def cells_of(
    config: RunConfig, *, models: Sequence[str], strategies: Sequence[str], weights_needed: bool = True
) -> dict[tuple[str, str], RunConfig]:
    """Give the settings of every cell by (model, strategy), all checked before any of them runs.

    Args:
        config: shared settings.
        models: names of architectures.
        strategies: names of strategies.
        weights_needed: whether files of weights must be there.

    Raises:
        ValueError: unknown or repeated names, several seeds, no images, or a network or weights that cannot be used.
    """
    if config.seeds:
        raise ValueError("seeds and --grid do not go together; run the grid once for each seed, with --run.")
    _check_names("models", models, models_zoo.list_models())
    _check_names("strategies", strategies, tuple(STRATEGIES))
    require_origin(config.data)
    cells = {(model, strategy): cell_config(config, model=model, strategy=strategy) for strategy in strategies for model in models}
    for cell in cells.values():
        network = model_of(cell) if weights_needed else model_of(cell).model_copy(update={"weights": None})
        check_model(network, image_size=cell.data.image_size, folds=range(cell.cross_validation.folds))
        cell.refuse_missing_parts("cv")
        check_frozen_base(cell)
    return cells


def cell_config(config: RunConfig, *, model: str, strategy: str) -> RunConfig:
    """Give the settings of one cell, checked again as a whole; "{model}" in `model.weights` becomes the cell's model."""
    settings = config.model_dump(mode="json")
    own_phases = {phase.name for phase in get_strategy(strategy).phases}
    settings["name"] = f"{model}_{strategy}"
    settings["description"] = f"{model}, {strategy}: a cell of {config.name}"
    settings["model"]["name"] = model
    if config.model.weights:
        settings["model"]["weights"] = config.model.weights.replace("{model}", model)
    settings["training"]["strategy"] = strategy
    settings["training"]["phases"] = {name: phase for name, phase in config.training.phases.items() if name in own_phases}
    # Only these twelve are systems of the paper.
    settings["paper"] = f"bozickovic/{model}_{strategy}" if model in MODELS and strategy in PAPER_STRATEGIES else None
    return check_config(settings, origin=f"the cell {model}, {strategy}")


def paper_layout(
    scores: Mapping[tuple[str, str], Mapping[str, Any]], *, models: Sequence[str], strategies: Sequence[str], title: str | None = None
) -> Table:
    """Tabulate means over folds as Table II of Božičković et al. does.

    Args:
        scores: (model, strategy) -> scores of that run.
        models: in the order of the rows.
        strategies: in the order of the columns.
        title: heading; by default one that names the layout.

    Returns:
        A block of rows a model, one a class; for each strategy accuracy in % (on the model's first row), precision and sensitivity in %
        and F1. A score that no fold defines is "n/a".
    """
    header = ["model", "class"]
    for strategy in strategies:
        header += [f"{strategy}: accuracy %", "precision %", "sensitivity %", "F1"]
    rows = []
    for model in models:
        classes = scores[model, strategies[0]]["classes"]
        for position, name in enumerate(classes):
            row = [model if position == 0 else "", name]
            for strategy in strategies:
                folds = scores[model, strategy]["folds"]
                of_class = folds["per_class"][name]
                row.append(_shown(folds["scores"]["accuracy"], percent=True) if position == 0 else "")
                row += [_shown(of_class[score], percent=True) for score in ("precision", "sensitivity")]
                row.append(_shown(of_class["f1"], percent=False))
            rows.append(tuple(row))
    return Table(
        title or "Means over folds, in the layout of Table II of Božičković et al.",
        tuple(header),
        tuple(rows),
        note="Means over folds as the paper gives them. Intervals and conditions stand below and in each cell's own summary.",
    )


def _shown(spread: Mapping[str, Any], *, percent: bool) -> str:
    """One mean over folds, with the digits that the paper prints."""
    if spread["mean"] is None:
        return "n/a"
    return f"{100 * spread['mean']:.2f}" if percent else f"{spread['mean']:.2f}"


def _check_names(what: str, names: Sequence[str], known: Sequence[str]) -> None:
    """Refuse unknown, repeated or no names."""
    if not names or len(set(names)) != len(names):
        raise ValueError(f"{what}: got {list(names)}, expected one or more different names out of {', '.join(known)}.")
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(str(name), known, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise ValueError(f"{what}: {name!r} is unknown.{hint} Known: {', '.join(known)}.")
