"""The wrong predictions that a model is surest of: the worst of each true class, with maps of what spoke for the wrong answer."""

from __future__ import annotations

import io
from collections.abc import Sequence

import pandas as pd
from matplotlib.figure import Figure

from cxr_keras.evaluation.predictions import PROBABILITY_PREFIX
from cxr_keras.recipes.finished_runs import FinishedRun
from cxr_keras.reporting.sections import Picture, Section
from cxr_keras.reporting.tables import Table

METHOD = "hires_cam"
"""Of the maps: exact where the head pools, and with no empty maps where it flattens."""

PICTURE_DOTS = 80
"""Dots an inch of the pictures of mistakes; eight of them are about 1 MB."""

LISTED = 20
"""Wrong predictions in the table."""


def mistakes_section(run: FinishedRun, *, mistakes: int) -> Section:
    """List the wrong predictions that the model is surest of, of each true class alike, and show the first ones with their maps."""
    classes = run.scores["classes"]
    table = run.predictions
    probabilities = table[[PROBABILITY_PREFIX + name for name in classes]].to_numpy(float)
    called = table.assign(predicted=[classes[index] for index in probabilities.argmax(axis=1)], sure=probabilities.max(axis=1))
    wrong = called[called["predicted"] != called["label"]]
    phantom = run.conditions.phantom
    decided = f"a probability of {classes[1]} of 0.5 or more means {classes[1]}" if len(classes) == 2 else "the most probable class counts"
    if wrong.empty:
        return Section("Worst mistakes", lead=f"No image is called wrongly ({decided}).", phantom=phantom)
    each = ", ".join(f"{(wrong['label'] == name).sum():,} of {(table['label'] == name).sum():,} {name}" for name in classes)
    lead = f"{len(wrong):,} of {len(table):,} images are called wrongly ({decided}): {each}."
    several = table["fold"].nunique() > 1
    listed = worst_of_each_class(wrong, LISTED)
    body = tuple(
        (row.image_id, row.label, row.predicted, f"{row.sure:.3f}", *((str(row.fold),) if several else ())) for row in listed.itertuples()
    )
    header = ("image", "label", "predicted", "probability of the predicted class", *(("fold",) if several else ()))
    note = "An equal share of each true class, as far as there are mistakes of it; of each the surest first."
    shown = worst_of_each_class(wrong, mistakes)
    pictures, remark = mistake_pictures(run, list(shown["image_id"])) if mistakes else ([], "")
    return Section(
        "Worst mistakes",
        lead=lead,
        remarks=(remark,) if remark else (),
        tables=(Table("Surest of the wrong, of each true class", header, body, note=note),),
        pictures=tuple(pictures),
        phantom=phantom,
    )


def worst_of_each_class(wrong: pd.DataFrame, number: int) -> pd.DataFrame:
    """Take the surest mistakes of each true class in turn, until there are enough.

    Args:
        wrong: a row a mistake: image_id, label and sure, the probability of the predicted class.
        number: how many to take at most.

    Returns:
        The rows, by true class, of each the surest first. Where a class has fewer mistakes than its share, others take its place.
    """
    ordered = wrong.sort_values(["sure", "image_id"], ascending=[False, True])
    ranked = ordered.assign(rank=ordered.groupby("label").cumcount())
    taken = ranked.sort_values(["rank", "sure", "image_id"], ascending=[True, False, True]).head(number)
    return taken.sort_values(["label", "rank"]).drop(columns="rank")


def mistake_pictures(run: FinishedRun, image_ids: Sequence[str]) -> tuple[list[Picture], str]:
    """Draw X-rays with the HiResCAM map of the class that was wrongly predicted.

    Returns:
        The pictures in the order of `image_ids`, and a remark: how to read them, or why there are none.
    """
    # Keras and TensorFlow are wanted only here.
    from cxr_keras.recipes.explain_images import held_out_images
    from cxr_keras.recipes.explain_maps import columns_to_explain, map_images, map_picture, method_maker
    from cxr_keras.reporting.maps import map_figure

    pictures: dict[str, Picture] = {}
    try:
        held_out = held_out_images(run.folder)
        chosen = held_out.with_table(held_out.table.set_index("image_id").loc[list(image_ids)].reset_index())
        columns = columns_to_explain(chosen.table, chosen.classes, class_name=None)
        for batch in map_images(chosen, method_maker(METHOD, layer=None), columns):
            for index in range(len(batch.rows)):
                picture = map_picture(chosen, batch, index, method=METHOD)
                title = f"{picture.image_id}: label {picture.label}, predicted {picture.predicted}"
                pictures[picture.image_id] = Picture(title, png_of(map_figure(picture)), "image/png", small=True)
    except (ValueError, OSError) as error:  # models not kept, or images that lie elsewhere by now: the figures are there all the same
        return [], f"No maps: {error}"
    remark = "HiResCAM of the predicted class: what spoke for the wrong answer. Each map is scaled to its own highest value."
    return [pictures[image_id] for image_id in image_ids], remark


def png_of(figure: Figure) -> bytes:
    """Draw a figure into a PNG file in memory."""
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=PICTURE_DOTS)
    return stream.getvalue()
