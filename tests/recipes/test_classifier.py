"""A classifier on stored features from images to results, held against scikit-learn on the numbers in the HDF5 file."""

from __future__ import annotations

import os
import signal
import time

import h5py
import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier

from cxr_keras.config.loader import load_config
from cxr_keras.data.manifest import read_manifest, write_manifest
from cxr_keras.data.phantom import generate_phantom
from cxr_keras.data.sources import build_manifest
from cxr_keras.recipes import cross_validate as cross_validate_module
from cxr_keras.recipes import train as train_module
from cxr_keras.recipes.evaluate_run import evaluate_run, open_finished
from cxr_keras.runs import jobs as jobs_module
from cxr_keras.runs.files import read_json

CLASSIFIER = (
    "model.name=mini_vgg",
    "model.weights=null",
    "data.image_size=[16, 16]",
    "data.resize=stretch",
    "classifier.grid=[0.1, 10.0]",
    "classifier.folds=2",
    "cross_validation.folds=2",
    "evaluation.bootstrap_draws=100",
)
NETWORK = ("data.image_size=[16, 16]", "data.resize=stretch", "cross_validation.folds=2", "evaluation.bootstrap_draws=100",
           "training.phases.all.epochs=1")  # fmt: skip
NEIGHBOURS = ("classifier.kind=nearest_neighbours", "classifier.grid=[1, 5]")


@pytest.fixture
def run(phantom, tmp_path, monkeypatch):
    """Runs a verb on a shipped config with small settings in this interpreter, jobs included; gives the run directory."""

    def run_here(jobs, *, workers=1, engine=None):
        assert workers == 1
        for job in jobs:
            if not job.done:
                assert all((folder / "done.json").exists() for folder in job.after)
                job.folder.mkdir(parents=True, exist_ok=True)
                jobs_module._named(job.call)(folder=job.folder, **job.arguments)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CXR_CACHE", str(tmp_path / "cache"))
    for module in (cross_validate_module, train_module):
        monkeypatch.setattr(module, "run_jobs", run_here)

    def command(verb, *overrides, name="vgg16_features", settings=CLASSIFIER, folder="run"):
        config = load_config(name, [f"data.sources=[phantom:{phantom}]", *settings, *overrides])
        {"cv": cross_validate_module.cross_validate, "train": train_module.train}[verb](config, tmp_path / folder)
        return tmp_path / folder

    return command


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory):
    """The manifest of other phantoms."""
    folder = tmp_path_factory.mktemp("elsewhere")
    generate_phantom(folder / "set", patients_per_class=5, image_size=64, labels="binary", seed=9)
    write_manifest(build_manifest([f"other=phantom:{folder / 'set'}"], labels="binary", show_progress=False), folder / "other.csv")
    return folder / "other.csv"


def stored(cache, manifest):
    """Features of a manifest's images as another program reads them, and the folders of all stores."""
    stores = list((cache / "features").glob("mini_vgg-*"))
    with h5py.File(stores[0] / "features.h5") as file:
        rows = dict(zip(file["sha256"].asstr()[:], file["features"][:]))
    return np.stack([rows[digest] for digest in manifest["sha256"]]).astype(np.float64), stores


def test_a_cross_validation_is_that_of_scikit_learn_on_the_stored_features(run, tmp_path, elsewhere, capsys, events_in):
    folder = run("cv")
    output, errors = capsys.readouterr()
    manifest, folds = read_manifest(folder / "manifest.csv"), read_json(folder / "folds.json")["folds"]
    total = manifest["sha256"].nunique()
    features, stores = stored(tmp_path / "cache", manifest)
    assert len(stores) == 1 and f"features: reused 0 of {total}" in errors
    fold_of, labels = manifest["image_id"].map(folds).to_numpy(), manifest["label"].to_numpy()
    predictions = pd.read_csv(folder / "predictions.csv", dtype={"image_id": str}).set_index("image_id").loc[manifest["image_id"]]
    metrics, models = read_json(folder / "metrics.json"), {}
    for fold in (0, 1):
        chosen = metrics["classifier"]["chosen"][f"fold-{fold}"]
        models[fold] = LogisticRegression(C=chosen, solver="newton-cholesky", tol=1e-10, max_iter=500)
        models[fold].fit(features[fold_of != fold], labels[fold_of != fold])
        expected = models[fold].predict_proba(features[fold_of == fold])[:, 1]
        np.testing.assert_allclose(predictions["p_pneumonia"][fold_of == fold], expected, atol=1e-5)
        left = {path.name for path in (folder / f"fold-{fold}").iterdir()}
        assert {"predictions.csv", "metrics.json", "model.npz", "grid.csv", "grid_by_inner_fold.csv", "done.json"} <= left
    assert metrics["classifier"]["features"] == features.shape[1] == 512 and metrics["folds"]["count"] == 2
    assert metrics["provenance"]["strategy"] == "logistic regression on features" and metrics["provenance"]["epochs"].startswith("none; C")
    assert f"features of {total} images" in metrics["provenance"]["training"]
    assert {point["name"] for point in metrics["operating_points"]} >= {"0.5", "youden"}
    grid = pd.read_csv(folder / "grid.csv")
    events = events_in(folder / "results")
    assert events.Scalars("test/accuracy")[0].value == pytest.approx(metrics["scores"]["accuracy"]["value"])
    assert b"classifier.kind" in events.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
    assert "figures/grid" in events.Tags()["images"]
    assert len(grid) == 4 and grid.groupby("fold")["chosen"].sum().eq(1).all()
    assert "Grid search: log loss by C" in (folder / "summary.md").read_text() and (folder / "figures" / "grid.png").stat().st_size > 0
    report = (folder / "report.html").read_text()
    assert "No maps: " in report and "holds a logistic regression on stored features" in report and "fold-0/model.npz" in report
    with pytest.raises(ValueError, match="no network that gives its answer from the image"):
        open_finished(folder)
    assert {path.name for path in (folder / "base").iterdir()} == {"done.json", "model.keras"}

    before = (folder / "fold-0" / "done.json").stat().st_mtime_ns
    run("cv")
    assert capsys.readouterr().out == output and (folder / "fold-0" / "done.json").stat().st_mtime_ns == before
    assert read_json(folder / "metrics.json") == metrics

    # The run's own network and files, and nothing else, on other images.
    evaluate_run(folder, elsewhere)
    other = read_manifest(elsewhere)
    features, stores = stored(tmp_path / "cache", other)
    assert len(stores) == 1, "the reloaded network is the one that the features were made with"
    for fold, model in models.items():
        found = pd.read_csv(folder / "on-other" / "by_model" / f"fold-{fold}.csv")
        np.testing.assert_allclose(found["p_pneumonia"], model.predict_proba(features)[:, 1], atol=1e-5)

    # Another classifier finds the features there.
    capsys.readouterr()
    folder = run("cv", *NEIGHBOURS, folder="neighbours")
    assert f"features: reused {total} of {total}" in capsys.readouterr().err
    assert f"({total} were there)" in read_json(folder / "metrics.json")["provenance"]["training"]
    evaluate_run(folder, elsewhere)
    own = stored(tmp_path / "cache", manifest)[0]
    for name, chosen in read_json(folder / "metrics.json")["classifier"]["chosen"].items():
        part = fold_of != int(name[-1])
        expected = KNeighborsClassifier(chosen).fit(own[part], labels[part]).predict_proba(features)[:, 1]
        assert pd.read_csv(folder / "on-other" / "by_model" / f"{name}.csv")["p_pneumonia"].to_numpy() == pytest.approx(expected)


def test_a_split_has_its_thresholds_from_a_validation_part_and_notes_its_reading_once(run, tmp_path, elsewhere):
    settings = ("classifier.kind=linear_svm", "classifier.layer=embedding", "split.kind=official", "split.validation=0.4")
    for _ in range(2):
        folder = run("train", *settings)
    assert len(pd.read_csv(tmp_path / "test_readings.csv")) == 1
    metrics = read_json(folder / "metrics.json")
    assert {point["chosen_on"] for point in metrics["operating_points"]} == {"nothing", "the validation part"}
    assert metrics["classifier"] | {"chosen": None} == {
        "kind": "linear_svm", "layer": "embedding", "features": 512, "parameter": "C", "choose_by": "auroc", "chosen": None
    }  # fmt: skip
    assert set(evaluate_run(folder, elsewhere)["by_model"]) == {"split"}
    (folder / "base" / "model.keras").unlink()
    with pytest.raises(ValueError, match="the network that the classifiers' features come from"):
        evaluate_run(folder, elsewhere)


def test_a_run_without_models_says_so(run, elsewhere):
    folder = run("train", "training.save_models=false", *NEIGHBOURS)
    assert not list(folder.rglob("*.keras")) and not list(folder.rglob("*.np?"))
    with pytest.raises(ValueError, match="training.save_models=true"):
        evaluate_run(folder, elsewhere)


@pytest.mark.parametrize(
    ("stage", "pattern"),
    [
        ("extraction", "other/features/*/.rows-*"),
        pytest.param("reduction", "run/base/rows.npy", marks=pytest.mark.slow),
        pytest.param("fold", "run/fold-0/done.json", marks=pytest.mark.slow),
    ],
)
def test_a_kill_ends_in_the_same_predictions(run, cxr, tmp_path, monkeypatch, capfd, stage, pattern):
    whole = run("cv", folder="whole")
    process = cxr(
        "cv", "vgg16_features", "--run", "run", settings=CLASSIFIER, environment={"CXR_CACHE": str(tmp_path / "other")}, start=True
    )
    while not list(tmp_path.glob(pattern)):
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.002)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=60)
    assert not (tmp_path / "run" / "predictions.csv").exists()
    monkeypatch.setenv("CXR_CACHE", str(tmp_path / "other"))
    assert (run("cv") / "predictions.csv").read_bytes() == (whole / "predictions.csv").read_bytes()
    assert "continues" in capfd.readouterr().err


@pytest.mark.slow
def test_folds_at_a_time_wait_for_what_they_share(run, cxr, tmp_path):
    one = run("cv", folder="one")
    process = cxr("cv", "vgg16_features", "--jobs", "2", "--run", "two", settings=CLASSIFIER, start=True)  # `run` took its jobs here
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    assert (tmp_path / "two" / "predictions.csv").read_bytes() == (one / "predictions.csv").read_bytes()


def test_features_that_were_removed_in_between_are_made_again(run, tmp_path, capsys):
    folder = run("cv")
    kept = (folder / "predictions.csv").read_bytes()
    (folder / "fold-1" / "done.json").unlink()
    for shard in (tmp_path / "cache" / "features").rglob("rows-*.h5"):
        shard.unlink()
    capsys.readouterr()
    run("cv")
    assert "features: reused 0 of" in capsys.readouterr().err
    assert (folder / "predictions.csv").read_bytes() == kept


def test_a_base_for_each_fold_is_used_and_one_that_saw_a_fold_is_refused(run, tmp_path, elsewhere):
    run("cv", name="mini_vgg", settings=NETWORK, folder="network")
    plain = "model.params={batch_norm: none}"
    folder = run("cv", "model.weights=network/fold-{fold}/model.keras", "classifier.layer=embedding", plain)
    with pytest.raises(ValueError, match=r"that fold 1 holds out \(in .*network/fold-0\)"):
        run("cv", "model.weights=run/fold-0/base/model.keras", "classifier.layer=embedding", plain, folder="chain")
    bases = [read_json(folder / f"fold-{fold}" / "base" / "done.json") for fold in (0, 1)]
    assert bases[0]["settings"]["weights_sha256"] != bases[1]["settings"]["weights_sha256"]
    assert set(evaluate_run(folder, elsewhere)["by_model"]) == {"fold-0", "fold-1"}
    with pytest.raises(ValueError, match="that fold 1 holds out"):
        run("cv", "model.weights=network/fold-0/model.keras", plain, folder="leak")
    assert not list((tmp_path / "leak").rglob("done.json"))


def test_a_base_of_the_same_split_serves_a_split(run):
    run("train", name="mini_vgg", settings=NETWORK, folder="network")
    weights = "model.weights=network/split/model.keras"
    assert (run("train", weights) / "metrics.json").exists()
    with pytest.raises(ValueError, match="that fold 0 holds out"):
        run("train", weights, "split_seed=3", folder="other")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["classifier.folds=20"], "fold-0, classifier: too few patients for 20 folds"),
        (["classifier.class_weights={normal: 1.0, sick: 2.0}"], "names normal, sick; the classes are normal, pneumonia"),
        (["model.params={dense_dropout: 0.1}"], "model.params has dense_dropout, which belong to the head of mini_vgg"),
        (["training.strategy=two_stage", "training.keep=best"], "training.strategy .no network is trained.; training.keep"),
        (["classifier.layer=pooled"], "the head of mini_vgg does not begin by pooling. Take the layer features or embedding.$"),
        (["classifier.layer=pooled", "model.name=vgg16", "data.image_size=[32, 32]"], "or set model.params={pooling: average}"),
        ([*NEIGHBOURS, "classifier.grid=[1, 500]"], "fold-0, classifier: the grid asks for 500 neighbours, a fold trains on"),
    ],
)
def test_what_cannot_be_or_would_change_nothing_is_refused_before_features_are_made(run, tmp_path, settings, message):
    with pytest.raises(ValueError, match=message):
        run("cv", *settings)
    assert not list(tmp_path.glob("cache/features/*"))
    if "layer=pooled" in settings[0]:
        assert not (tmp_path / "run").exists(), "the corrected command begins there"


def test_more_images_than_memory_takes_are_refused_before_features_are_made(run, tmp_path, monkeypatch):
    monkeypatch.setattr("cxr_keras.recipes.classifier_base.free_memory", lambda: 10_000)
    with pytest.raises(ValueError, match=r"512 features of \d+ images needs 0.0 GB of memory and 0.0 GB are free"):
        run("cv")
    assert not list(tmp_path.glob("cache/features/*/rows-*"))


def test_openvino_makes_the_features_of_a_run_and_of_other_images(run, tmp_path, elsewhere, capsys):
    pytest.importorskip("openvino")
    folders = [run("train", *engine, folder=name) for name, engine in (("keras", ()), ("other", ("classifier.engine=openvino",)))]
    assert len(list((tmp_path / "cache" / "features").glob("mini_vgg-*"))) == 2
    plain, other = (pd.read_csv(folder / "predictions.csv").set_index("image_id")["p_pneumonia"] for folder in folders)
    np.testing.assert_allclose(other, plain, atol=1e-4)
    scored = [evaluate_run(folder, elsewhere)["by_model"]["split"]["auroc"]["value"] for folder in folders]
    assert scored[0] == pytest.approx(scored[1], abs=1e-4)
