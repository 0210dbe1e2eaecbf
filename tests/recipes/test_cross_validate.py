import os
import signal
import time

import numpy as np
import pandas as pd
import pytest
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData as SessionStart

from cxr_keras.data.folds import split_by_group
from cxr_keras.data.manifest import read_manifest
from cxr_keras.runs.files import read_json


def test_a_cross_validation_from_images_to_results(cxr, tmp_path, events_in):
    code, output, errors = cxr("cv", "mini_vgg")
    assert code == 0, errors
    run = tmp_path / "runs" / "mini_vgg-cv"
    lines = output.strip().splitlines()
    assert lines[0].startswith("PHANTOM") and lines[-1].startswith("PHANTOM")
    assert "logistic regression on 8x8 thumbnails" in output
    assert "fold 1 of 2, phase all, epoch 2/2" in errors

    manifest, predictions = read_manifest(run / "manifest.csv"), pd.read_csv(run / "predictions.csv")
    assert sorted(predictions["image_id"]) == sorted(manifest["image_id"])
    assert predictions.groupby("group_id")["fold"].nunique().max() == 1
    metrics = read_json(run / "metrics.json")
    assert metrics["n_images"] == len(manifest) and metrics["folds"]["count"] == 2
    for name in ("config.yaml", "environment.json", "folds.json", "summary.md", "figures/roc.png", "figures/confusion_matrix.png"):
        assert (run / name).stat().st_size > 0
    for fold in ("fold-0", "fold-1"):
        left = {path.name for path in (run / fold).iterdir()}
        assert {"history.csv", "predictions.csv", "metrics.json", "model.keras", "done.json"} <= left
        assert "state.npz" not in left
        events = events_in(run / fold)
        for column, values in pd.read_csv(run / fold / "history.csv").set_index("epoch").drop(columns="phase").items():
            told = [(scalar.step, scalar.value) for scalar in events.Scalars(f"epoch/{column}")]
            assert told == [(epoch, np.float32(value)) for epoch, value in values.items()]
    events = events_in(run / "results")
    assert events.Scalars("test/macro_auroc")[0].value == pytest.approx(metrics["scores"]["macro_auroc"]["value"])
    assert events.Images("figures/roc")[0].encoded_image_string == (run / "figures" / "roc.png").read_bytes()
    start = SessionStart.FromString(events.SummaryMetadata("_hparams_/session_start_info").plugin_data.content).session_start_info
    assert start.hparams["training.phases.all.epochs"].number_value == 2 and start.hparams["model.name"].string_value == "mini_vgg"
    assert not any(str(tmp_path.parent) in str(value) or "phantom:" in str(value) for value in start.hparams.values())

    before = (run / "fold-0" / "done.json").stat().st_mtime_ns
    code, again, _ = cxr("cv", "mini_vgg")
    assert code == 0 and again == output and (run / "fold-0" / "done.json").stat().st_mtime_ns == before

    code, _, errors = cxr("cv", "mini_vgg", "seed=1")
    assert code == 2 and "holds another run" in errors and "seed: 0 there, 1 now" in errors and "Traceback" not in errors


def test_a_killed_run_continues_to_the_same_predictions(cxr, tmp_path, events_in):
    longer = "training.phases.all.epochs=6"
    assert cxr("cv", "mini_vgg", "--run", "whole", longer)[0] == 0
    for number, kind in enumerate((signal.SIGKILL, signal.SIGINT)):
        run = tmp_path / f"broken-{number}"
        process = cxr("cv", "mini_vgg", "--run", run.name, longer, start=True)
        while not (run / "fold-0" / "state.npz").exists():
            assert process.poll() is None
            time.sleep(0.02)
        os.killpg(process.pid, kind)  # what a terminal does: the run and its job
        _, errors = process.communicate(timeout=60)
        assert not (run / "predictions.csv").exists()
        if kind == signal.SIGINT:
            assert process.returncode == 130 and "The same command continues" in errors and "Traceback" not in errors, errors
            continue  # what follows is the same; a test of the fit engine continues after an interruption
        code, _, errors = cxr("cv", "mini_vgg", "--run", run.name, longer, "tracking.mlflow=false")
        assert code == 0 and f"continues {run.name}" in errors
        assert (run / "predictions.csv").read_bytes() == (tmp_path / "whole" / "predictions.csv").read_bytes()
        assert [scalar.step for scalar in events_in(run / "fold-0").Scalars("epoch/loss")] == [1, 2, 3, 4, 5, 6]


@pytest.mark.slow
def test_folds_trained_at_a_time_predict_as_one_after_another(cxr, tmp_path):
    threads = {"OMP_NUM_THREADS": "1", "TF_NUM_INTRAOP_THREADS": "1"}
    for name, jobs in (("serial", "1"), ("parallel", "2")):
        code, _, errors = cxr("cv", "mini_vgg", "--run", name, "--jobs", jobs, environment=threads)
        assert code == 0, errors
    assert (tmp_path / "parallel" / "predictions.csv").read_bytes() == (tmp_path / "serial" / "predictions.csv").read_bytes()


def test_jax_trains_on_the_same_split_and_finishes(cxr, tmp_path):
    pytest.importorskip("jax")
    code, _, errors = cxr("train", "mini_vgg", "--run", "jax", "training.phases.all.epochs=1", environment={"KERAS_BACKEND": "jax"})
    assert code == 0, errors
    manifest = read_manifest(tmp_path / "jax" / "manifest.csv")
    parts = split_by_group(manifest, fractions={"train": 0.75, "test": 0.25}, seed=0)
    assert read_json(tmp_path / "jax" / "split.json") == parts.to_dict()
    assert read_json(tmp_path / "jax" / "environment.json")["backend"] == "jax"


def test_bozickovic_carries_the_epochs_of_an_initial_split(cxr, tmp_path):
    settings = [
        "training.phases={all: {epochs: 3, patience: 1, optimizer: sgd, learning_rate: 0.01}}",
        "training.keep=best",
        "split.curves_on_test=false",
        "cross_validation.protocol=bozickovic",
        "data.at_most_per_class={normal: 8}",
        "augmentation={mode: copies, classes: [normal], horizontal_flip: true}",
    ]
    code, output, errors = cxr("cv", "mini_vgg", *settings, "--run", "b")
    assert code == 0, errors
    carried = read_json(tmp_path / "b" / "initial" / "done.json")["phases"][0]["epochs_kept"]
    for fold in ("fold-0", "fold-1"):
        done = read_json(tmp_path / "b" / fold / "done.json")
        assert done["phases"][0]["epochs_run"] == carried and done["images"]["validation"] == 0
        assert done["training_examples"] > done["images"]["train"]
    assert "optimistic" in output
