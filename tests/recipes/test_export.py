"""Runs become exports that answer as the runs do, or nothing is left."""

import os
import shutil
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from cxr_keras.data.manifest import write_manifest
from cxr_keras.data.phantom import generate_phantom
from cxr_keras.data.sources import build_manifest
from cxr_keras.export.manifest import check_files
from cxr_keras.export.serving import MAPS
from cxr_keras.recipes import export as export_module
from cxr_keras.recipes.evaluate_run import evaluate_run
from cxr_keras.recipes.export import choose_point, export, images_to_check
from cxr_keras.recipes.predict import predict
from cxr_keras.runs.files import read_json, write_json

SHARED = ("data.image_size=[16, 16]", "data.resize=stretch", "cross_validation.folds=2", "evaluation.bootstrap_draws=100")
NETWORK = ("mini_vgg", "model.name=mini_resnet", "model.params={widths: [4, 6], blocks: 1}", "training.phases={all: {epochs: 1}}",
           "data.batch_size=8", "data.stored_size=[20, 18]", "evaluation.mistakes_shown=0")  # fmt: skip
CLASSIFIER = ("vgg16_features", "model.name=mini_vgg", "model.weights=null", "classifier.grid=[0.1, 10.0]", "classifier.folds=2")


@pytest.fixture(scope="module")
def finish(phantom, tmp_path_factory):
    """Runs `cxr cv` once a config; gives the run directory."""
    folder = tmp_path_factory.mktemp("finished")

    def make(config, *settings):
        run = folder / config
        line = [sys.executable, "-m", "cxr_keras.cli.app", "cv", config, f"data.sources=[phantom:{phantom}]", *SHARED, *settings]
        variables = os.environ | {"CXR_CACHE": str(folder / "cache")}
        done = subprocess.run([*line, "--run", str(run)], cwd=folder, env=variables, capture_output=True, text=True, timeout=500)
        assert done.returncode == 0, done.stderr
        return run

    return make


@pytest.fixture(scope="module")
def finished(finish):
    return finish(*NETWORK)


@pytest.fixture
def run(finished, tmp_path, monkeypatch):
    monkeypatch.setenv("CXR_CACHE", str(finished.parent / "cache"))
    shutil.copytree(finished, tmp_path / "run")
    return tmp_path / "run"


@pytest.fixture
def elsewhere(tmp_path):
    """The manifest of other phantoms."""
    generate_phantom(tmp_path / "set", patients_per_class=4, image_size=64, labels="binary", seed=9)
    manifest = build_manifest([f"other=phantom:{tmp_path / 'set'}"], labels="binary", show_progress=False)
    write_manifest(manifest, tmp_path / "other.csv")
    return tmp_path / "other.csv"


def test_folds_are_exported_as_one_that_predicts_what_evaluate_says(run, elsewhere, tmp_path, capsys):
    folder = export(run)
    assert "PHANTOM" in capsys.readouterr().out
    manifest = read_json(folder / "manifest.json")
    check_files(folder, manifest)
    assert {path.name for path in folder.iterdir()} == {"saved_model", "README.md", "manifest.json"}
    assert not [path for path in folder.parent.iterdir() if path != folder]
    assert manifest["parity"]["images"] >= 16 and max(manifest["parity"]["largest_difference"].values()) < 1e-5
    assert manifest["models"] == 2 and manifest["image_size"] == [16, 16] and manifest["decode"]["height"] == 20
    own = read_json(run / "metrics.json")
    point = next(each for each in own["operating_points"] if each["name"] == "sensitive")  # too few patients for the guaranteed one
    assert manifest["operating_point"] == "sensitive" and manifest["threshold"] == point["locked"]
    assert manifest["temperature"] == own["calibration"]["locked"]
    assert "PHANTOM" in (folder / "README.md").read_text()

    found = predict(folder, [str(elsewhere)], out=tmp_path / "rows.csv", maps=tmp_path / "maps", batch_size=3)
    rows = pd.read_csv(tmp_path / "rows.csv").set_index("image_id")
    evaluate_run(run, elsewhere, folder=tmp_path / "scored")
    scored = pd.read_csv(tmp_path / "scored" / "predictions.csv").set_index("image_id").loc[rows.index]
    calibrated = pd.read_csv(tmp_path / "scored" / "calibrated_predictions.csv").set_index("image_id").loc[rows.index]
    assert found.images == len(scored) and found.errors == 0
    np.testing.assert_allclose(rows["p_pneumonia"], scored["p_pneumonia"], atol=1e-6)
    np.testing.assert_allclose(rows["calibrated_pneumonia"], calibrated["p_pneumonia"], atol=1e-6)
    assert (rows["decision"] == np.where(scored["p_pneumonia"] >= point["locked"], "pneumonia", "normal")).all()
    assert sorted(path.name for path in (tmp_path / "maps").iterdir()) == sorted(rows["map"])

    with pytest.raises(ValueError, match="exists. Remove it"):
        export(run)


def test_an_export_that_answers_otherwise_leaves_nothing(run, monkeypatch):
    real = export_module.answers_of_run

    def shifted(*arguments, **keywords):
        found = real(*arguments, **keywords)
        return type(found)(np.add(found.probabilities, [-0.001, 0.001]), found.calibrated)

    monkeypatch.setattr(export_module, "answers_of_run", shifted)
    with pytest.raises(ValueError, match=r"up to 0\.001 away"):
        export(run)
    assert not list((run / "export").iterdir())


def test_what_cannot_be_exported_is_refused_before_anything_is_written(run, tmp_path):
    for arguments, message in (
        ({"format_name": "onx"}, "expected saved_model, onnx, litert, openvino, keras. Did you mean onnx"),
        ({"point": "guaranteed"}, "guaranteed has no threshold: "),
        ({"point": "best"}, "the run has 0.5, youden, sensitive"),
    ):
        with pytest.raises(ValueError, match=message):
            export(run, **arguments)
    with pytest.raises(ValueError, match="no run directory"):
        export(tmp_path)
    config = (run / "config.yaml").read_text()
    (run / "config.yaml").write_text(config.replace("clahe: null", "clahe: 2.0"))
    with pytest.raises(ValueError, match="equalised"):
        export(run)
    (run / "config.yaml").write_text(config.replace("precision: float32", "precision: mixed_bfloat16"))
    with pytest.raises(ValueError, match="mixed_bfloat16, which litert cannot keep"):
        export(run, "litert")
    assert not (run / "export").exists()


def test_a_run_without_a_temperature_says_so(run):
    scores = read_json(run / "metrics.json")
    write_json(run / "metrics.json", scores | {"calibration": scores["calibration"] | {"locked": None, "reason": "too few rows"}})
    folder = export(run, point="0.5", out=run / "plain")
    manifest = read_json(folder / "manifest.json")
    assert manifest["no_temperature"] == "too few rows" and "calibrated_probabilities" not in manifest["outputs"]
    assert manifest["threshold"] == 0.5 and manifest[MAPS] is True


def test_logistic_regressions_on_stored_features_join_their_network(finish, monkeypatch):
    run = finish(*CLASSIFIER)
    monkeypatch.setenv("CXR_CACHE", str(run.parent / "cache"))
    manifest = read_json(export(run) / "manifest.json")
    assert manifest["models"] == 2 and max(manifest["parity"]["largest_difference"].values()) < 1e-5
    assert manifest[MAPS] is False and "stored features" in manifest["no_class_activation_maps"]
    config = (run / "config.yaml").read_text()
    assert "kind: logistic_regression" in config
    (run / "config.yaml").write_text(config.replace("kind: logistic_regression", "kind: nearest_neighbours").replace("- 0.1", "- 1"))
    with pytest.raises(ValueError, match="nearest_neighbours, and only a logistic regression"):
        export(run, out=run / "other")


def test_the_default_point_is_the_safest_that_the_run_has():
    points = [{"name": name, "locked": locked} for name, locked in (("0.5", 0.5), ("sensitive", 0.2), ("guaranteed", 0.1))]
    scores = {"operating_points": points}
    assert choose_point(scores, ("a", "b"), name=None)["name"] == "guaranteed"
    assert choose_point({"operating_points": points[:2]}, ("a", "b"), name=None)["locked"] == 0.2
    assert choose_point({"operating_points": None}, ("a", "b"), name=None)["locked"] == 0.5
    assert choose_point(scores, ("a", "b", "c"), name=None) is None
    with pytest.raises(ValueError, match="operating points are of two classes, the run has 3"):
        choose_point(scores, ("a", "b", "c"), name="0.5")


def test_images_to_check_are_held_out_ones_first(tmp_path):
    (tmp_path / "image").touch()
    manifest = pd.DataFrame({"image_id": [f"i{number}" for number in range(300)], "path": str(tmp_path / "image")})
    assert len(images_to_check(manifest, manifest["image_id"])) == 200
    few = images_to_check(manifest, manifest["image_id"].head(5))
    assert len(few) == 32 and set(few["image_id"].head(5)) == {f"i{number}" for number in range(5)} and few["image_id"].is_unique
    with pytest.raises(ValueError, match=r"32 of 32 are not where its manifest\.csv says"):
        images_to_check(manifest.assign(path=str(tmp_path / "gone")), manifest["image_id"].head(5))
