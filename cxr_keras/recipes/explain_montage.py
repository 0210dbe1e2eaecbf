"""`cxr explain RUN --montage N`: randomly chosen images with the label that the reloaded model gives each (Laban et al.)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from cxr_keras.evaluation.predictions import probability_columns
from cxr_keras.recipes.explain_folder import folder_for, new_folder, note_official_images
from cxr_keras.recipes.explain_images import (
    choose_images,
    find_point,
    framed,
    given_images,
    held_out_images,
    predict_again,
    with_calls,
)
from cxr_keras.recipes.run import announce_phantom
from cxr_keras.reporting.montage import LabelledPicture, label_montage_figure
from cxr_keras.reporting.style import save_figure
from cxr_keras.runs.files import write_csv

PANEL_SIDE = 224
"""Pixels of one X-ray; thirty of them fill a page."""


def montage(
    run: str | Path,
    number: int,
    *,
    images: Sequence[str | Path] = (),
    which: str = "any",
    point: str | None = None,
    seed: int = 0,
    out: str | Path | None = None,
    overwrite: bool = False,
) -> pd.DataFrame:
    """Label randomly chosen images with the models of a finished run, read again from the disk, and draw them.

    Args:
        run: a run directory with its models; each image is labelled by a model that did not train on it.
        number: how many images.
        images: a manifest, or image files, to draw from; without them the images that the run held out.
        which: "any", "correct" or "wrong", by the predictions that the run wrote.
        point: name of an operating point that decides; by default the most probable class.
        seed: of the draw.
        out: folder of the results; by default `RUN/explanations/montage`.
        overwrite: whether to replace explanations that lie there.

    Returns:
        One row an image, as `montage.csv`: image_id, label, predicted, probability, model.

    Raises:
        ValueError: no finished run, or images, point or folder that cannot be used.
    """
    run = Path(run)
    folder = folder_for(run, Path(out) if out else None, name="montage", overwrite=overwrite)
    chosen = given_images(run, [Path(path) for path in images], point=point) if images else held_out_images(run, point=point)
    chosen = chosen.with_table(choose_images(chosen.table, sample=number, per_class=False, which=which, seed=seed))
    announce_phantom(chosen.config, chosen.table)
    table, columns = chosen.table.copy(), probability_columns(chosen.classes)
    again = predict_again(chosen)
    difference = float(np.abs(again - table[columns].to_numpy(float)).max())
    table[columns] = again
    table = with_calls(table, chosen.classes, point=find_point(run, point, chosen.classes))
    pictures = [
        LabelledPicture(
            framed(Path(row.path).read_bytes(), chosen.config, side=PANEL_SIDE),
            *(row.image_id, row.label, row.predicted, row.probability),
            decided=row.decided,
        )
        for row in table.itertuples(index=False)
    ]
    settings = {"run": str(run), "number": len(table), "which": which, "seed": seed, "point": point or "most probable class"}
    with new_folder(folder, settings | {"largest_difference_from_predictions": difference}) as writing:
        title = f"{run.name}: labels by the reloaded model{'s' if table['model'].nunique() > 1 else ''}"
        save_figure(label_montage_figure(pictures, title=title), writing / "montage.png")
        shown = table[["image_id", "label", "predicted", "probability", "model"]]
        write_csv(writing / "montage.csv", shown)
    note_official_images(chosen, what="montage", given=bool(images))
    print(f"{len(table)} images labelled; probabilities are within {difference:.1g} of those that the run wrote.")
    print(f"Everything lies in {folder}")
    return shown
