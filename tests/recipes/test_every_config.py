"""Every shipped config: its network has the listed number of parameters and takes a step in each of its phases."""

import json
import math

import keras
import numpy as np
import pytest

import models_zoo
from cxr_keras.config.loader import config_folder, load_config, shipped_configs
from cxr_keras.features.classify import fit_rows
from cxr_keras.features.extract import layer_model
from cxr_keras.features.gram import represent
from cxr_keras.papers import get_system
from cxr_keras.recipes.classifier import check_classifier, search_settings
from cxr_keras.recipes.fixed_network import build_up_to
from cxr_keras.training.fit import compile_phase
from cxr_keras.training.strategies import get_strategy, phases_of

PARAMETERS = json.loads((config_folder() / "parameters.json").read_text())
CLASSES = {"binary": 2, "three": 3, "four": 4}


def names(*, trained):
    """The shipped configs whose network trains, or those whose network only makes features."""
    return [name for name in shipped_configs() if (load_config(name).classifier is None) == trained]


def build(config, size):
    params = dict(config.model.params)
    if (dropout := get_strategy(config.training.strategy).head_dropout) is not None:
        params["dropout"] = dropout
    return models_zoo.build(config.model.name, size, CLASSES[config.data.labels], **params)


def once_an_architecture(configs):
    """Of the configs of a deep network all but the first are marked slow: they differ in strategy, classes or weights."""
    seen = set()
    marked = []
    for name in configs:
        model = load_config(name).model.name
        repeated = model in seen and model not in ("mini_vgg", "cnn_94", "cnn_v2")
        marked.append(pytest.param(name, marks=[pytest.mark.slow] if repeated else []))
        seen.add(model)
    return marked


@pytest.mark.parametrize("name", once_an_architecture(names(trained=True)))
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


@pytest.mark.parametrize("name", names(trained=False))
def test_a_classifier_has_the_listed_parameters_and_learns_from_its_layer(name):
    config = load_config(name)
    check_classifier(config)
    with keras.StatelessScope():
        features = number_of_features(config)
    classes = CLASSES[config.data.labels]
    count = (features + 1) * (1 if classes == 2 else classes)  # of two classes one row of coefficients
    assert PARAMETERS[name] == count, f"configs/parameters.json should say {count} for {name}"

    side = max(models_zoo.get_spec(config.model.name).minimum_image_size, 24)
    smaller = config.model_copy(update={"data": config.data.model_copy(update={"image_size": (side, side)})})
    model = layer_model(build_up_to(smaller, layer=config.classifier.layer, weights=None), config.classifier.layer)
    labels = np.array(["normal", "pneumonia", "viral", "covid19"][:classes] * 12)
    shades = np.arange(len(labels)) % classes * 50.0
    noise = np.random.default_rng(0).uniform(0, 40, (len(labels), side, side, 1))
    rows = model.predict((noise + shades[:, None, None, None]).astype(np.float32), verbose=0).reshape(len(labels), -1)
    settings = search_settings(config)
    groups = np.arange(len(labels)).astype(str)
    fitted = fit_rows(represent(rows), labels, groups, training_rows=np.arange(len(labels)), settings=settings)
    assert (np.array(fitted.classes)[fitted.predict(np.arange(len(labels))).argmax(axis=1)] == labels).mean() > 0.9


def number_of_features(config):
    """How many numbers the config's layer gives for an image."""
    model = build_up_to(config, layer=config.classifier.layer, weights=None)
    return math.prod(model.get_layer(config.classifier.layer).output.shape[1:])


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
    assert not system.strategy or system.strategy == config.learner
    for parameter, value in system.params.items():
        assert str(config.model.params.get(parameter, models_zoo.get_spec(system.model).parameters[parameter])) == value
