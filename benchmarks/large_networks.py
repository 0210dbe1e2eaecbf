"""Time and memory of the large networks at the size their paper trained them: 20 steps on one fixed batch of real images.

The loss must fall to almost nothing, or the network, its loss or its gradients are wrong. Each network runs in a fresh process.

    python benchmarks/large_networks.py --images CHEST_XRAY [--networks googlenet densenet161 resnet152]

Needs nothing besides the project.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

SIDE = 320
BATCH_SIZE = 10
STEPS = 20
TRAINING_IMAGES = 5_232  # train and val of Kermany, which Zhou et al. train on
NETWORKS = ("googlenet", "densenet161", "resnet152")
LEARNING_RATE = 1e-3  # Zhou et al.: Adam


def one_batch(folder: Path) -> tuple[object, object]:
    """Decode the first five images of each class of the training folder: float32 (10, 320, 320, 1), one-hot (10, 2)."""
    import numpy as np

    from cxr_keras.pixels.decode import DecodeSettings, decode_and_resize

    images, targets = [], []
    for label, name in enumerate(("NORMAL", "PNEUMONIA")):
        for path in sorted((folder / "train" / name).iterdir())[: BATCH_SIZE // 2]:
            images.append(decode_and_resize(path.read_bytes(), DecodeSettings(SIDE, SIDE)).numpy())
            targets.append(np.eye(2, dtype=np.float32)[label])
    return np.stack(images), np.stack(targets)


def measure(network: str, folder: Path) -> dict[str, float]:
    """Train one network on one batch in this process."""
    import keras

    import models_zoo
    from cxr_keras.training.fit import compile_phase
    from cxr_keras.training.strategies import Optimizer, Phase

    keras.utils.set_random_seed(0)
    images, targets = one_batch(folder)
    model = models_zoo.build(network, (SIDE, SIDE), 2)
    compile_phase(model, Phase("all", train="all", epochs=1, optimizer=Optimizer("adam", learning_rate=LEARNING_RATE)), jit_compile=False)
    losses, seconds = [], []
    for _ in range(STEPS):
        started = time.perf_counter()
        answer = model.train_on_batch(images, targets, return_dict=True)
        seconds.append(time.perf_counter() - started)
        losses.append(float(answer["loss"]))
        model.reset_metrics()
    step = statistics.median(seconds[1:])
    return {
        "parameters": model.count_params(),
        "first_loss": losses[0],
        "last_loss": losses[-1],
        "seconds_per_step": step,
        "first_step": seconds[0],
        "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024),
    }


def main() -> None:
    """Read the command line and print one row a network."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=Path, required=True, help="the folder chest_xray, with train/NORMAL and train/PNEUMONIA")
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=NETWORKS)
    parser.add_argument("--one", choices=NETWORKS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measure(options.one, options.images)))
        return
    print(f"{STEPS} steps of Adam {LEARNING_RATE:g} on one batch of {BATCH_SIZE} images at {SIDE} px, random weights")
    print(f"an epoch is {TRAINING_IMAGES:,} images")
    header = ("network", "parameters", "loss 1", f"loss {STEPS}", "s/step", "ms/image", "min/epoch", "first step s", "peak GB")
    print("".join(f"{name:>14}" for name in header))
    for network in options.networks:
        command = [sys.executable, __file__, "--images", str(options.images), "--one", network]
        environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
        found = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment).stdout.splitlines()[-1])
        step = found["seconds_per_step"]
        row = (
            network,
            f"{found['parameters']:,}",
            f"{found['first_loss']:.4f}",
            f"{found['last_loss']:.4f}",
            f"{step:.2f}",
            f"{1000 * step / BATCH_SIZE:.0f}",
            f"{step * -(-TRAINING_IMAGES // BATCH_SIZE) / 60:.0f}",
            f"{found['first_step']:.0f}",
            f"{found['peak_bytes'] / 1e9:.1f}",
        )
        print("".join(f"{cell:>14}" for cell in row), flush=True)


if __name__ == "__main__":
    main()
