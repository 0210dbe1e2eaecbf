import pytest

pytest.importorskip("mlflow")

from cxr_keras.runs.files import read_json, write_json
from cxr_keras.tracking.mlflow_store import MLflow, begin_run, check_store
from cxr_keras.tracking.trackers import open_trackers


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """One database for all tests, as making its tables takes seconds."""
    folder = tmp_path_factory.mktemp("store")
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    check_store(uri)
    return uri


@pytest.fixture
def run(store, tmp_path):
    """A run directory with a run in the store."""
    folder = tmp_path / "net-cv"
    for name in ("fold-0", "fold-1", "split"):
        (folder / name).mkdir(parents=True)
    begin_run(store, folder, tags={"verb": "cv"})
    return folder


def steps(tracker, run_id, name="loss"):
    return [metric.step for metric in tracker.client.get_metric_history(run_id, name)]


def test_a_killed_run_goes_on_in_the_same_runs_without_doubled_steps(store, run, history):
    rows = history(5)
    first = MLflow(store, run)
    first.begin_fold(run / "fold-0", [], ended=0.0)
    for row in rows[:4]:
        first.epoch_done(row)
    begin_run(store, run, tags={})
    again = MLflow(store, run)  # its state is older than the last epoch
    again.begin_fold(run / "fold-0", rows[:2], ended=1000.0)
    for row in rows[2:]:
        again.epoch_done(row)
    assert (again.run_id, again.fold_id) == (first.run_id, first.fold_id)
    assert steps(again, again.fold_id) == [1, 2, 3, 4, 5]
    fold = again.client.get_run(again.fold_id)
    assert fold.data.tags["mlflow.parentRunId"] == again.run_id and fold.info.run_name == "net-cv fold-0"


def test_the_end_completes_every_fold_and_is_told_once(store, run, run_results, tmp_path):
    for _ in range(2):
        tracker = MLflow(store, run)
        tracker.end_run(run_results(run))
    told = tracker.client.get_run(tracker.run_id)
    assert told.info.status == "FINISHED" and told.info.end_time >= told.info.start_time and told.info.run_name == "net-cv"
    assert told.data.params == {"model.name": "m", "seed": "1", "flip": "True"} and told.data.metrics == {"test/macro_auroc": 0.9}
    assert len(tracker.client.get_metric_history(tracker.run_id, "test/macro_auroc")) == 1
    assert [item.path for item in tracker.client.list_artifacts(tracker.run_id, "figures")] == ["figures/roc.png"]
    assert told.info.artifact_uri.startswith(f"file://{store.removeprefix('sqlite:///').removesuffix('mlflow.db')}mlartifacts/")
    for name in ("fold-0", "fold-1"):
        fold = read_json(run / name / "mlflow.json")[store]
        assert steps(tracker, fold) == [1, 2, 3] and tracker.client.get_run(fold).data.metrics["test/accuracy"] == 0.75
    everything = str([told.data.params, told.data.tags, told.data.metrics])
    assert str(tmp_path) not in everything


def test_one_split_has_its_epochs_in_the_run_itself(store, run, run_results):
    tracker = MLflow(store, run)
    tracker.end_run(run_results(run, names=("split",)))
    assert steps(tracker, tracker.run_id) == [1, 2, 3] and not (run / "split" / "mlflow.json").exists()


def test_a_run_that_was_deleted_in_the_store_begins_anew(store, run):
    first = MLflow(store, run).run_id
    MLflow(store, run).client.delete_run(first)
    begin_run(store, run, tags={})
    second = MLflow(store, run).run_id
    assert second != first
    write_json(run / "mlflow.json", {store: "0" * 32})
    begin_run(store, run, tags={})
    assert MLflow(store, run).run_id not in (first, second, "0" * 32)


def test_a_store_that_cannot_be_reached_is_refused_at_the_start_and_left_out_later(run, tmp_path, monkeypatch, capsys, history):
    (tmp_path / "file").write_text("")
    unreachable = f"sqlite:///{tmp_path / 'file' / 'mlflow.db'}"
    with pytest.raises(ValueError, match=r"cannot be used: .*tracking\.mlflow=null"):
        check_store(unreachable)
    trackers = open_trackers(tensorboard=True, mlflow=unreachable, run_directory=run, label="fold 1 of 2")
    trackers.begin_fold(run / "fold-0", history(2), ended=0.0)
    assert len(trackers.failures) == 1 and "WARNING: fold 1 of 2: MLflow failed" in capsys.readouterr().err
    assert [tracker.name for tracker in trackers.trackers] == ["TensorBoard"]


def test_telemetry_is_off(store):
    from mlflow.telemetry.utils import MLFLOW_DISABLE_TELEMETRY

    assert MLFLOW_DISABLE_TELEMETRY.get()
