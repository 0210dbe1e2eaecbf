"""`cxr audit RUN`: does a finished run tell classes by how images look instead of what they show?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd

from cxr_keras.config.schema import RunConfig
from cxr_keras.data.cache import PixelCache
from cxr_keras.data.examples import examples_of
from cxr_keras.data.labels import class_order
from cxr_keras.data.looks import LOOKS, Look, apply_look
from cxr_keras.data.manifest import read_manifest
from cxr_keras.evaluation import predictions_table, score_predictions
from cxr_keras.evaluation.crossed import AS_IT_IS, NOTABLE, crossed_differences, is_read
from cxr_keras.recipes.batches import batches_in_order, open_cache
from cxr_keras.recipes.evaluate_run import open_finished
from cxr_keras.recipes.parts import parts_of
from cxr_keras.recipes.report_looks import AUDIT_FILE, AUDIT_FOLDER, TOLD_IN_REPORT
from cxr_keras.recipes.run import announce_phantom
from cxr_keras.reporting import save_figure
from cxr_keras.reporting.audit import SCORES, audit_figure, audit_table, changes_of, in_words
from cxr_keras.reporting.tables import render_markdown, render_text
from cxr_keras.runs.directory import refuse_file
from cxr_keras.runs.files import read_json, write_csv, write_json, write_text
from cxr_keras.training.validation import predict_from_logits


def audit(run: str | Path, *, out: str | Path | None = None, draws: int | None = None) -> dict[str, Any]:
    """Give one class after another another look, and tell how far that moves a run's scores.

    Images are those that no model of the run was trained on, but never those of an official test that the run is scored on: the validation
    part of `cxr train`, or its test part where the split is not an official one; of `cxr cv` what each fold held out.

    Args:
        run: a finished run with its networks.
        out: folder of the results; default `RUN/audit`. What an earlier audit left there is replaced.
        draws: bootstrap resamples of patients; by default as many as the number of comparisons needs.

    Returns:
        What `audit.json` holds: scores as the images are, and for each look and class the differences.

    Raises:
        ValueError: no finished run, one without networks, or one whose only held-out images are the official test's.
    """
    run = Path(run)
    folder = Path(out) if out else run / AUDIT_FOLDER
    refuse_file(folder, option="--out")
    config, models = open_finished(run)
    manifest = read_manifest(run / "manifest.csv")
    classes = class_order(manifest["label"])
    parts = {name: _audited(config, path.parent) for name, path in models.items()}
    announce_phantom(config, manifest)
    cache = open_cache(manifest, config, show_progress=True)  # of all the run's images, as its folds have it
    plain, changed = [], {look.name: [] for look in LOOKS}
    for name, path in models.items():
        fold = int(name.removeprefix("fold-")) if name.startswith("fold-") else 0
        images = manifest[manifest["image_id"].isin(parts[name])].reset_index(drop=True)
        predict = _predictor(config, path, images, classes, cache=cache)
        plain.append(predictions_table(images, predict(None), classes, fold=fold))
        for look in LOOKS:
            print(f"{name}: {look.name}", flush=True)
            changed[look.name].append(predictions_table(images, predict(look), classes, fold=fold))
    tables = {name: pd.concat(found, ignore_index=True) for name, found in changed.items()}
    together = pd.concat(plain, ignore_index=True)
    print(f"resampling patients for {len(LOOKS) * len(classes)} comparisons", flush=True)
    differences = crossed_differences(together, tables, draws=draws, seed=config.seed)
    scores = score_predictions(together, seed=config.seed)
    told = {
        "images": scores["n_images"],
        "patients": scores["n_groups"],
        "provenance": read_json(run / "metrics.json")["provenance"],
        "scores": {name: scores["scores"][name] for name in SCORES},
        "looks": [
            {"look": look, "class": label, "read": is_read(found["macro_auroc"]), **{name: asdict(found[name]) for name in found}}
            for (look, label), found in differences.items()
        ],
    }
    changes = changes_of(told["looks"])
    table, sentence = audit_table(told, notable=NOTABLE), in_words(changes, notable=NOTABLE)
    write_csv(folder / "predictions.csv", pd.concat([each.assign(look=name) for name, each in {AS_IT_IS: together, **tables}.items()]))
    write_text(folder / "summary.md", f"# {config.name}: audit\n\n{sentence}\n\n{render_markdown([table])}")
    save_figure(audit_figure(changes, title=config.name, notable=NOTABLE), folder / "audit.png", svg=True)
    write_json(folder / AUDIT_FILE, told)
    print(render_text([table]))
    print(sentence)
    announce_phantom(config, manifest)
    print(f"Everything lies in {folder}{'' if out else TOLD_IN_REPORT}")
    return told


def _audited(config: RunConfig, fold_folder: Path) -> list[str]:
    """Ids of the images that a fold's model may be audited on.

    Raises:
        ValueError: they would be official test images.
    """
    parts = parts_of(fold_folder)
    split = fold_folder.name == "split"
    validation = list(parts.index[parts == "validation"])
    if split and validation and config.split.kind != "official_halves":
        return validation
    if split and config.split.kind != "grouped":
        raise ValueError(
            "All that this run held out are official test images, whose labels an audit would read again and again. Train with "
            "split.validation=0.1, or audit a run of `cxr cv` with data.official_parts=[train, val]."
        )
    return list(parts.index[parts == "test"])


def _predictor(
    config: RunConfig, model: Path, images: pd.DataFrame, classes: tuple[str, ...], *, cache: PixelCache
) -> Callable[[Look | None], np.ndarray]:
    """A function from a look to the probabilities of these images, float64 (n, k)."""
    found = examples_of(images, cache, classes)
    pictures, examples = cache.images[found.rows], replace(found, rows=np.arange(len(found)))
    network = keras.models.load_model(model, compile=False, safe_mode=True)

    def predict(look: Look | None) -> np.ndarray:
        shown = pictures if look is None else apply_look(pictures, look, keys=found.keys, seed=config.seed)
        return predict_from_logits(network, batches_in_order(shown, examples, config))[0]

    return predict
