"""One training over several devices: each has a copy of the network and takes its share of every batch (`training.distribution: mirrored`).

The loss is that of one device also where a batch does not divide evenly. Keras 3.15 divides the mean loss of each device by their number,
so an image counts for more where its device has fewer: with 7 images on two devices 1/6 and 1/8 instead of 1/7. Here the share of each
device is weighted by its images.
"""

from __future__ import annotations

import contextlib
from typing import Any

import keras
import tensorflow as tf

from cxr_keras.config.schema import RunConfig
from cxr_keras.training.devices import Devices, OneDevice


def check_distribution(config: RunConfig) -> None:
    """Raise ValueError where the backend cannot do what `training.distribution` asks for."""
    if config.training.distribution == "mirrored" and keras.backend.backend() != "tensorflow":
        raise ValueError(
            f"training.distribution=mirrored needs the TensorFlow backend, and this is {keras.backend.backend()}. Unset KERAS_BACKEND, or "
            "set training.distribution=none; with --jobs each fold still gets a GPU of its own."
        )


def devices_of(config: RunConfig) -> Devices:
    """The devices that a training of this config uses; opens them."""
    return Replicas() if config.training.distribution == "mirrored" else OneDevice()


def check_batch(size: int, devices: Devices) -> None:
    """Refuse a batch that does not divide evenly.

    Only the last batch of an epoch may be uneven: Keras compares the shares of the first one before it trains.

    Args:
        size: images a step.
        devices: that share them.

    Raises:
        ValueError: the devices would get different numbers of images.
    """
    if size % devices.count:
        raise ValueError(
            f"{devices.count} devices cannot share batches of {size} images evenly. Set data.batch_size to a multiple of that, at "
            "most the number of training images, or training.distribution=none."
        )


class Replicas:
    """All GPUs of this process, or without any its CPU devices, each with a copy of the model; see `training.devices.Devices`.

    Batch normalisation uses the statistics of each device's own share, and the moving statistics are the means over devices. Dropout draws
    the same pattern on every device.
    """

    def __init__(self) -> None:
        """Open the devices that TensorFlow sees."""
        devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
        self.count = len(devices)
        self.names = [device.name.removeprefix("/device:") for device in devices]
        self.strategy = tf.distribute.MirroredStrategy([device.name for device in devices])

    def scope(self) -> contextlib.AbstractContextManager[Any]:
        """Where a model and its optimizer must be made to have copies on all devices."""
        return self.strategy.scope()

    def share(self, batches: tf.data.Dataset) -> Any:
        """Split every batch into shares of consecutive images, sizes one apart at most.

        TensorFlow's own way changes the size of batches inside the dataset, and at the end of an epoch gives one device images of the
        next. A device without an image, in a last batch smaller than the number of devices, gets a copy of one whose targets are all 0:
        batch normalisation needs something to look at, and `prepare` leaves it out of loss and accuracy.

        Args:
            batches: (images, targets[, weights]), targets one-hot and each a tuple where the model has several outputs.

        Returns:
            A distributed dataset, for `fit`.
        """
        count = self.count

        def shares(images: tf.Tensor, targets: Any, *weights: Any) -> tf.data.Dataset:
            size = tf.shape(images, out_type=tf.int64)[0]

            def of_device(device: tf.Tensor) -> tuple[Any, ...]:
                first, last = size * device // count, size * (device + 1) // count
                rows = slice(tf.minimum(first, size - 1), tf.maximum(last, first + 1))
                share = tf.nest.map_structure(lambda part: part[rows], (images, targets, *weights))
                there = tf.cast(last > first, tf.float32)
                return (share[0], tf.nest.map_structure(lambda part: part * there, share[1]), *share[2:])

            return tf.data.Dataset.range(count).map(of_device)

        endless = tf.data.experimental.assert_cardinality(tf.data.INFINITE_CARDINALITY)
        split = batches.flat_map(shares).apply(endless)
        return self.strategy.distribute_datasets_from_function(lambda _: split)

    def prepare(self, model: keras.Model) -> None:
        """Give a compiled model the training step that weights the shares of its devices by their images."""
        count = self.count

        def train_step(data: Any) -> dict[str, Any]:
            images, targets, weights = keras.utils.unpack_x_y_sample_weight(data)
            there = tf.math.count_nonzero(tf.reduce_sum(tf.nest.flatten(targets)[0], axis=-1), dtype=tf.int32)
            of_all = tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, there)
            with tf.GradientTape() as tape:
                outputs = model(images, training=True)
                images, targets, weights, outputs = tf.nest.map_structure(
                    lambda part: None if part is None else part[:there], (images, targets, weights, outputs)
                )
                # Keras has divided the mean over this share by the number of devices.
                loss = count * model.compute_loss(x=images, y=targets, y_pred=outputs, sample_weight=weights, training=True)
                weighted = model.optimizer.scale_loss(loss * tf.cast(there, loss.dtype) / tf.cast(of_all, loss.dtype))
            gradients = tape.gradient(weighted, model.trainable_weights)
            model.optimizer.apply_gradients(zip(gradients, model.trainable_weights, strict=True))  # sums over devices
            next(metric for metric in model.metrics if metric.name == "loss").update_state(loss, sample_weight=there)
            return model.compute_metrics(images, targets, outputs, sample_weight=weights)

        model.train_step = train_step

    def scored(self, model: keras.Model) -> keras.Model:
        """Give a model of the same layers that predicts on the first device; `model` itself would predict the same batch on each."""
        return keras.Model(model.inputs[0], model.outputs[0])
