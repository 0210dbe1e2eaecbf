"""`cxr explain RUN --check`: are the maps of this run right?"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd

from cxr_keras.evaluation.intervals import mean_with_interval
from cxr_keras.explain.maps import METHODS, Explain, class_activation_map, resize_maps
from cxr_keras.explain.randomise import cascade, randomised
from cxr_keras.explain.trust import (
    THORAX_BOX,
    energy_inside,
    mask_area,
    of_another_image,
    pointing_game,
    rank_correlation,
    share_outside,
)
from cxr_keras.recipes.explain_check_tables import FIGURES, cascade_table, curve_table, trust_table, verdict_of
from cxr_keras.recipes.explain_curves import IMAGES_OF_CURVES, OCCLUSION, deletion_curves, spread_over_models
from cxr_keras.recipes.explain_folder import folder_for, new_folder, note_official_images
from cxr_keras.recipes.explain_images import Explained, choose_images, held_out_images, load_models
from cxr_keras.recipes.explain_maps import map_images, method_maker
from cxr_keras.recipes.explain_masks import Masks, read_masks
from cxr_keras.recipes.report_looks import CHECK_NAME, TOLD_IN_REPORT
from cxr_keras.recipes.run import announce_phantom
from cxr_keras.reporting.deletion import deletion_figure
from cxr_keras.reporting.style import save_figure
from cxr_keras.reporting.tables import render_markdown, render_text
from cxr_keras.runs.files import write_csv, write_text

IMAGES = 200
"""Images at most, of the figures on maps."""

RANDOM_NETWORKS = 3
"""One network of random weights may happen to look into the lungs; the mean over three hardly does."""

CHECKED = ("cam", "grad_cam", "hires_cam", "activation")
"""Occlusion is left out but for deletion and insertion: it takes 170 passes an image for each of the networks."""


def check_maps(
    run: str | Path,
    *,
    sample: int | None = None,
    layer: str | None = None,
    seed: int = 0,
    out: str | Path | None = None,
    overwrite: bool = False,
) -> pd.DataFrame:
    """Hold the maps of a finished run against lesion masks, against the network's answer and against networks that know nothing.

    Maps are of the label's class. Without masks (real X-rays) the figures that need none remain.

    Args:
        run: a run directory with its models.
        sample: images at most; by default 200, all with a lesion or a marker where there are masks.
        layer: of the methods that take one; by default `features`.
        seed: of the draw of images and of random weights.
        out: folder of the results; by default `RUN/explanations/check`.
        overwrite: whether to replace explanations that lie there.

    Returns:
        One row for each method and kind of weights, as `trust.csv`: figures with intervals over patients.

    Raises:
        ValueError: no finished run, a layer that cannot be used, or the folder is taken.
    """
    run = Path(run)
    chosen = held_out_images(run)
    folder = folder_for(run, Path(out) if out else None, name=CHECK_NAME, overwrite=overwrite)
    masks = read_masks(chosen.table, chosen.config)
    if masks is not None:
        chosen = chosen.with_table(chosen.table[(masks.lesions | masks.markers).any(axis=(1, 2))])
    size = sample or IMAGES
    chosen = chosen.with_table(choose_images(chosen.table, sample=size, per_class=False, which="any", seed=seed))
    # Grouped by model once, so that rows and maps keep one order.
    chosen = chosen.with_table(chosen.table.sort_values("model", kind="stable"))
    masks = read_masks(chosen.table, chosen.config)
    columns = np.array([chosen.classes.index(label) for label in chosen.table["label"]], np.int64)
    announce_phantom(chosen.config, chosen.table)
    makers = {name: method_maker(name, layer=layer if name != "cam" else None) for name in _methods(chosen)}
    found = [_figures(chosen, maker, columns, masks, name=name, seed=seed) for name, maker in makers.items()]
    by_image, grid = pd.concat([figures for figures, _ in found]), found[0][1]
    draws = chosen.config.evaluation.bootstrap_draws
    table = _summary(by_image, draws=draws, seed=seed)
    some = spread_over_models(chosen.table, IMAGES_OF_CURVES)
    few = chosen.with_table(chosen.table.iloc[some])
    ordered = makers | {OCCLUSION: method_maker(OCCLUSION, layer=None)}
    curves = deletion_curves(few, ordered, columns[some], draws=draws, seed=seed)
    steps = _cascade(few, makers["grad_cam"], columns[some], seed=seed)
    tables = [trust_table(table, masks=masks is not None, grid=grid), curve_table(curves.summary), cascade_table(steps)]
    verdict = verdict_of(table, curves.summary)
    told = "\n".join(verdict)
    settings: dict[str, Any] = {"run": str(run), "images": len(chosen.table), "layer": layer or "features", "seed": seed}
    settings |= {"cells": grid, "verdict": verdict}
    with new_folder(folder, settings | {"thorax_box": THORAX_BOX, "random_networks": RANDOM_NETWORKS}) as writing:
        write_csv(writing / "trust.csv", table)
        write_csv(writing / "trust_by_image.csv", by_image)
        write_csv(writing / "curves.csv", curves.areas)
        save_figure(deletion_figure(curves.curves, title=run.name), writing / "curves.png", svg=True)
        write_csv(writing / "cascade.csv", steps)
        write_text(writing / "trust.md", f"# {run.name}: are the maps right?\n\n{render_markdown(tables)}\n{told}\n")
    print(render_text(tables))
    print(told)
    note_official_images(chosen, what="check")
    print(f"Everything lies in {folder}{TOLD_IN_REPORT if out is None else ''}")
    return table


def _methods(chosen: Explained) -> list[str]:
    """The methods that the head allows."""
    model = load_models(chosen, next(iter(chosen.models)))[0]
    try:
        class_activation_map(model)
    except ValueError:
        return [name for name in CHECKED if name != "cam"]
    return [name for name in CHECKED if name in METHODS]


def _figures(
    chosen: Explained, maker: Callable[[keras.Model], Explain], columns: np.ndarray, masks: Masks | None, *, name: str, seed: int
) -> tuple[pd.DataFrame, tuple[int, int]]:
    """Figures of one method, a row for each image and each kind of weights; and the rows and columns of its maps."""
    groups = chosen.table["group_id"].to_numpy()
    trained = _maps(chosen, maker, columns)
    parts = [_score(chosen, trained, masks, groups, seed=seed).assign(weights="trained", rank_correlation=1.0)]
    for draw in range(RANDOM_NETWORKS):
        maps = _maps(chosen, maker, columns, change=lambda model, draw=draw: randomised(model, seed=seed * RANDOM_NETWORKS + draw))
        scores = _score(chosen, maps, masks, groups, seed=seed)
        parts.append(scores.assign(weights="random", rank_correlation=rank_correlation(trained, maps), network=draw))
    figures = pd.concat(parts, ignore_index=True).assign(method=name)
    figures["rank_correlation_unsigned"] = figures["rank_correlation"].abs()
    return figures, (trained.shape[1], trained.shape[2])


def _maps(
    chosen: Explained,
    maker: Callable[[keras.Model], Explain],
    columns: np.ndarray,
    *,
    change: Callable[[keras.Model], keras.Model] = lambda model: model,
) -> np.ndarray:
    return np.concatenate([batch.maps for batch in map_images(chosen, maker, columns, change=change)])


def _score(chosen: Explained, maps: np.ndarray, masks: Masks | None, groups: np.ndarray, *, seed: int) -> pd.DataFrame:
    table = chosen.table[["image_id", "group_id", "label", *(["pattern"] if "pattern" in chosen.table else [])]].copy()
    table["share_outside_thorax_box"] = share_outside(maps)
    if masks is None:
        return table
    large = resize_maps(maps, chosen.config.data.image_size)
    table["hit_rate"] = pointing_game(large, masks.lesions)
    table["hit_rate_by_area"] = mask_area(masks.lesions)
    table["energy_inside"] = energy_inside(large, masks.lesions)
    ill = masks.lesions.any(axis=(1, 2))
    table["hit_rate_other_patient"] = np.nan
    if len(set(groups[ill])) > 1:
        table.loc[ill, "hit_rate_other_patient"] = pointing_game(large[ill], of_another_image(masks.lesions[ill], groups[ill], seed=seed))
    if masks.markers.any():
        table["marker_hit_rate"] = pointing_game(large, masks.markers)
        table["marker_area"] = mask_area(masks.markers)
        table["marker_energy"] = energy_inside(large, masks.markers)
    return table


def _summary(by_image: pd.DataFrame, *, draws: int, seed: int) -> pd.DataFrame:
    """Mean of every figure with its interval over patients, a row for each method and kind of weights."""
    rows = []
    for (method, weights), part in by_image.groupby(["method", "weights"], sort=False):
        row: dict[str, Any] = {"method": method, "weights": weights, "images": part["image_id"].nunique(), "maps": len(part)}
        # The share of a map's mass anywhere is undefined where there is no mass.
        row["maps_with_evidence"] = int(part["share_outside_thorax_box"].notna().sum())
        for name in (name for name in FIGURES if name in part):
            values, groups = part[name].to_numpy(float), part["group_id"].to_numpy()
            row[name], row[f"{name}_low"], row[f"{name}_high"] = mean_with_interval(values, groups, draws=draws, seed=seed)
        rows.append(row)
    return pd.DataFrame(rows)


def _cascade(few: Explained, maker: Callable[[keras.Model], Explain], columns: np.ndarray, *, seed: int) -> pd.DataFrame:
    """Mean rank correlations of maps with those of the trained network while it is randomised from the top, of the first model."""
    name = few.table["model"].iloc[0]
    mine = (few.table["model"] == name).to_numpy()
    part = few.with_table(few.table[mine])
    trained = _maps(part, maker, columns[mine])
    model = load_models(part, name)[0]
    rows = []
    for layer, changed in cascade(model, seed=seed):
        maps = _maps(part, maker, columns[mine], change=lambda _, changed=changed: changed)
        found = rank_correlation(trained, maps)
        unsigned = float(np.nanmean(np.abs(found)))
        rows.append({"randomised_down_to": layer, "rank_correlation": float(np.nanmean(found)), "rank_correlation_unsigned": unsigned})
    return pd.DataFrame(rows)
