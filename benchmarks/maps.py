"""Grad-CAM in batches against one image at a time, for the small VGG-like network.

The slow way is what one would write after a tutorial: the whole model under a gradient tape, eagerly, an image a call. The fast way is
`cxr_keras.explain.maps.grad_cam`: one compiled pass to the features, a compiled gradient through the head alone, a batch a call. Both must
give the same maps.

    python benchmarks/maps.py [--images 512] [--size 64] [--batch 64]

Needs nothing besides the project and the TensorFlow backend.
"""

from __future__ import annotations

import argparse
import resource
import sys
import time

import keras
import numpy as np
import tensorflow as tf

import models_zoo
from cxr_keras.explain.maps import grad_cam


def one_at_a_time(model: keras.Model, images: np.ndarray) -> np.ndarray:
    """Grad-CAM of the predicted class, image by image; float32 (n, h, w)."""
    part = keras.Model(model.inputs[0], [model.get_layer("features").output, model.get_layer("logits").output])
    maps = []
    for image in images:
        with tf.GradientTape() as tape:
            features, logits = part(image[np.newaxis], training=False)
            score = logits[0, int(np.argmax(logits[0]))]
        weights = tf.reduce_mean(tape.gradient(score, features), axis=(1, 2))
        maps.append(tf.reduce_sum(features * weights[:, tf.newaxis, tf.newaxis], axis=-1)[0].numpy())
    return np.stack(maps)


def in_batches(model: keras.Model, images: np.ndarray, batch: int) -> np.ndarray:
    """The same by the project's function."""
    explain = grad_cam(model)
    return np.concatenate([explain(images[first : first + batch], None).maps for first in range(0, len(images), batch)])


def main() -> None:
    """Read the command line and print one row a way."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=512)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--batch", type=int, default=64)
    options = parser.parse_args()
    keras.utils.set_random_seed(0)
    model = models_zoo.build("mini_vgg", (options.size, options.size), 2)
    images = np.random.default_rng(0).uniform(0, 255, (options.images, options.size, options.size, 1)).astype(np.float32)
    ways = {
        "one at a time": lambda: one_at_a_time(model, images),
        f"batches of {options.batch}": lambda: in_batches(model, images, options.batch),
    }
    print(f"Grad-CAM of mini_vgg, {options.images} images of {options.size}x{options.size}, random weights")
    print(f"{'way':>18}{'seconds':>10}{'images/s':>10}{'peak GB':>10}")
    found = {}
    for name, way in ways.items():
        started = time.perf_counter()
        found[name] = way()
        seconds = time.perf_counter() - started
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e9
        print(f"{name:>18}{seconds:>10.2f}{options.images / seconds:>10.0f}{peak:>10.2f}", flush=True)
    slow, fast = found.values()
    print(
        f"largest difference of the maps {np.abs(slow - fast).max():.1e}, highest value {np.abs(slow).max():.1e}; compiling is in the times"
    )


if __name__ == "__main__":
    main()
