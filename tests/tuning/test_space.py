import pytest

from cxr_keras.tuning.space import Dimension, hyperparameters_of, settings_of

SPACE = {
    "training.phases.head.epochs": Dimension(low=1, high=5, when={"training.strategy": ["two_stage"]}),
    "training.phases.all.learning_rate": Dimension(low=1e-4, high=1e-2, log=True),
    "training.strategy": Dimension(values=("from_scratch", "two_stage")),
    "model.params.dropout": Dimension(low=0.0, high=0.5, step=0.25),
    "data.batch_size": Dimension(values=(16, 32)),
    "data.clahe": Dimension(values=(None, 2.0)),
    "model.params.dense": Dimension(values=([], [256], [500, 100])),
    "augmentation.horizontal_flip": Dimension(values=(True, False)),
}


def drawn(space, *, seed=0):
    """One random draw of the space, as an oracle makes it."""
    import keras_tuner

    oracle = keras_tuner.oracles.RandomSearchOracle(
        objective=keras_tuner.Objective("score", "max"), max_trials=99, hyperparameters=hyperparameters_of(space), seed=seed + 1
    )
    return oracle._random_values()


def test_values_come_back_as_settings():
    found = [settings_of(drawn(SPACE, seed=seed), SPACE) for seed in range(0, 400, 10)]
    for settings in found:
        assert 1e-4 <= settings["training.phases.all.learning_rate"] <= 1e-2
        assert settings["model.params.dropout"] in (0.0, 0.25, 0.5)
        assert settings["model.params.dense"] in ([], [256], [500, 100])
        assert settings["data.clahe"] in (None, 2.0) and settings["augmentation.horizontal_flip"] in (True, False)
        assert isinstance(settings["data.batch_size"], int)
        assert ("training.phases.head.epochs" in settings) == (settings["training.strategy"] == "two_stage")
        assert isinstance(settings.get("training.phases.head.epochs", 1), int)
    for name, dimension in SPACE.items():
        if dimension.values:
            assert all(any(settings[name] == value for settings in found) for value in dimension.values), name


def test_what_32_bits_leave_of_a_number_gives_the_same_settings():
    import numpy as np

    space = {"rate": Dimension(low=1e-4, high=1e-2, log=True), "share": Dimension(values=(0.1, 0.2))}
    values = {"rate": 0.00123456789, "share": 0.1}
    passed = {name: float(np.float32(value)) for name, value in values.items()}
    assert passed != values
    assert settings_of(passed, space) == settings_of(values, space) == {"rate": 0.00123457, "share": 0.1}


def test_impossible_dependencies_are_refused():
    ring = {"a": Dimension(values=(1, 2), when={"b": [1]}), "b": Dimension(values=(1, 2), when={"a": [1]})}
    with pytest.raises(ValueError, match="a, b depend on each other in a ring"):
        hyperparameters_of(ring)
    with pytest.raises(ValueError, match="b has the values"):
        hyperparameters_of({"a": Dimension(values=(1, 2), when={"b": [3]}), "b": Dimension(values=(1, 2))})
