"""The first of two stages, a head on a frozen base: this project against the Keras script that a user would write.

Both train the same head on the same base, folds, patients and (if asked for) augmented copies: 5 folds, 20 epochs each, a validation
part scored after each epoch, the held-out fold at the end. The script reads folders with `image_dataset_from_directory` and calls `fit`
with the frozen base in the loop, fold after fold, in one process. Ours is `cxr cv`. Timed are the two commands as a whole, where ours
starts an interpreter for each fold and bootstraps intervals; and the stage alone, from `compile` to the end of `fit`: reading the files
is among it for the script, extraction and the reading of stored rows for ours, as is the decoding of the files, measured once more by
itself. Building the network, loading its weights and predicting the held-out images at the end count for neither. With --second-stage
both go on to train everything for so many epochs: the commands as a whole are then two-stage cross-validations, and the second stage has
a column of its own.

    python benchmarks/frozen_stage.py --images CHEST_XRAY [--models resnet50 vgg16] [--copies] [--second-stage 2]

CHEST_XRAY is the folder with train/ and test/; without it phantoms are drawn. Needs nothing besides the project.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

COUNT, SIDE, FOLDS, EPOCHS = 512, 128, 5, 20
BATCH_SIZE = 32
COPIES = "{mode: copies, classes: [normal], rotation_degrees: 15.0, zoom: [0.8, 1.2], shift: 0.1, horizontal_flip: true}"
NO_COPIES = "{mode: each_epoch, classes: all, rotation_degrees: 0.0, zoom: [1.0, 1.0], shift: 0.0, horizontal_flip: false}"
HEAD = {"pooling": "average", "dense": [256], "dropout": 0.0, "hidden_dropout": 0.0}
SECOND_RATE = 1e-5  # Božičković's for the whole network


def save_base(path: Path, name: str, side: int, images: Path) -> None:
    """Write a network whose base both ways start from; its weights are random, its BatchNorm statistics those of 64 of the images."""
    import keras
    import numpy as np

    import models_zoo
    from cxr_keras.pixels.decode import DecodeSettings, decode_and_resize
    from cxr_keras.training.batch_norm import calibrate_batch_norm

    keras.utils.set_random_seed(0)
    model = models_zoo.build(name, (side, side), 2, **HEAD)
    files = sorted(file for file in images.rglob("*") if file.suffix in (".jpeg", ".png"))
    chosen = files[:: max(1, len(files) // 64)][:64]
    pixels = np.stack([decode_and_resize(file.read_bytes(), DecodeSettings(side, side)).numpy() for file in chosen])
    calibrate_batch_norm(model, [(pixels,)], 1)
    model.save(path)


def ours(options: argparse.Namespace, folder: Path, base: Path, name: str) -> dict[str, Any]:
    """Run `cxr cv` whole."""
    source = f"kermany:{options.images}" if options.images else f"phantom:{folder / 'phantom'}"
    normal = options.count // 4  # about the share of Kermany's set
    settings = [
        f"data.sources=[{source}]",
        f"data.at_most_per_class={{normal: {normal}, pneumonia: {options.count - normal}}}",
        "data.labels=binary",
        f"data.image_size=[{options.side}, {options.side}]",
        f"data.batch_size={BATCH_SIZE}",
        f"model={{name: {name}, weights: {base}, params: {json.dumps(HEAD)}}}",
        f"augmentation={COPIES if options.copies else NO_COPIES}",
        f"training.phases={{head: {{epochs: {options.epochs}, patience: null}}, "
        f"all: {{epochs: {options.second_stage}, patience: null, learning_rate: {SECOND_RATE}}}}}",
        "training.keep=last",
        "training.save_models=false",
        f"cross_validation={{folds: {options.folds}, protocol: plain, validation: 0.15}}",
        "evaluation.bootstrap_draws=100",
    ]
    run = folder / "ours"
    command = [sys.executable, "-m", "cxr_keras.cli.app", "cv", "resnet50", *settings, "--run", str(run)]
    started = time.perf_counter()
    subprocess.run(command, check=True, env=os.environ | {"CXR_CACHE": str(folder / "cache")}, stdout=subprocess.DEVNULL)
    seconds = time.perf_counter() - started
    done = [json.loads((run / f"fold-{fold}" / "done.json").read_text()) for fold in range(options.folds)]
    import pandas as pd

    history = pd.concat([pd.read_csv(run / f"fold-{fold}" / "history.csv") for fold in range(options.folds)])
    phases = [phase for fold in done for phase in fold["phases"]]
    first, second = (sum(phase["seconds"] for phase in phases if phase["phase"] == name) for name in ("head", "all"))
    return {
        "seconds": seconds,
        "stage_seconds": first + decoding_seconds(run, folder / "decoded"),
        "second_seconds": second,
        "validation_accuracy": history.loc[(history["phase"] == "head") & (history["epoch"] == options.epochs), "val_accuracy"].tolist(),
        "examples": [fold["training_examples"] for fold in done],
    }


def decoding_seconds(run: Path, cache: Path) -> float:
    """Check and decode the images of a run into another cache, and say how long it took."""
    from cxr_keras.config.loader import read_config
    from cxr_keras.data.manifest import read_manifest
    from cxr_keras.recipes.batches import open_cache

    config, manifest = read_config(run / "config.yaml"), read_manifest(run / "manifest.csv")
    usual = os.environ.get("CXR_CACHE")
    os.environ["CXR_CACHE"] = str(cache)
    try:
        started = time.perf_counter()
        open_cache(manifest, config, show_progress=False)
        return time.perf_counter() - started
    finally:
        os.environ.pop("CXR_CACHE") if usual is None else os.environ.update(CXR_CACHE=usual)


def lay_out_folders(run: Path, folder: Path, copies: bool) -> None:
    """Write what the script reads: FOLDER/fold-k/part/class/ with links to the images, and augmented copies as PNG files."""
    import cv2
    import pandas as pd

    from cxr_keras.config.loader import read_config
    from cxr_keras.data.examples import examples_of
    from cxr_keras.data.labels import class_order
    from cxr_keras.data.manifest import read_manifest
    from cxr_keras.data.pipeline import evaluation_dataset
    from cxr_keras.recipes.batches import augmentation_of, expanded, open_cache

    config, manifest = read_config(run / "config.yaml"), read_manifest(run / "manifest.csv")
    classes = class_order(manifest["label"])
    cache = open_cache(manifest, config, show_progress=False)
    for fold in sorted(run.glob("fold-*")):
        parts = pd.read_csv(fold / "parts.csv", dtype=str).set_index("image_id")["part"]
        for row in manifest.itertuples():
            target = folder / fold.name / parts[row.image_id] / row.label
            target.mkdir(parents=True, exist_ok=True)
            (target / f"{row.Index}{Path(row.path).suffix}").symlink_to(Path(row.path).absolute())
        if not copies:
            continue
        training = expanded(examples_of(manifest[manifest["image_id"].map(parts) == "train"], cache, classes), config, classes)
        added = training.take(training.copies > 0)
        shown = evaluation_dataset(cache.images, added, batch_size=1, augmentation=augmentation_of(config, classes), seed=config.seed)
        for number, (image, target) in enumerate(shown.as_numpy_iterator(), start=1):
            label = classes[int(target[0].argmax())]
            cv2.imwrite(str(folder / fold.name / "train" / label / f"copy-{number}.png"), image[0].round().astype("uint8"))


def theirs(options: argparse.Namespace) -> dict[str, Any]:
    """The script: every fold reads its folders, freezes the base and calls `fit`."""
    import keras

    import models_zoo  # noqa: F401 - defines layers that the file of the base names

    accuracies, stage_seconds, second_seconds = [], 0.0, 0.0
    for fold in range(options.folds):
        keras.backend.clear_session()
        keras.utils.set_random_seed(fold)
        data = {
            part: keras.utils.image_dataset_from_directory(
                options.script / f"fold-{fold}" / part,
                label_mode="categorical",
                color_mode="grayscale",
                image_size=(options.side, options.side),
                batch_size=BATCH_SIZE,
                shuffle=part == "train",
                seed=fold,
                verbose=False,
            ).prefetch(2)
            for part in ("train", "validation", "test")
        }
        whole = keras.saving.load_model(options.base)
        base = keras.Model(whole.inputs[0], whole.get_layer("features").output)
        base.trainable = False
        image = keras.Input((options.side, options.side, 1))
        x = keras.layers.GlobalAveragePooling2D()(base(image, training=False))
        model = keras.Model(image, keras.layers.Dense(2, activation="softmax")(keras.layers.Dense(256, activation="relu")(x)))
        started = time.perf_counter()
        model.compile(keras.optimizers.Adam(1e-3), "categorical_crossentropy", metrics=["accuracy"])
        history = model.fit(data["train"], validation_data=data["validation"], epochs=options.epochs, verbose=0)
        stage_seconds += time.perf_counter() - started
        accuracies.append(float(history.history["val_accuracy"][-1]))
        if options.second_stage:
            started = time.perf_counter()
            base.trainable = True
            model.compile(keras.optimizers.Adam(SECOND_RATE, epsilon=0.1), "categorical_crossentropy", metrics=["accuracy"])
            model.fit(data["train"], validation_data=data["validation"], epochs=options.second_stage, verbose=0)
            second_seconds += time.perf_counter() - started
        model.evaluate(data["test"], verbose=0)
    return {"stage_seconds": stage_seconds, "second_seconds": second_seconds, "validation_accuracy": accuracies}


def script(options: argparse.Namespace, folder: Path, base: Path) -> dict[str, Any]:
    """Run the script whole, in a process of its own."""
    command = [sys.executable, __file__, "--script", str(folder), "--base", str(base), "--side", str(options.side)]
    command += ["--folds", str(options.folds), "--epochs", str(options.epochs), "--second-stage", str(options.second_stage)]
    started = time.perf_counter()
    answer = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return {"seconds": time.perf_counter() - started, **json.loads(answer.stdout.splitlines()[-1])}


def compare(options: argparse.Namespace, name: str) -> dict[str, Any]:
    """Run both ways for one network."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        if not options.images:
            from cxr_keras.data.phantom import generate_phantom

            generate_phantom(folder / "phantom", patients_per_class=options.count, image_size=options.side, labels="binary")
        save_base(folder / "base.keras", name, options.side, options.images or folder / "phantom")
        mine = ours(options, folder, folder / "base.keras", name)
        lay_out_folders(folder / "ours", folder / "script", options.copies)
        other = script(options, folder / "script", folder / "base.keras")
        return {"network": name, "ours": mine, "script": other}


def main() -> None:
    """Read the command line, run each network both ways, print a row each and all that was measured to standard error."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=Path, help="the folder chest_xray; without it phantoms")
    parser.add_argument("--models", nargs="+", default=["resnet50", "vgg16"])
    parser.add_argument("--copies", action="store_true", help="augmented copies that level the classes of each training part")
    parser.add_argument("--count", type=int, default=COUNT, help="images, a quarter of them normal")
    parser.add_argument("--side", type=int, default=SIDE, help="height and width in pixels")
    parser.add_argument("--folds", type=int, default=FOLDS)
    parser.add_argument("--epochs", type=int, default=EPOCHS, help="of the first stage")
    parser.add_argument("--second-stage", type=int, default=0, help="epochs of the second stage")
    parser.add_argument("--script", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--base", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.script:
        print(json.dumps(theirs(options)))
        return
    header = ("network", "way", "command, s", "ratio", "first stage alone, s", "ratio", "second stage, s", "training pictures a fold")
    print(f"| {' | '.join((*header, 'validation accuracy of the folds after the first stage, mean'))} |")
    print("|---" * (len(header) + 1) + "|")
    for name in options.models:
        found = compare(options, name)
        for way in ("ours", "script"):
            row = found[way]
            whole, stage = (found["script"][key] / row[key] for key in ("seconds", "stage_seconds"))
            pictures = f"{min(found['ours']['examples'])} to {max(found['ours']['examples'])}"
            accuracy = sum(row["validation_accuracy"]) / options.folds
            cells = (
                name,
                way,
                f"{row['seconds']:.0f}",
                f"{whole:.1f}",
                f"{row['stage_seconds']:.1f}",
                f"{stage:.1f}",
                f"{row['second_seconds']:.0f}" if options.second_stage else "",
                pictures,
                f"{accuracy:.3f}",
            )
            print(f"| {' | '.join(cells)} |", flush=True)
        print(json.dumps(found), file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
