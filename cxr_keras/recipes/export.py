"""`cxr export RUN`: a finished run as files that other programs use, checked against the run's models before they get their name."""

from __future__ import annotations

import difflib
import hashlib
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import pandas as pd

from cxr_keras.config.schema import RunConfig
from cxr_keras.data.labels import class_order
from cxr_keras.data.manifest import read_manifest, select_images
from cxr_keras.data.sources.phantom import holds_phantoms
from cxr_keras.evaluation import read_predictions
from cxr_keras.export.card import render_card
from cxr_keras.export.formats import FORMATS, Format, check_installed
from cxr_keras.export.manifest import CARD_FILE, MANIFEST_FILE, describe_export, describe_files
from cxr_keras.export.parity import check_parity
from cxr_keras.export.serving import Serving
from cxr_keras.recipes.batches import decode_settings
from cxr_keras.recipes.evaluate_run import open_finished
from cxr_keras.recipes.export_networks import answers_of_run, networks_of
from cxr_keras.recipes.fixed_network import engine_of
from cxr_keras.recipes.results import CALIBRATED_FILE
from cxr_keras.recipes.run import announce_phantom
from cxr_keras.runs.files import read_json, write_json, write_text

FEWEST_IMAGES, MOST_IMAGES = 32, 200
"""Images that an export is checked on: held-out ones as far as they reach, others of the run up to the least number."""

PREFERRED_POINTS = ("guaranteed", "sensitive", "0.5")


def export(run: str | Path, format_name: str = "saved_model", *, out: str | Path | None = None, point: str | None = None) -> Path:
    """Write, check, describe and publish an export.

    Args:
        run: a finished run with its models.
        format_name: a key of `FORMATS`.
        out: the folder to make; by default `RUN/export/FORMAT`.
        point: operating point that decides; by default the first of `PREFERRED_POINTS` that the run has locked.

    Returns:
        The folder.

    Raises:
        ValueError: what cannot be exported, and why; or the export does not answer as the run's models do. Then nothing is left.
    """
    run = Path(run)
    format_ = _find_format(format_name)
    folder = Path(out) if out else run / "export" / format_.name
    if folder.exists():
        raise ValueError(f"{folder} exists. Remove it, or give another folder with --out.")
    if keras.backend.backend() != "tensorflow":
        raise ValueError(
            f"exporting needs the TensorFlow backend, KERAS_BACKEND is {keras.backend.backend()}; models of every backend load there. "
            "Set KERAS_BACKEND=tensorflow."
        )
    config, models = open_finished(run, classifiers=True)
    _refuse_precision(config, format_)
    check_installed(format_)
    manifest = read_manifest(run / "manifest.csv")
    classes, scores = class_order(manifest["label"]), read_json(run / "metrics.json")
    announce_phantom(config, manifest)
    chosen = choose_point(scores, classes, name=point)
    temperature, no_temperature = _temperature(scores)
    serving = Serving(classes, decode_settings(config), config.data.image_size, temperature, chosen and float(chosen["locked"]))
    images = images_to_check(manifest, read_predictions(run / "predictions.csv")["image_id"])
    found = networks_of(config, models, classes)
    described = describe_export(
        format_,
        serving,
        name=run.resolve().name if run.resolve().name == config.name else f"{config.name} ({run.resolve().name})",
        models=len(models),
        notes={"operating_point": chosen and chosen["name"], "no_temperature": no_temperature, "no_maps": found.no_maps},
        run=scores["provenance"],
    )
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        print(f"writing {format_.name}", file=sys.stderr, flush=True)
        format_.write(found.networks, serving, partial)
        print(f"checking it on {len(images)} images of the run in a fresh process", file=sys.stderr, flush=True)
        expected = answers_of_run(config, models, images, classes=classes, temperature=temperature)
        parity = check_parity(partial, format_, serving, images=[Path(path) for path in images["path"]], expected=expected)
        described |= {"parity": parity, "phantoms": holds_phantoms(manifest)}
        write_text(partial / CARD_FILE, render_card(described, scores, paper=config.paper))
        write_json(partial / MANIFEST_FILE, described | {"files": describe_files(partial)})
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    _tell(folder, described)
    return folder


def choose_point(scores: Mapping[str, Any], classes: tuple[str, ...], *, name: str | None) -> dict[str, Any] | None:
    """Find the operating point of an export; None for more than two classes.

    Raises:
        ValueError: `name` is given and the run has no such point with a threshold.
    """
    if len(classes) != 2:
        if name is not None:
            raise ValueError(f"--point {name}: operating points are of two classes, the run has {len(classes)}; leave it out.")
        return None
    points = {point["name"]: point for point in scores.get("operating_points") or () if point["locked"] is not None}
    points = {"0.5": {"name": "0.5", "criterion": "fixed", "chosen_on": "nothing", "locked": 0.5}} | points
    if name is None:
        return next(points[each] for each in PREFERRED_POINTS if each in points)
    if name not in points:
        reasons = {point["name"]: point.get("reason") for point in scores.get("operating_points") or ()}
        why = f" {name} has no threshold: {reasons[name]}." if reasons.get(name) else ""
        raise ValueError(f"--point {name}: the run has {', '.join(points)}.{why}")
    return points[name]


def images_to_check(manifest: pd.DataFrame, held_out: pd.Series) -> pd.DataFrame:
    """Draw the rows of a run's manifest that an export is checked on.

    Args:
        manifest: of the run.
        held_out: image_id of the images that the run predicted.

    Returns:
        Up to `MOST_IMAGES` held-out rows, in an order by the digest of their ids; with others of the run where they are fewer than
        `FEWEST_IMAGES`.

    Raises:
        ValueError: files that are gone.
    """
    lot = lambda table: table.iloc[table["image_id"].map(lambda name: hashlib.sha256(name.encode()).hexdigest()).argsort()]  # noqa: E731
    chosen = lot(select_images(manifest, held_out)).head(MOST_IMAGES)
    if len(chosen) < FEWEST_IMAGES:
        others = lot(manifest[~manifest["image_id"].isin(chosen["image_id"])])
        chosen = pd.concat([chosen, others.head(FEWEST_IMAGES - len(chosen))])
    if gone := [path for path in chosen["path"] if not Path(path).is_file()]:
        raise ValueError(
            f"an export is checked on images of the run, and {len(gone)} of {len(chosen)} are not where its manifest.csv says ({gone[0]}). "
            "Put them back, or mend the paths."
        )
    return chosen.reset_index(drop=True)


def _find_format(name: str) -> Format:
    if name not in FORMATS:
        near = difflib.get_close_matches(name, FORMATS, n=1, cutoff=0.3)
        raise ValueError(f"--format {name}: expected {', '.join(FORMATS)}.{f' Did you mean {near[0]}?' if near else ''}")
    return FORMATS[name]


def _refuse_precision(config: RunConfig, format_: Format) -> None:
    if format_.float32_only and config.training.precision != "float32":
        raise ValueError(
            f"the run was trained in {config.training.precision}, which {format_.name} cannot keep to within {format_.tolerance:g}. Export "
            "it with --format saved_model, or train with training.precision=float32."
        )
    if engine_of(config) == "openvino" and config.training.precision != "float32":
        raise ValueError(
            f"the features were computed by OpenVINO in {config.training.precision}, which no exported graph repeats. Run it with "
            "training.precision=float32, or score other images with `cxr evaluate RUN --on MANIFEST`."
        )


def _temperature(scores: Mapping[str, Any]) -> tuple[float | None, str | None]:
    """The locked temperature, and why there is none."""
    found = scores.get("calibration")
    if not found:
        return None, f"the run was scored before temperatures were fitted; it has no {CALIBRATED_FILE}"
    if found["locked"] is None:
        return None, found.get("reason") or "the run locked no temperature"
    return float(found["locked"]), None


def _tell(folder: Path, described: Mapping[str, Any]) -> None:
    """Say where it lies and how it answers."""
    parity, classes = described["parity"], described["classes"]
    differences = ", ".join(f"{way} {value:.1e}" for way, value in parity["largest_difference"].items())
    print(f"{parity['images']} images of the run: largest difference of a probability {differences}; {parity['tolerance']:g} is accepted")
    if described["threshold"] is not None:
        print(f'Decides {classes[1]} from {described["threshold"]:.4g} on, operating point "{described["operating_point"]}"')
    print(f"Everything lies in {folder}")
