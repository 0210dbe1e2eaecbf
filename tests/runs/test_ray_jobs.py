"""Jobs as Ray tasks: cheap ones, on a Ray of this machine that all tests here share."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from cxr_keras.runs.failures import NO_SPACE, USER_ERROR
from cxr_keras.runs.files import read_json
from cxr_keras.runs.jobs import Job, JobFailed, run_jobs
from cxr_keras.runs.ray_jobs import RETRIES, RayTasks, cores_of_a_job
from cxr_keras.runs.ray_node import refusal_here, version_here

pytest.importorskip("ray")

REPOSITORY = Path(__file__).resolve().parents[2]

FUNCTIONS = """
import json, os, signal, time

def count(*, folder, value):
    # Counts to ten from wherever a killed one has stopped, as a training continues from its state.
    with open(folder / 'starts', 'a') as starts:
        starts.write(f'{os.getpid()} {os.getppid()}\\n')
    state = folder / 'state'
    step, total = json.loads(state.read_text()) if state.exists() else (0, value)
    began = time.time()
    while step < 10:
        time.sleep(0.15 if value < 10 else 2)
        step, total = step + 1, total * 31 % 1009
        temporary = folder / 'state.partial'
        temporary.write_text(json.dumps([step, total]))
        temporary.rename(state)
    told = {'total': total, 'threads': os.environ['OMP_NUM_THREADS'], 'began': began, 'ended': time.time()}
    (folder / 'done.json').write_text(json.dumps(told))

def refuse(*, folder, value):
    from cxr_keras.runs.files import read_json
    (folder / 'settings.json').write_text('{')
    read_json(folder / 'settings.json')

def fill(*, folder, value):
    raise OSError(28, os.strerror(28), str(folder / 'state.npz'))

def stop(*, folder, value):
    raise KeyboardInterrupt

def die(*, folder, value):
    with open(folder / 'starts', 'a') as starts:
        starts.write('once more\\n')
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture(scope="module")
def engine():
    with RayTasks() as tasks:
        yield tasks


@pytest.fixture
def job(tmp_path):
    """Makes jobs whose functions lie in a module that only the job's interpreter imports."""
    (tmp_path / "job_functions.py").write_text(FUNCTIONS)
    paths = {"PYTHONPATH": f"{tmp_path}{os.pathsep}{REPOSITORY}"}

    def make(name, folder="a", value=3, *, environment=(), **rest):
        return Job(f"job_functions:{name}", tmp_path / folder, {"value": value}, environment=paths | dict(environment), **rest)

    return make


def result(job):
    return read_json(job.folder / "done.json")


def kill_when_it_counts(job, *, which):
    """Kill -9 the process of a job ("own") or the Ray worker that has started it ("worker"), once, after its second step."""

    def kill():
        while not (job.folder / "state").exists() or (job.folder / "state").read_text() < "[2":
            time.sleep(0.02)
        own, worker = map(int, (job.folder / "starts").read_text().split())
        os.kill({"own": own, "worker": worker}[which], signal.SIGKILL)

    thread = threading.Thread(target=kill, daemon=True)
    thread.start()
    return thread


@pytest.mark.parametrize("which", ["worker", "own"])
def test_a_worker_killed_amidst_five_folds_changes_nothing(engine, job, which):
    one_thread = {"OMP_NUM_THREADS": "1"}
    serial = [job("count", f"serial-{fold}", value=fold + 1, environment=one_thread) for fold in range(5)]
    run_jobs(serial, workers=5)
    parallel = [job("count", f"fold-{fold}", value=fold + 1, environment=one_thread) for fold in range(5)]
    killed = kill_when_it_counts(parallel[1], which=which)
    run_jobs(parallel, workers=2, engine=engine)
    killed.join(timeout=1)
    assert [result(one)["total"] for one in parallel] == [result(one)["total"] for one in serial]
    assert [result(one)["threads"] for one in parallel] == [result(one)["threads"] for one in serial] == ["1"] * 5
    starts = [len((one.folder / "starts").read_text().splitlines()) for one in parallel]
    assert starts == [1, 2, 1, 1, 1]
    intervals = sorted((result(one)["began"], result(one)["ended"]) for one in parallel)
    assert all(third[0] >= min(first[1], second[1]) for first, second, third in zip(intervals, intervals[1:], intervals[2:]))


def test_a_job_waits_for_what_comes_first_and_a_done_one_rests(engine, job, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    first = job("count", "first")
    others = [job("count", name, after=(first.folder,)) for name in "bc"]
    run_jobs([*others, first], workers=2, engine=engine)
    assert min(result(one)["began"] for one in others) >= result(first)["ended"]
    cores = len(os.sched_getaffinity(0))
    assert {result(one)["threads"] for one in (first, *others)} == {str(max(1, cores // 2))}  # the same for all, whatever runs beside
    before = (first.folder / "done.json").stat().st_mtime_ns
    run_jobs([first], engine=engine)
    assert (first.folder / "done.json").stat().st_mtime_ns == before
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    run_jobs([job("count", "mine")], engine=engine)
    assert result(job("count", "mine"))["threads"] == "7"


@pytest.mark.parametrize("name, code, message", [("refuse", USER_ERROR, "is not valid JSON"), ("fill", NO_SPACE, "no space left")])
def test_a_failure_is_said_once_and_no_other_job_starts(engine, job, capfd, name, code, message):
    jobs = [job(name, "a"), job("count", "b"), job("count", "c")]
    with pytest.raises(JobFailed) as caught:
        run_jobs(jobs, workers=2, engine=engine)
    assert caught.value.exit_code == code and not str(caught.value)
    error = capfd.readouterr().err
    assert error.count(message) == 1 and "Traceback" not in error
    assert not jobs[2].folder.exists() and jobs[1].done


def test_a_job_that_always_dies_is_tried_again_a_few_times_and_named(engine, job):
    dying = job("die")
    with pytest.raises(JobFailed, match="killed by signal 9. The same command continues"):
        run_jobs([dying], engine=engine)
    assert len((dying.folder / "starts").read_text().splitlines()) == RETRIES + 1


def test_an_interrupted_job_interrupts_the_run(engine, job):
    with pytest.raises(KeyboardInterrupt):
        run_jobs([job("stop")], engine=engine)


@pytest.mark.slow
@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGKILL])
def test_the_end_of_the_run_ends_its_jobs_and_leaves_no_files(job, tmp_path, kind):
    counting = job("count")
    code = (
        "from pathlib import Path; from cxr_keras.runs.jobs import Job, open_engine, run_jobs\n"
        f"job = Job({counting.call!r}, Path({str(counting.folder)!r}), {{'value': 10}}, environment={counting.environment!r})\n"
        "with open_engine('ray') as engine: run_jobs([job], engine=engine)\n"
    )
    home = tmp_path / "home"
    home.mkdir()
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY), "HOME": str(home)}
    run = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL, env=environment)
    while not (counting.folder / "state").exists():
        assert run.poll() is None
        time.sleep(0.02)
    own, _ = map(int, (counting.folder / "starts").read_text().split())
    run.send_signal(kind)
    assert run.wait(timeout=30) != 0
    last = time.monotonic() + 10
    while Path(f"/proc/{own}").exists() and time.monotonic() < last:
        time.sleep(0.1)
    assert not Path(f"/proc/{own}").exists() and not counting.done
    assert list(home.iterdir()) == []


def test_cores_are_shared_so_that_as_many_jobs_fit_as_are_wanted():
    assert cores_of_a_job([(16, 0)], jobs=1) == 16
    assert cores_of_a_job([(16, 0)], jobs=5) == 3
    assert cores_of_a_job([(16, 0)] * 3, jobs=4) == 8  # 12 would fit once on each node
    assert cores_of_a_job([(2, 0)], jobs=5) == 1
    assert cores_of_a_job([(16, 4), (64, 0)], jobs=8) == 4  # only where a GPU is
    assert cores_of_a_job([(16, 4), (8, 1)], jobs=2) == 8
    with pytest.raises(ValueError, match="no place for a job: cores and GPUs of its nodes are 0 and 0"):
        cores_of_a_job([(0, 0)], jobs=2)


def test_a_node_that_sees_other_files_or_versions_refuses(tmp_path, monkeypatch):
    monkeypatch.setattr("cxr_keras.runs.ray_node.SECONDS_FOR_A_FILE_TO_APPEAR", 0.0)
    assert "does not see" in refusal_here(tmp_path / "fold-0", "{}", tmp_path, version_here())
    (tmp_path / "job.json").write_text("{}")
    assert "does not see" in refusal_here(tmp_path, '{"other": 1}', tmp_path, version_here())
    assert "has no folder" in refusal_here(tmp_path, "{}", tmp_path / "none", version_here())
    assert "Install the same version" in refusal_here(tmp_path, "{}", tmp_path, "0.0.1")
    assert refusal_here(tmp_path, "{}", tmp_path, version_here()) == ""
