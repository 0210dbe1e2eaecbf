"""`cxr explain RUN`: maps of what a finished run's models look at, as pictures, numbers and a table."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd

from cxr_keras.explain.trust import THORAX_BOX, share_outside
from cxr_keras.progress import track
from cxr_keras.recipes.explain_folder import folder_for, new_folder, note_official_images
from cxr_keras.recipes.explain_images import Explained, choose_images, given_images, held_out_images
from cxr_keras.recipes.explain_maps import MappedBatch, columns_to_explain, map_images, map_picture, method_maker
from cxr_keras.recipes.run import announce_phantom
from cxr_keras.reporting.maps import MapPicture, map_figure, maps_montage_figure
from cxr_keras.reporting.style import save_figure
from cxr_keras.runs.files import write_csv

MAPS_FILE, TABLE_FILE, MONTAGE_FILE = "maps.h5", "maps.csv", "montage.png"
PICTURES_IN_MONTAGE = 24
"""More would be too small to see on one page; the others have their own picture."""


def explain(
    run: str | Path,
    *,
    images: Sequence[str | Path] = (),
    every: bool = False,
    sample: int = 3,
    per_class: bool = True,
    which: str = "any",
    method: str = "hires_cam",
    layer: str | None = None,
    class_name: str | None = None,
    point: str | None = None,
    pictures: bool | None = None,
    seed: int = 0,
    out: str | Path | None = None,
    overwrite: bool = False,
) -> pd.DataFrame:
    """Map what the models of a finished run look at, each on images that it did not train on.

    Args:
        run: a run directory of `cxr cv` or `cxr train` with its models.
        images: a manifest, or image files; without them the images that the run held out.
        every: every one of them instead of a sample.
        sample: how many images are drawn.
        per_class: whether to draw so many of each label.
        which: "any", "correct" or "wrong" predictions.
        method: a name of `cxr_keras.explain.maps.METHODS`.
        layer: of the methods that take one; by default `features`.
        class_name: the class that the maps are of; by default the predicted one.
        point: name of an operating point of the run that decides what is predicted; by default the most probable class.
        pictures: whether to draw one picture an image and a montage; by default for a sample only.
        seed: of the draw.
        out: folder of the results; by default `RUN/explanations/<what was asked for>`.
        overwrite: whether to replace explanations that lie there.

    Returns:
        One row an image, as `maps.csv`: image_id, label, predicted, probability, method, class_explained, logit, model,
        share_outside_thorax_box, picture.

    Raises:
        ValueError: no finished run, images, layer, class, point or method that cannot be used, or the folder is taken.
    """
    started = time.monotonic()
    run = Path(run)
    maker = method_maker(method, layer=layer)
    chosen = held_out_images(run, point=point)
    columns_to_explain(chosen.table, chosen.classes, class_name=class_name)  # refuses an unknown class before anything is computed
    name = "-".join([method, *(part for part in (layer, class_name, point, which if which != "any" else None) if part)])
    name += "-all" if every else "-given" if images else ""
    folder = folder_for(run, Path(out) if out else None, name=name, overwrite=overwrite)

    def takes_all(table: pd.DataFrame) -> bool:
        return every or (bool(images) and bool((table["label"] == "").all()))

    def draw(table: pd.DataFrame) -> pd.DataFrame:
        size = len(table) if takes_all(table) else sample
        return choose_images(table, sample=size, per_class=per_class, which=which, seed=seed)

    if images:
        # Whether a prediction is right is known only afterwards; else nothing is predicted that is not shown.
        chosen = given_images(run, [Path(path) for path in images], point=point, draw=draw if which == "any" else None)
    take_all = takes_all(chosen.table)
    chosen = chosen.with_table(draw(chosen.table))
    columns = columns_to_explain(chosen.table, chosen.classes, class_name=class_name)
    announce_phantom(chosen.config, chosen.table)
    settings: dict[str, Any] = {
        "run": str(run),
        "images": [str(path) for path in images] or "held out",
        "every": take_all,
        "sample": None if take_all else {"number": sample, "per_class": per_class, "seed": seed},
        "which": which,
        "method": method,
        "layer": layer or "features",
        "class": class_name or "predicted",
        "point": point or "most probable class",
        "thorax_box": THORAX_BOX,
    }
    batches = map_images(chosen, maker, columns)
    with new_folder(folder, settings) as writing:
        drawn = not take_all or bool(images) if pictures is None else pictures
        table, found = _write(writing, chosen, batches, method=method, pictures=drawn, attributes=settings)
        write_csv(writing / TABLE_FILE, table)
        seconds = time.monotonic() - started
        settings |= {"explained": len(table), "largest_difference_from_predictions": found, "seconds": round(seconds, 1)}
    note_official_images(chosen, what=name, given=bool(images))
    print(
        f"{len(table):,} maps ({method}) in {seconds:,.1f} s, {len(table) / seconds:,.3g} images/s with loading. Probabilities of the "
        f"reloaded models are within {found:.1g} of those that the run wrote."
    )
    _print_shares(table)
    print(f"Everything lies in {folder}")
    return table


def _write(
    folder: Path, chosen: Explained, batches: Iterable[MappedBatch], *, method: str, pictures: bool, attributes: dict[str, Any]
) -> tuple[pd.DataFrame, float]:
    """Write maps and pictures as they come.

    Returns:
        The table, and the largest difference of a probability from that in the run's predictions.
    """
    rows: list[dict[str, Any]] = []
    largest = 0.0
    montage: list[MapPicture] = []
    with h5py.File(folder / MAPS_FILE, "w") as file:
        file.attrs.update({key: str(value) for key, value in attributes.items()})
        for batch in _tracked(batches, total=len(chosen.table)):
            _append(file, batch, chosen.classes)
            largest = max(largest, batch.difference)
            outside = share_outside(batch.maps)
            for index, row in enumerate(batch.rows.itertuples(index=False)):
                explained_class = chosen.classes[batch.columns[index]]
                picture = f"images/{len(rows):04d}-{row.image_id.replace('/', '_')}.png" if pictures else ""
                if pictures:
                    drawn = map_picture(chosen, batch, index, method=method)
                    save_figure(map_figure(drawn), folder / picture)
                    montage += [drawn] if len(montage) < PICTURES_IN_MONTAGE else []
                rows.append(
                    {
                        "image_id": row.image_id,
                        "label": row.label,
                        "predicted": row.predicted,
                        "probability": row.probability,
                        "method": method,
                        "class_explained": explained_class,
                        "logit": batch.logits[index],
                        "model": row.model,
                        "share_outside_thorax_box": outside[index],
                        "picture": picture,
                    }
                )
    if montage:
        save_figure(maps_montage_figure(montage, title=f"{chosen.run.name}: {method}"), folder / MONTAGE_FILE)
    return pd.DataFrame(rows), largest


def _tracked(batches: Iterable[MappedBatch], *, total: int) -> Iterator[MappedBatch]:
    """The batches, with a progress bar that counts images."""

    def one_by_one() -> Iterator[MappedBatch | None]:
        for batch in batches:
            yield batch
            yield from [None] * (len(batch.rows) - 1)

    return (batch for batch in track(one_by_one(), total=total, description="maps") if batch is not None)


def _append(file: h5py.File, batch: MappedBatch, classes: tuple[str, ...]) -> None:
    """Add a batch to the data sets image_id, class_explained and maps, made at the first one."""
    if "maps" not in file:
        text = h5py.string_dtype()
        file.create_dataset("maps", (0, *batch.maps.shape[1:]), np.float32, maxshape=(None, *batch.maps.shape[1:]), compression="gzip")
        for name in ("image_id", "class_explained"):
            file.create_dataset(name, (0,), text, maxshape=(None,))
    first, last = len(file["maps"]), len(file["maps"]) + len(batch.maps)
    names = [classes[column] for column in batch.columns]
    for name, values in (("maps", batch.maps), ("image_id", batch.rows["image_id"].tolist()), ("class_explained", names)):
        file[name].resize(last, axis=0)
        file[name][first:last] = values


def _print_shares(table: pd.DataFrame) -> None:
    shares = table["share_outside_thorax_box"].dropna()
    if len(shares):
        top, bottom, left, right = THORAX_BOX
        even = 1 - (bottom - top) * (right - left)
        print(f"Share of a map outside the thorax box (rough): median {shares.median():.2f}, of an even map {even:.2f}")
    if silent := len(table) - len(shares):
        print(f"{silent:,} maps have no point that speaks for the class.")
