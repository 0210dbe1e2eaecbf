"""One training over two devices of a processor that passes for two, beside the same training on one."""

import json
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest

from cxr_keras.config.loader import load_config
from cxr_keras.recipes.replicas import check_batch, check_distribution
from cxr_keras.runs.files import read_json

# In an interpreter of its own, because devices are set before TensorFlow's first operation.
SCRIPT = """
import dataclasses, json, sys, tempfile
from pathlib import Path
from cxr_keras.startup import start_backend
start_backend()
import keras, numpy as np, pandas as pd, tensorflow as tf
import models_zoo
from cxr_keras.recipes.replicas import Replicas
from cxr_keras.training.display import TrainingDisplay
from cxr_keras.training.devices import OneDevice
from cxr_keras.training.fit import FitSettings, TrainingData, run_phases
from cxr_keras.training.strategies import Optimizer, Phase
from cxr_keras.training.validation import predict_from_logits

ROOT = Path(sys.argv[1])
STILL = {"conv_dropout": 0.0, "dense_dropout": 0.0}
devices = {"one": OneDevice(), "two": Replicas()}
told = {"count": devices["two"].count, "names": devices["two"].names}

def data_of(n, batch=8, weights=True):
    rng = np.random.default_rng(0)
    x = rng.uniform(0, 255, (n, 16, 16, 1)).astype("float32")
    labels = np.arange(n) % 2
    y = np.eye(2, dtype="float32")[labels]
    w = np.where(labels == 0, 3.0, 1.0).astype("float32")
    arrays = (x, y, w) if weights else (x, y)

    def batches(first_epoch):
        def epochs():
            epoch = first_epoch
            while True:
                order = np.random.default_rng(epoch).permutation(n)
                for start in range(0, n, batch):
                    yield tuple(part[order[start : start + batch]] for part in arrays)
                epoch += 1
        signature = tuple(tf.TensorSpec((None, *part.shape[1:])) for part in arrays)
        return tf.data.Dataset.from_generator(epochs, output_signature=signature)

    return TrainingData(batches, -(-n // batch), tf.data.Dataset.from_tensor_slices((x, y)).batch(batch))

class Quiet(TrainingDisplay):
    def __init__(self, stop_after=None):
        super().__init__("test")
        self.left = stop_after

    def epoch_done(self, row):
        if self.left is not None:
            self.left -= 1
            if self.left == 0:
                raise KeyboardInterrupt

    def note(self, text):
        pass

def train(on, name, phases, data, *, stop_after=None, seed=0, make=None, **settings):
    keras.utils.set_random_seed(seed)
    with devices[on].scope():
        model = make() if make else models_zoo.build("mini_vgg", (16, 16), 2, batch_norm="none", **STILL)
    try:
        run_phases(model, phases, data, settings=FitSettings(**{"checkpoint_seconds": 0.0} | settings), folder=ROOT / name,
                   display=Quiet(stop_after), devices=devices[on])
    except KeyboardInterrupt:
        return None
    history = pd.read_csv(ROOT / name / "history.csv").drop(columns=["seconds", "phase", "learning_rate"])
    return model, history.to_numpy().tolist()

def both(name, *arguments, **settings):
    told[name] = {}
    models = []
    for on in devices:
        model, told[name][on] = train(on, f"{name}-{on}", *arguments, **settings)
        models.append(model)
    pairs = zip(models[0].get_weights(), models[1].get_weights(), strict=True)
    told[name]["weights"] = max(float(np.abs(a - b).max()) for a, b in pairs)

sgd = Phase("all", train="all", epochs=3, optimizer=Optimizer("sgd", learning_rate=1e-3))
adam = dataclasses.replace(sgd, optimizer=Optimizer("adam", learning_rate=1e-4))
both("uneven", (sgd,), data_of(15))
if sys.argv[2] == "uneven":
    print(json.dumps(told))
    sys.exit()
assert train("two", "moved", (sgd,), data_of(15), stop_after=1) is None
told["moved"] = {"two": train("one", "moved", (sgd,), data_of(15), seed=7)[1], "one": told["uneven"]["one"], "weights": 0.0}
both("nearly_none", (sgd,), data_of(17))  # a last batch of one image: one device gets none
both("adam", (adam,), data_of(15, weights=False))
both("averaged", (dataclasses.replace(sgd, optimizer=Optimizer("sgd", learning_rate=1e-3, average=0.9)),), data_of(15))

def with_auxiliary():
    model = models_zoo.build("mini_vgg", (16, 16), 2, batch_norm="none", **STILL)
    pooled = keras.layers.GlobalAveragePooling2D()(model.get_layer("block2_pool").output)
    auxiliary = keras.layers.Dense(2, activation="softmax", name="auxiliary_1")(pooled)
    return keras.Model(model.inputs[0], [model.outputs[0], auxiliary], name="with_auxiliary")

both("auxiliary", (sgd,), data_of(15), make=with_auxiliary)

def normalised():
    return models_zoo.build("mini_vgg", (16, 16), 2, batch_norm="after_relu")  # dropout too

head = Phase("head", train="head", epochs=2, optimizer=Optimizer("adam", learning_rate=1e-2))
phases = (head, dataclasses.replace(adam, epochs=2, batch_norm="recalibrated"))
data = data_of(17)
unbroken, history = train("two", "unbroken", phases, data, make=normalised, keep="best", calibrate_batch_norm=True)
told["finite"] = bool(np.isfinite(history).all() and all(np.isfinite(w).all() for w in unbroken.get_weights()))
told["resumed"] = []
for stop_after in (1, 3):
    name = f"stopped-{stop_after}"
    train("two", name, phases, data, make=normalised, keep="best", calibrate_batch_norm=True, stop_after=stop_after)
    model, again = train("two", name, phases, data, make=normalised, keep="best", calibrate_batch_norm=True, seed=7)
    told["resumed"].append(again == history and all(map(np.array_equal, unbroken.get_weights(), model.get_weights())))
predicted, _ = predict_from_logits(unbroken, data.validation)
unbroken.save(ROOT / "model.keras")
loaded = keras.models.load_model(ROOT / "model.keras")
told["saved"] = predicted.shape == (17, 2) and np.array_equal(predicted, predict_from_logits(loaded, data.validation)[0])
keras.config.set_dtype_policy("mixed_float16")
half, history = train("two", "half", (adam,), data_of(15), make=normalised)
told["half"] = bool(np.isfinite(history).all())
print(json.dumps(told))
"""


def seen_by_the_script(folder, cases):
    environment = os.environ | {"CXR_VIRTUAL_DEVICES": "2", "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", SCRIPT, str(folder), cases], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """What the script has seen in all cases."""
    return seen_by_the_script(tmp_path_factory.mktemp("replicas"), "all")


def assert_equal(seen):
    assert len(seen["two"]) == 3
    for one, two in zip(seen["one"], seen["two"], strict=True):
        assert two == pytest.approx(one, abs=1e-5)
    assert seen["weights"] < 1e-5


def test_losses_and_scores_are_those_of_one_device(tmp_path):
    told = seen_by_the_script(tmp_path, "uneven")
    assert told["count"] == 2 and told["names"] == ["CPU:0", "CPU:1"]
    assert_equal(told["uneven"])


@pytest.mark.slow
@pytest.mark.parametrize("case", ["nearly_none", "adam", "averaged", "auxiliary", "moved"])
def test_they_are_also_in_rarer_cases(told, case):
    assert_equal(told[case])


@pytest.mark.slow
def test_a_killed_training_of_two_phases_ends_like_an_unbroken_one(told):
    assert told["finite"] and told["resumed"] == [True, True]


@pytest.mark.slow
def test_the_model_is_saved_and_predicts_each_image_once(told):
    assert told["saved"]


@pytest.mark.slow
def test_half_precision_trains(told):
    assert told["half"]


def test_what_cannot_be_shared_is_refused(monkeypatch):
    config = load_config("mini_vgg", ["training.distribution=mirrored", "data.sources=[phantom:x]"])
    check_distribution(config)
    monkeypatch.setattr("keras.backend.backend", lambda: "jax")
    with pytest.raises(ValueError, match="needs the TensorFlow backend, and this is jax. Unset KERAS_BACKEND"):
        check_distribution(config)
    with pytest.raises(ValueError, match="3 devices cannot share batches of 32 images evenly"):
        check_batch(32, SimpleNamespace(count=3))
    with pytest.raises(ValueError, match="jit_compile=true is for one device"):
        load_config("mini_vgg", ["training.distribution=mirrored", "training.jit_compile=true", "data.sources=[phantom:x]"])


@pytest.mark.slow
@pytest.mark.parametrize("count", ["1", "2"])
def test_a_cross_validation_runs_mirrored(cxr, tmp_path, count):
    code, _, errors = cxr("cv", "mini_vgg", "training.distribution=mirrored", environment={"CXR_VIRTUAL_DEVICES": count})
    assert code == 0, errors
    assert ("only one device was found (CPU:0)" if count == "1" else "one copy of the network on each of CPU:0, CPU:1") in errors
    assert read_json(tmp_path / "runs" / "mini_vgg-cv" / "fold-1" / "done.json")["devices"] == int(count)
