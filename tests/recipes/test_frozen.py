"""Heads that learn from stored outputs of the frozen base, against heads that learn with the base in the loop."""

from __future__ import annotations

import os
import re
import signal
import time

import keras
import numpy as np
import pandas as pd
import pytest

import models_zoo
from cxr_keras.config.loader import load_config
from cxr_keras.recipes import frozen
from cxr_keras.recipes.frozen import check_frozen_base

WIDTHS = [4, 8]
SETTINGS = (
    "data.image_size=[16, 16]",
    "data.batch_size=8",
    "model.name=mini_resnet",
    f"model.params={{widths: {WIDTHS}}}",
    "augmentation={mode: copies, classes: [normal], rotation_degrees: 15.0, horizontal_flip: true, expand_to: 1.0}",
    "training.strategy=two_stage",
    "training.class_weights=balanced",
    "training.keep=best",
    "training.save_optimizer=false",
    "training.checkpoint_seconds=0",
    "split.curves_on_test=false",
    "evaluation.bootstrap_draws=100",
    "evaluation.mistakes_shown=0",
)
SGD = "training.phases={head: {epochs: 3, patience: null, optimizer: sgd, learning_rate: 0.1}, all: {epochs: 0}}"
ADAM = "training.phases={head: {epochs: 3, patience: null, learning_rate: 0.01}, all: {epochs: 1, patience: null}}"


def pretrained(folder):
    """A base from elsewhere, so that folds share it."""
    keras.utils.set_random_seed(7)
    model = models_zoo.build("mini_resnet", (16, 16), 2, widths=WIDTHS)
    rng = np.random.default_rng(0)
    for layer in models_zoo.batch_norm_layers(model):
        layer.moving_mean.assign(rng.normal(0, 0.1, layer.moving_mean.shape))
    model.save(folder / "base.keras")
    return f"model.weights={folder / 'base.keras'}"


def test_a_head_learns_the_same_from_outputs_computed_once(cxr, tmp_path):
    line = ("train", "mini_vgg", pretrained(tmp_path), SGD, "split.validation=0.25", "--run")
    code, _, errors = cxr(*line, "stored", settings=SETTINGS)
    assert code == 0 and "features: reused 0 of " in errors, errors
    assert cxr(*line, "loop", "training.frozen_base=in_loop", settings=SETTINGS)[0] == 0
    stored, loop = (keras.saving.load_model(tmp_path / run / "split" / "model.keras") for run in ("stored", "loop"))
    before = keras.saving.load_model(tmp_path / "base.keras")
    assert np.abs(stored.get_layer("logits").kernel - before.get_layer("logits").kernel).max() > 1e-3
    for mine, other in zip(stored.weights, loop.weights, strict=True):
        np.testing.assert_allclose(mine, other, atol=1e-5, err_msg=mine.path)
    histories = [pd.read_csv(tmp_path / run / "split" / "history.csv") for run in ("stored", "loop")]
    numbers = ["loss", "accuracy", "val_loss", "val_auroc"]
    np.testing.assert_allclose(histories[0][numbers], histories[1][numbers], atol=1e-4)

    code, _, errors = cxr(*line, "dropout", "training.strategy=two_stage_dropout", settings=SETTINGS)
    assert code == 0, errors
    [(found, wanted)] = re.findall(r"features: reused (\d+) of (\d+)", errors)
    assert found == wanted


@pytest.mark.slow
def test_both_stages_with_a_random_base_predict_alike_and_survive_a_kill(cxr, tmp_path):
    assert (
        cxr("train", "mini_vgg", ADAM, "training.frozen_base=in_loop", "split.validation=0.2", "--run", "loop", settings=SETTINGS)[0] == 0
    )
    line = ("train", "mini_vgg", ADAM, "split.validation=0.2", "--run")
    process = cxr(*line, "stored", settings=SETTINGS, start=True)
    while not (tmp_path / "stored" / "split" / "state.npz").exists():
        assert process.poll() is None
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=60)
    code, _, errors = cxr(*line, "stored", settings=SETTINGS)
    assert code == 0 and "continues stored" in errors, errors
    left = {path.name for path in (tmp_path / "stored" / "split").iterdir()}
    assert "features" not in left and "model.keras" in left  # nobody else can use the outputs of this base
    assert not (tmp_path / "cache" / "features").exists()
    columns = ["p_normal", "p_pneumonia"]
    predictions = [pd.read_csv(tmp_path / run / "predictions.csv").set_index("image_id")[columns] for run in ("stored", "loop")]
    np.testing.assert_allclose(predictions[0], predictions[1].loc[predictions[0].index], atol=1e-4)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("augmentation.mode=each_epoch", "augmentation.mode=each_epoch draws new pictures in every epoch"),
        ("augmentation={random_crop: true}", "random_crop cuts other pictures in every epoch"),
        ("augmentation={mixup: 0.2}", "mixup gives new pictures in every epoch"),
        ("evaluation.validation_appearance={noise: 3.0}", "validation_appearance alters pictures"),
        ("model={name: googlenet, params: {auxiliary: true}}", "auxiliary outputs read layers within the base"),
    ],
)
def test_pictures_that_change_and_stored_outputs_exclude_each_other(override, message):
    given = ["data.stored_size=[32, 32]", *SETTINGS, SGD, override]
    with pytest.raises(ValueError, match=message) as caught:
        load_config("mini_vgg", given)
    assert "training.frozen_base=in_loop" in str(caught.value)
    load_config("mini_vgg", [*given, "training.frozen_base=in_loop"])
    load_config("mini_vgg", [*given, "training.phases={head: {epochs: 0}}"])  # no phase with a frozen base is left


def test_outputs_that_memory_cannot_hold_are_refused(monkeypatch):
    monkeypatch.setattr(frozen, "free_memory", lambda: 4_000_000)
    frozen._check_memory(1000, 4000)
    with pytest.raises(ValueError, match="for 1,001 pictures need .* Set training.frozen_base=in_loop"):
        frozen._check_memory(1001, 4000)


def test_a_base_that_draws_at_random_is_refused_before_any_image_is_read(cxr, tmp_path):
    settings = [setting for setting in SETTINGS if not setting.startswith("model.")]
    code, _, errors = cxr("train", "mini_vgg", SGD, "split.validation=0.2", settings=settings)
    assert code == 2 and "mini_vgg has layers in its base that draw at random in training" in errors
    assert "training.frozen_base=in_loop" in errors and not (tmp_path / "cache").exists()
    check_frozen_base(load_config("mini_vgg", [*settings, SGD, "training.frozen_base=in_loop"]))
