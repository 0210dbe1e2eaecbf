"""Every shipped config: its network has the listed number of parameters and takes a step in each of its phases."""

import json
import math

import keras
import numpy as np
import pytest

import models_zoo
from cxr_keras.config.loader import config_folder, load_config, shipped_configs
from cxr_keras.papers import get_system
from cxr_keras.training.fit import compile_phase
from cxr_keras.training.strategies import get_strategy, phases_of

PARAMETERS = json.loads((config_folder() / "parameters.json").read_text())
CLASSES = {"binary": 2, "three": 3, "four": 4}


def build(config, size):
    params = dict(config.model.params)
    if (dropout := get_strategy(config.training.strategy).head_dropout) is not None:
        params["dropout"] = dropout
    return models_zoo.build(config.model.name, size, CLASSES[config.data.labels], **params)


@pytest.mark.parametrize("name", shipped_configs())
def test_has_the_listed_parameters_and_takes_a_step_in_each_phase(name):
    config = load_config(name)
    with keras.StatelessScope():  # shapes alone, no memory
        full = build(config, config.data.image_size)
        count = sum(math.prod(weight.shape) for weight in full.trainable_weights)
    assert PARAMETERS[name] == count, f"configs/parameters.json should say {count} for {name}"

    side = max(models_zoo.get_spec(config.model.name).minimum_image_size, 24)
    model = build(config, (side, side))
    images = np.random.default_rng(0).uniform(0, 255, (2, side, side, 1)).astype(np.float32)
    targets = np.eye(CLASSES[config.data.labels], dtype=np.float32)[:2]
    for phase in phases_of(config.training.strategy, config.training.phases):
        compile_phase(model, phase, jit_compile=False)
        model.run_eagerly = True  # tracing the deep ones takes most of a minute each
        before = [np.array(weight) for weight in model.trainable_weights]
        loss = model.train_on_batch(images, targets, return_dict=True)["loss"]
        assert np.isfinite(loss)
        assert any(not np.array_equal(old, new) for old, new in zip(before, model.trainable_weights, strict=True))


def test_no_count_is_left_of_a_config_that_is_gone():
    assert set(PARAMETERS) == set(shipped_configs())


@pytest.mark.parametrize("name", shipped_configs())
def test_the_config_is_the_system_of_its_paper(name):
    config = load_config(name)
    if config.paper is None:
        return
    system = get_system(config.paper)
    assert system.model == config.model.name and len(system.classes) == CLASSES[config.data.labels]
    assert config.data.image_size == (system.image_size, system.image_size)
    assert (system.weights == "random") == (config.model.weights is None)
    assert not system.strategy or system.strategy == config.training.strategy
    for parameter, value in system.params.items():
        assert str(config.model.params.get(parameter, models_zoo.get_spec(system.model).parameters[parameter])) == value
