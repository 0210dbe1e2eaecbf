from pathlib import Path

import pytest

from cxr_keras.config.loader import load_config
from cxr_keras.recipes.tracking import hyperparameters, store_of, with_store_of

SOURCES = "data.sources=[kermany:/patients/of/ward-7]"
PROVENANCE = {"data": "kermany 5,856", "evaluation": "5 folds by patient"}


def test_one_store_serves_all_runs_of_a_folder(tmp_path):
    config = load_config("mini_vgg", [SOURCES, "tracking.mlflow=true"])
    store = f"sqlite:///{tmp_path / 'runs' / 'mlflow.db'}"
    assert store_of(config, tmp_path / "runs" / "a") == store
    assert store_of(with_store_of(config, tmp_path / "runs" / "grid"), tmp_path / "runs" / "grid" / "cell") == store
    assert store_of(load_config("mini_vgg", [SOURCES]), Path("runs/a")) is None
    assert store_of(load_config("mini_vgg", [SOURCES, "tracking.mlflow=http://127.0.0.1:5000"]), Path("a")) == "http://127.0.0.1:5000"


def test_hyperparameters_hold_the_phases_as_they_run_and_no_path():
    config = load_config("mini_vgg", [SOURCES, "training.phases.all.epochs=7", "data.at_most_per_class={normal: 9}"])
    told = hyperparameters(config, verb="cv", provenance=PROVENANCE)
    assert told["training.phases.all.epochs"] == 7 and told["training.phases.all.optimizer.learning_rate"] == 0.05
    assert told["data"] == "kermany 5,856" and told["data.at_most_per_class"] == "{normal: 9}" and told["data.clahe"] == "none"
    assert told["cross_validation.folds"] == 5 and "split.test" not in told
    assert not any("ward-7" in str(value) or name.startswith("tracking") for name, value in told.items())
    told = hyperparameters(load_config("vgg16_features", [SOURCES]), verb="train", provenance=PROVENANCE)
    assert told["classifier.kind"] == "logistic_regression" and not any(name.startswith("training.phases") for name in told)


def test_an_address_with_a_password_is_refused():
    with pytest.raises(ValueError, match="MLFLOW_TRACKING_PASSWORD"):
        load_config("mini_vgg", [SOURCES, "tracking.mlflow=https://me:secret@host"])
