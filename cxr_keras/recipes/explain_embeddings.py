"""`cxr explain RUN --embeddings`: where the held-out images lie before the network and after it (Chapin et al., figure 1)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cxr_keras.explain.embeddings import embed_images, project, separation
from cxr_keras.recipes.explain_folder import folder_for, new_folder, note_official_images
from cxr_keras.recipes.explain_images import Explained, choose_images, held_out_images, load_models, network_images
from cxr_keras.recipes.run import announce_phantom
from cxr_keras.reporting.embeddings import embeddings_figure
from cxr_keras.reporting.style import save_figure
from cxr_keras.reporting.tables import Table, render_text
from cxr_keras.runs.files import write_csv, write_json

PROJECTIONS = {"pca": "PCA", "tsne": "t-SNE"}


def embed(
    run: str | Path, *, sample: int = 1000, fold: int | None = None, seed: int = 0, out: str | Path | None = None, overwrite: bool = False
) -> pd.DataFrame:
    """Project the images that one model held out, as raw pixels and as its embedding.

    Every fold's model has a space of its own, so one model is taken and only its held-out images.

    Args:
        run: a run directory with its models.
        sample: images at most, drawn at random without regard to class.
        fold: whose model; by default the first.
        seed: of the draw and of t-SNE.
        out: folder of the results; by default `RUN/explanations/embeddings`.
        overwrite: whether to replace explanations that lie there.

    Returns:
        One row an image, as `embeddings.csv`: image_id, label, predicted, model and two columns for each space and projection.

    Raises:
        ValueError: no finished run, no such fold, too few images, or the folder is taken.
    """
    run = Path(run)
    chosen = _of_one_model(held_out_images(run), fold=fold)
    name = chosen.table["model"].iloc[0]
    folder = folder_for(run, Path(out) if out else None, name=f"embeddings-{name}", overwrite=overwrite)
    chosen = chosen.with_table(choose_images(chosen.table, sample=sample, per_class=False, which="any", seed=seed))
    announce_phantom(chosen.config, chosen.table)
    pixels = np.concatenate([np.asarray(batch[0]).reshape(len(batch[0]), -1) for batch in network_images(chosen)]) / 255
    spaces = {"pixels": pixels, "embedding": embed_images(load_models(chosen, name)[0], network_images(chosen))}
    table = chosen.table[["image_id", "label", "predicted", "model"]].copy()
    labels, groups = table["label"].to_numpy(), chosen.table["group_id"].to_numpy()
    figures, panels, shares = {}, {}, {}
    for space, points in spaces.items():
        figures[space] = {"dimensions": points.shape[1], **separation(points, labels, groups)}
        figures[space]["pca_shares_of_variance"] = None
        for projection, flat in project(points, seed=seed).items():
            table[[f"{space}_{projection}_1", f"{space}_{projection}_2"]] = flat
            panels[PROJECTIONS[projection], _title(space)] = flat
            if projection == "pca" and (whole := points.astype(np.float64).var(axis=0).sum()) > 0:
                shares["PCA", _title(space)] = figures[space]["pca_shares_of_variance"] = (flat.var(axis=0) / whole).tolist()
    notes = {_title(space): _note(found) for space, found in figures.items()}
    settings = {"run": str(run), "model": name, "images": len(table), "seed": seed, "spaces": figures}
    order = {key: panels[key] for key in sorted(panels, key=lambda key: (key[0] != "PCA", key[1] != _title("pixels")))}
    with new_folder(folder, settings) as writing:
        title = f"{run.name}, {name}: {len(table):,} held-out images before and after the network"
        drawn = embeddings_figure(order, table["label"].tolist(), table["predicted"].tolist(), title=title, notes=notes, variance=shares)
        save_figure(drawn, writing / "embeddings.png")
        write_csv(writing / "embeddings.csv", table)
        write_json(writing / "separation.json", figures)
    print(render_text([_table(figures, images=len(table))]))
    note_official_images(chosen, what="embeddings")
    print(f"Everything lies in {folder}")
    return table


def _of_one_model(explained: Explained, *, fold: int | None) -> Explained:
    """The images that one fold's model held out."""
    table = explained.table
    folds = sorted(set(table["fold"]))
    wanted = folds[0] if fold is None else fold
    if wanted not in folds:
        raise ValueError(f"--fold {fold}: {explained.run} has {', '.join(map(str, folds))}.")
    return explained.with_table(table[table["fold"] == wanted])


def _title(space: str) -> str:
    return {"pixels": "before: raw pixels", "embedding": "after: layer embedding"}[space]


def _note(found: dict[str, Any]) -> str:
    return f"silhouette {_number(found['silhouette'])}, nearest neighbour {_number(found['nearest_neighbour_accuracy'])}"


def _number(value: float | None) -> str:
    return "n/a" if value is None else f"{value:.3f}"


def _table(figures: dict[str, dict[str, Any]], *, images: int) -> Table:
    header = ("space", "dimensions", "silhouette", "nearest neighbour accuracy", "largest class")
    rows = tuple(
        (
            space,
            f"{found['dimensions']:,}",
            *(_number(found[name]) for name in ("silhouette", "nearest_neighbour_accuracy", "majority")),
        )
        for space, found in figures.items()
    )
    note = f"{images:,} images. Euclidean distance in the whole space, not in its picture; the neighbour is of another patient."
    return Table("How far the classes lie apart", header, rows, note=note)
