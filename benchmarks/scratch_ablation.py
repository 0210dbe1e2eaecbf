"""What helps a small network from scratch, judged without the official test folder: the table of docs/scratch.md.

Of the folders train and val, 14 % of the images are set apart as a block: per kind of file (the two series of healthy children, bacterial,
viral) the patients with the lowest numbers. The rest is trained on, but for 12 % of its patients, whose images get the look of another
archive and are scored too; `cxr audit` scores these images further. One run of `cxr train` a row; a run that is done is not repeated.
The pretrained row starts from a network that learned, without any label, by how many right angles an image of the training part is turned
(Gidaris, Singh and Komodakis 2018, Unsupervised Representation Learning by Predicting Image Rotations).

    python benchmarks/scratch_ablation.py --images CHEST_XRAY --out runs/ablation [--rows "96 px, place" ...] [--epochs 12]

Needs nothing besides the project. About 6 minutes a row on one quiet core.
"""

from __future__ import annotations

import argparse
import contextlib
import re
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score

from cxr_keras.data.looks import LOOKS
from cxr_keras.data.manifest import read_manifest, write_manifest
from cxr_keras.data.sources import build_manifest
from cxr_keras.data.subsample import keep_official_parts
from cxr_keras.pixels.decode import DecodeSettings, decode_and_resize
from cxr_keras.recipes.audit import audit
from cxr_keras.runs.files import write_csv, write_text

BLOCK = 0.14
LOOK = "rescale: [0.5, 1.0], jpeg_quality: [30, 95], contrast: [0.7, 1.3], gamma: [0.7, 1.4], brightness: 0.1, noise: 4.0"
STRONGER = "rescale: [0.3, 1.0], jpeg_quality: [10, 95], contrast: [0.5, 1.5], gamma: [0.55, 1.8], brightness: 0.15, noise: 12.0"
VALIDATION_LOOK = "rescale: [0.35, 0.7], jpeg_quality: [25, 60], contrast: [0.6, 1.3], gamma: [0.7, 1.4], brightness: 0.1"

CONFIG = """
name: scratch_ablation
data: {{manifest: {manifest}, labels: binary, image_size: [96, 96], batch_size: 32}}
model: {{name: mini_resnet, weights: null, params: {{blocks: 1}}}}
augmentation: {{rotation_degrees: 10.0, zoom: [0.85, 1.15], shift: 0.08, horizontal_flip: true}}
training:
  strategy: from_scratch
  phases:
    all: {{epochs: {epochs}, patience: null, optimizer: adam, learning_rate: 1.0e-3, decay: cosine, batch_norm: recalibrated}}
  class_weights: balanced
  precision: mixed_bfloat16
split: {{kind: official, validation: 0.12}}
evaluation: {{mistakes_shown: 0, validation_appearance: {{{look}}}}}
"""

ROTATIONS_CONFIG = """
name: rotations
data: {{sources: ["manifest_csv:{table}"], labels: as_given, image_size: [96, 96], batch_size: 32}}
model: {{name: mini_resnet, weights: null, params: {{blocks: 1}}}}
augmentation: {{zoom: [0.85, 1.15], shift: 0.08, appearance: {{{look}}}}}
training:
  strategy: from_scratch
  phases:
    all: {{epochs: {epochs}, patience: null, optimizer: adam, learning_rate: 1.0e-3, decay: cosine, batch_norm: recalibrated}}
  precision: mixed_bfloat16
split: {{kind: official}}
evaluation: {{mistakes_shown: 0}}
"""
ROTATIONS_EPOCHS = 3  # of four times as many images: as many steps as the twelve epochs that follow
SIDE = 96

PRETRAINED = "96 px, place, look, pretrained on rotations"

ROWS = {
    "96 px, nothing": (
        "augmentation.rotation_degrees=0",
        "augmentation.zoom=[1.0, 1.0]",
        "augmentation.shift=0",
        "augmentation.horizontal_flip=false",
    ),
    "96 px, place": (),
    "96 px, place, averaged weights": ("training.phases.all.average=0.995",),
    "64 px, place": ("data.image_size=[64, 64]",),
    "96 px, place, look": (f"augmentation.appearance={{{LOOK}}}",),
    "96 px, place, stronger look": (f"augmentation.appearance={{{STRONGER}}}",),
    "64 px, place, stronger look": (f"augmentation.appearance={{{STRONGER}}}", "data.image_size=[64, 64]"),
    "96 px, place, look, CLAHE": (f"augmentation.appearance={{{LOOK}}}", "data.clahe=2.0"),
    "96 px, place, look, mixup": (f"augmentation.appearance={{{LOOK}}}", "augmentation.mixup=0.4"),
    "96 px, place, look, two blocks": (f"augmentation.appearance={{{LOOK}}}", "model.params={blocks: 2}"),
    PRETRAINED: (f"augmentation.appearance={{{LOOK}}}", "training.strategy=end_to_end", "model.weights={rotations}"),
    "64 px, place, aspect, look, two blocks": (
        f"augmentation.appearance={{{LOOK}}}",
        "augmentation.aspect=[0.65, 1.54]",
        "model.params={blocks: 2}",
        "data.image_size=[64, 64]",
    ),
}


def block_manifest(images: Path) -> pd.DataFrame:
    """The images of train and val, those of the block marked as "test" and all others as "train"."""
    manifest = keep_official_parts(build_manifest([f"kermany:{images}"], labels="binary", show_progress=False), ("train", "val"))
    size = manifest["group_id"].value_counts()
    patients = manifest.drop_duplicates("group_id", keep="last")
    kind = np.where(
        patients["label"] == "normal",
        np.where(patients["patient_id"].str.contains("NORMAL2"), "second series", "first series"),
        np.where(patients["path"].str.contains("virus"), "viral", "bacterial"),
    )
    number = patients["patient_id"].map(lambda name: int(re.search(r"(?:IM-|person)(\d+)", name).group(1)))
    block: list[str] = []
    for _, of_kind in patients.assign(number=number).groupby(kind):
        in_turn = of_kind.sort_values("number")["group_id"]
        before = size[in_turn].cumsum().shift(fill_value=0)
        block += list(in_turn[(before < BLOCK * size[in_turn].sum()).to_numpy()])
    return manifest.assign(split=np.where(manifest["group_id"].isin(block), "test", "train"))


def pretrained_on_rotations(out: Path) -> Path:
    """Train a network on turned images of the training part, and on nothing of the validation part or the block.

    Args:
        out: folder of the runs; that of an untouched row must lie there, for its parts.

    Returns:
        The trained network's file.
    """
    manifest, untouched = read_manifest(out / "manifest.csv"), out / folder_of("96 px, place, look")
    part = pd.read_csv(untouched / "split" / "parts.csv", dtype=str).set_index("image_id")["part"]
    folder, rows = out / "turned", []
    folder.mkdir(exist_ok=True)
    # The validation part is what the rotations are scored on; of identical files, which are of one part, one will do.
    shown = manifest[manifest["image_id"].map(part).isin(("train", "validation"))].drop_duplicates("sha256")
    for image in shown.itertuples():
        pixels = decode_and_resize(Path(image.path).read_bytes(), DecodeSettings(SIDE, SIDE)).numpy()[..., 0].astype(np.uint8)
        for turns in range(4):
            path = folder / f"{image.sha256}-{turns}.png"
            if not path.exists():
                cv2.imwrite(str(path), np.rot90(pixels, turns))
            split = "train" if part[image.image_id] == "train" else "test"
            rows.append((path.relative_to(out), f"turned {turns}", image.group_id, split))
    table, config, run = out / "turned.csv", out / "rotations.yaml", out / "rotations"
    write_csv(table, pd.DataFrame(rows, columns=["path", "label", "patient_id", "split"]))
    write_text(config, ROTATIONS_CONFIG.format(table=table.resolve(), look=LOOK, epochs=ROTATIONS_EPOCHS))
    subprocess.run(["cxr", "train", str(config), "--run", str(run)], check=True, stdout=sys.stderr)
    return run / "split" / "model.keras"


def folder_of(row: str) -> str:
    """A row's name as that of a folder."""
    return re.sub(r"[^a-z0-9]+", "-", row.lower())


def auroc(table: Path) -> tuple[float, float]:
    """AUROC and accuracy of a predictions table."""
    predictions = pd.read_csv(table)
    sick, probability = predictions["label"] == "pneumonia", predictions["p_pneumonia"]
    return roc_auc_score(sick, probability), float(((probability >= 0.5) == sick).mean())


def main() -> None:
    """Train what is missing of the rows, one after another, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=Path, required=True, help="chest_xray folder of the Kermany set")
    parser.add_argument("--out", type=Path, required=True, help="where the runs lie")
    parser.add_argument("--rows", nargs="+", choices=list(ROWS), default=list(ROWS), metavar="ROW")
    parser.add_argument("--epochs", type=int, default=12)
    options = parser.parse_args()
    manifest = options.out / "manifest.csv"
    write_manifest(block_manifest(options.images), manifest)
    write_text(options.out / "config.yaml", CONFIG.format(manifest=manifest.resolve(), epochs=options.epochs, look=VALIDATION_LOOK))
    print(f"{'row':40}{'validation':>12}{'another look':>14}{'block':>9}{'accuracy':>10}{'crossed looks':>15}{'shapes':>8}")
    for row in options.rows:
        run, settings = options.out / folder_of(row), ROWS[row]
        if row == PRETRAINED:
            network = pretrained_on_rotations(options.out)
            settings = [setting.replace("{rotations}", str(network.resolve())) for setting in settings]
        command = ["cxr", "train", str(options.out / "config.yaml"), *settings, "--run", str(run)]
        subprocess.run(command, check=True, stdout=sys.stderr)
        with contextlib.redirect_stdout(sys.stderr):
            audited = audit(run)
        plain = audited["scores"]["macro_auroc"]["value"]
        shapes = {look.name for look in LOOKS if look.of_shape}
        worst = {
            kind: plain + min(row["macro_auroc"]["value"] for row in audited["looks"] if (row["look"] in shapes) == (kind == "shape"))
            for kind in ("look", "shape")
        }
        look, block = auroc(run / "split" / "validation_predictions.csv")[0], auroc(run / "predictions.csv")
        print(f"{row:40}{plain:12.4f}{look:14.4f}{block[0]:9.4f}{block[1]:10.3f}", end="")
        print(f"{worst['look']:15.4f}{worst['shape']:8.4f}", flush=True)


if __name__ == "__main__":
    main()
