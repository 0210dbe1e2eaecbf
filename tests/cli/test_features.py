"""`cxr features`, and the listings of a config whose network only makes features."""

import h5py
import pytest

from cxr_keras.data.phantom import generate_phantom

SETTINGS = ("model.name=mini_vgg", "model.weights=null", "data.image_size=[16, 16]", "data.resize=stretch")


@pytest.fixture
def features(cxr, tmp_path, monkeypatch):
    """Runs the verb on a few phantoms with a cache of its own."""
    monkeypatch.setenv("CXR_CACHE", str(tmp_path / "cache"))
    generate_phantom(tmp_path / "set", patients_per_class=6, image_size=64, labels="binary")
    return lambda *more, verb="features": cxr(verb, "vgg16_features", f"data.sources=[phantom:{tmp_path / 'set'}]", *SETTINGS, *more)


def test_features_are_extracted_once_and_say_where_they_lie(features, tmp_path):
    code, output, errors = features()
    assert code == 0, errors
    folder = next((tmp_path / "cache" / "features").glob("mini_vgg-features-*"))
    assert str(folder / "features.h5") in output and "PHANTOM" in output
    with h5py.File(folder / "features.h5") as file:
        count = file["features"].shape[0]
    assert f"{count} rows of 512 numbers" in output and f"features: reused 0 of {count}" in errors
    code, _, errors = features("data.labels=as_given")
    assert code == 0 and f"features: reused {count} of {count}" in errors
    code, output, _ = features("--layer", "embedding")
    assert code == 0 and "mini_vgg-embedding-" in output
    code, _, errors = features("--layer", "embeding")
    assert code == 2 and "Did you mean 'embedding'" in errors and "Traceback" not in errors
    code, _, errors = features("model.weights=runs/x/fold-{fold}/model.keras")
    assert code == 2 and "Traceback" not in errors


def test_a_classifier_is_planned_listed_and_shown(features, cxr, tmp_path):
    before = sorted(path for path in tmp_path.rglob("*"))
    code, output, errors = features("classifier.folds=3", verb="plan")
    assert code == 0, errors
    assert sorted(path for path in tmp_path.rglob("*")) == before
    assert "512 numbers an image" in output and "110 fits in all" in output and "at most" in output
    code, output, _ = cxr("configs")
    assert code == 0 and "vgg16_features" in output and "0.03" in output
    code, output, _ = cxr("configs", "show", "vgg16_features")
    assert code == 0 and "accuracy: 97%" in output
    code, _, errors = cxr("cv", "--grid", "vgg16_features", "data.sources=[phantom:set]", "model.weights=null", "models=vgg16")
    assert code == 2 and "no use of training.strategy" in errors
