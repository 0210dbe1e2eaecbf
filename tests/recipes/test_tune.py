import os
import signal
import time

import numpy as np
import pandas as pd
import pytest

from cxr_keras.config.loader import load_config
from cxr_keras.recipes.trial import read_record, run_trial
from cxr_keras.recipes.tune import check_search
from cxr_keras.runs.files import read_json

SPACE = "tune.space={training.phases.all.learning_rate: {low: 0.001, high: 0.1, scale: log}, model.params.conv_dropout: [0.0, 0.25]}"


def wait_for(path, process, *, seconds=120):
    end = time.monotonic() + seconds
    while not path.exists():
        assert process.poll() is None and time.monotonic() < end, process.communicate()
        time.sleep(0.02)


def test_a_killed_search_goes_on_and_ends_with_a_model_tested_on_images_that_no_trial_saw(cxr, tmp_path):
    arguments = ("mini_vgg", "--run", "search", SPACE, "tune.trials=2", "tune.folds=1", "tune.search=random")
    process = cxr("tune", *arguments, start=True)
    wait_for(tmp_path / "search" / "trials" / "0" / "trial.json", process)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=60)
    first = (tmp_path / "search" / "trials" / "0" / "trial.json").read_bytes()
    code, output, errors = cxr("tune", *arguments)
    assert code == 0, errors
    run = tmp_path / "search"
    assert (run / "trials" / "0" / "trial.json").read_bytes() == first and "trial 0, fold" not in errors

    trials = pd.read_csv(run / "trials.csv")
    assert list(trials["trial"]) == [0, 1] and list(trials["status"]) == ["complete", "complete"]
    best = load_config(str(run / "best.yaml"))
    chosen = trials.loc[trials["mean"].idxmax()]
    assert best.training.phases["all"]["learning_rate"] == chosen["training.phases.all.learning_rate"]
    assert best.tune is None and best.name == "mini_vgg-tuned"
    tested = set(pd.read_csv(run / "final" / "predictions.csv")["image_id"])
    searched = set(pd.read_csv(run / "search" / "manifest.csv")["image_id"])
    for trial in ("0", "1"):
        assert set(pd.read_csv(run / "trials" / trial / "fold-0" / "parts.csv")["image_id"]) == searched
    assert tested and not tested & searched and tested | searched == set(pd.read_csv(run / "manifest.csv")["image_id"])
    assert "the final model on the images set apart" in output and (run / "figures" / "trials.png").stat().st_size > 0
    assert read_json(run / "tune.json")["trials"] == 2

    for verb in ("report", "explain", "export"):
        code, _, errors = cxr(verb, "search", settings=())
        assert code == 2 and "search is a search: the model that it ended with is the run search/final" in errors
    assert cxr("report", "search/final", settings=())[0] == 0


@pytest.mark.slow
def test_two_workers_lose_no_trial_when_one_is_killed(cxr, tmp_path):
    arguments = ("mini_vgg", "--run", "search", SPACE, "tune.trials=4", "tune.folds=2", "tune.search=random", "tune.final_model=false")
    process = cxr("tune", *arguments, "--jobs", "2", start=True)
    workers = tmp_path / "search" / "search" / "workers"
    wait_for(tmp_path / "search" / "trials" / "1" / "fold-0" / "done.json", process)
    killed = read_json(workers / "worker-1.json")["process"]
    os.kill(killed, signal.SIGKILL)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0 and "worker-1 ended with code -9; it is started again, its trial" in errors, errors
    trials = pd.read_csv(tmp_path / "search" / "trials.csv")
    assert list(trials["trial"]) == [0, 1, 2, 3] and set(trials["status"]) <= {"complete", "ended"}

    # Random proposals do not depend on scores, so the settings and the complete folds are those of a search in turn.
    code, _, errors = cxr("tune", *arguments[:1], "--run", "alone", *arguments[3:], "tune.end_hopeless=false")
    assert code == 0, errors
    alone = pd.read_csv(tmp_path / "alone" / "trials.csv")
    columns = ["training.phases.all.learning_rate", "model.params.conv_dropout"]
    assert trials[columns].equals(alone[columns])


@pytest.mark.slow
def test_a_failed_trial_says_why_and_three_in_a_row_end_the_search(cxr):
    code, _, errors = cxr(
        "tune",
        "mini_vgg",
        "tune.space={training.phases.all.learning_rate: [1.0e+30, 1.0e+31, 1.0e+32, 1.0e+33]}",
        "tune.trials=4",
        "tune.folds=1",
        "tune.search=random",
    )
    assert code == 2 and "3 trials in a row failed" in errors and "The training loss became" in errors and "Traceback" not in errors


@pytest.mark.slow
def test_workers_as_tasks_of_ray(cxr, tmp_path):
    pytest.importorskip("ray")
    arguments = ("mini_vgg", "--run", "search", SPACE, "tune.trials=2", "tune.folds=1", "tune.search=random", "tune.final_model=false")
    code, _, errors = cxr("tune", *arguments, "--jobs", "2", "--engine", "ray")
    assert code == 0, errors
    trials = pd.read_csv(tmp_path / "search" / "trials.csv")
    assert list(trials["status"]) == ["complete", "complete"]


def test_a_search_on_a_classifier_survives_what_its_images_refuse_and_a_kill_after_the_last_fold(cxr, tmp_path):
    settings = (
        "model.name=mini_vgg",
        "model.weights=null",
        "data.image_size=[16, 16]",
        "data.resize=stretch",
        "evaluation.bootstrap_draws=100",
    )
    section = "tune={search: random, trials: 2, folds: 2, end_hopeless: false, final_model: false, space: {classifier.folds: [2, 45]}}"
    code, _, errors = cxr("tune", "vgg16_features", "--run", "search", section, "classifier.grid=[0.1, 10.0]", settings=settings)
    assert code == 0, errors
    run = tmp_path / "search"
    trials = pd.read_csv(run / "trials.csv", dtype={"trial": str}).set_index("status")
    assert set(trials.index) == {"complete", "failed"} and trials.loc["failed", "classifier.folds"] == 45
    complete = str(trials.loc["complete", "trial"])
    record = read_record(run / "trials" / complete)
    (run / "trials" / complete / "trial.json").unlink()
    assert run_trial(load_config(str(run / "config.yaml")), run, complete, record.settings) == record.mean == np.mean(record.scores)


def test_a_base_that_draws_at_random_is_refused_before_the_search(phantom):
    space = "tune={trials: 2, final_model: false, space: {training.strategy: [from_scratch, two_stage]}}"
    config = load_config(
        "mini_vgg", [f"data.sources=[phantom:{phantom}]", "split.curves_on_test=false", "cross_validation.validation=0.2", space]
    )
    with pytest.raises(ValueError, match="mini_vgg has layers in its base that draw at random"):
        check_search(config)
