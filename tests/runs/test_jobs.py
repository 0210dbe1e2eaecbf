import json
import os
import signal
import subprocess
import sys
import time

import pytest

from cxr_keras.runs.directory import hold_run_directory
from cxr_keras.runs.failures import INTERRUPTED, NO_SPACE, USER_ERROR
from cxr_keras.runs.files import read_json, write_json
from cxr_keras.runs.jobs import Job, JobFailed, _share, main, run_jobs

CALL = "job_functions:{}"


@pytest.fixture
def job(tmp_path, monkeypatch):
    """Makes jobs whose functions lie in a module that only the job's interpreter imports."""
    (tmp_path / "job_functions.py").write_text(
        "import json, os, signal\n"
        "def work(*, folder, value):\n"
        "    (folder / 'done.json').write_text(json.dumps({'value': value, 'variable': os.environ.get('CXR_TEST')}))\n"
        "def refuse(*, folder, value):\n"
        "    from cxr_keras.runs.files import read_json\n"
        "    (folder / 'settings.json').write_text('{')\n"
        "    read_json(folder / 'settings.json')\n"
        "def die(*, folder, value):\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "def fill(*, folder, value):\n"
        "    raise OSError(28, os.strerror(28), str(folder / 'state.npz'))\n"
        "def stop(*, folder, value):\n"
        "    raise KeyboardInterrupt\n"
        "def wait(*, folder, value):\n"
        "    import time\n"
        "    (folder / 'began').touch()\n"
        "    time.sleep(60)\n"
        "def slow(*, folder, value):\n"
        "    import time\n"
        "    began = time.time()\n"
        "    time.sleep(2)\n"
        "    told = {'began': began, 'ended': time.time(), 'threads': os.environ.get('OMP_NUM_THREADS')}\n"
        "    (folder / 'done.json').write_text(json.dumps(told))\n"
        "def forget(*, folder, value):\n"
        "    pass\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return lambda name, folder="a", **rest: Job(CALL.format(name), tmp_path / folder, {"value": 3}, **rest)


def test_a_job_runs_once_in_its_own_environment(job):
    work = job("work", environment={"CXR_TEST": "yes"})
    run_jobs([work])
    assert read_json(work.folder / "done.json") == {"value": 3, "variable": "yes"}
    write_json(work.folder / "done.json", {"kept": True})
    run_jobs([work])
    assert read_json(work.folder / "done.json") == {"kept": True}


def test_a_killed_job_is_named_and_runs_again(job):
    with pytest.raises(JobFailed, match="killed by signal 9. The same command continues"):
        run_jobs([job("die")])
    run_jobs([job("work")])


def test_a_refusal_is_printed_by_the_job_and_passed_on(job, capfd):
    with pytest.raises(JobFailed) as caught:
        run_jobs([job("refuse"), job("work", folder="b")])
    assert caught.value.exit_code == USER_ERROR and not str(caught.value)
    error = capfd.readouterr().err
    assert "settings.json is not valid JSON" in error and "Traceback" not in error


def test_a_full_disk_is_said_without_a_traceback(job, capfd):
    with pytest.raises(JobFailed) as caught:
        run_jobs([job("fill")])
    assert caught.value.exit_code == NO_SPACE
    error = capfd.readouterr().err
    assert "no space left on the device" in error and "state.npz" in error and "Traceback" not in error


def test_an_interrupted_job_interrupts_the_run(job):
    with pytest.raises(KeyboardInterrupt):
        run_jobs([job("stop")])


def test_a_job_without_result_is_a_fault(job):
    with pytest.raises(JobFailed, match="without its done.json"):
        run_jobs([job("forget")])


def test_exit_codes(tmp_path, monkeypatch, job):
    monkeypatch.syspath_prepend(str(tmp_path))
    for name, code in (("work", 0), ("refuse", USER_ERROR), ("stop", INTERRUPTED)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "job.json").write_text(json.dumps({"call": CALL.format(name), "arguments": {"value": 1}, "before": None}))
        assert main(str(tmp_path / name), os.getppid()) == code


def test_a_job_ends_when_the_run_that_started_it_is_killed(job, tmp_path):
    waiting = job("wait")
    code = (
        "from pathlib import Path; from cxr_keras.runs.jobs import Job, run_jobs;"
        f"run_jobs([Job({waiting.call!r}, Path({str(waiting.folder)!r}), {{'value': 1}})])"
    )
    run = subprocess.Popen([sys.executable, "-c", code])
    while not (waiting.folder / "began").exists():
        assert run.poll() is None
        time.sleep(0.05)
    run.kill()
    run.wait()
    with hold_run_directory(waiting.folder, wait_seconds=10):  # free as soon as the job is gone, long before it would end
        pass


def test_several_workers_share_the_cores_and_wait_for_what_comes_first(job, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    first = job("slow", folder="first")
    others = [job("slow", folder=name, after=(first.folder,)) for name in ("b", "c", "d")]
    run_jobs([*others, first], workers=2)
    times = {each.folder.name: read_json(each.folder / "done.json") for each in (first, *others)}
    assert min(times[name]["began"] for name in "bcd") >= times["first"]["ended"]
    assert times["c"]["began"] < times["b"]["ended"] and times["d"]["began"] >= min(times["b"]["ended"], times["c"]["ended"])
    cores = len(os.sched_getaffinity(0))
    assert times["first"]["threads"] is None  # alone, it has all cores
    assert {times[name]["threads"] for name in "bcd"} == {str(max(1, cores // 2))}
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    run_jobs([job("slow", folder="mine"), job("slow", folder="mine too")], workers=2)
    assert read_json(job("slow", folder="mine").folder / "done.json")["threads"] == "7"


def test_after_a_failure_running_jobs_end_and_no_other_starts(job):
    jobs = [job("die", folder="a"), job("slow", folder="b"), job("slow", folder="c")]
    with pytest.raises(JobFailed, match="killed by signal 9"):
        run_jobs(jobs, workers=2)
    assert jobs[1].done and not jobs[2].done
    with pytest.raises(ValueError, match="got 0"):
        run_jobs(jobs, workers=0)


def test_an_interruption_of_the_run_alone_reaches_its_jobs(job, tmp_path):
    waiting = job("wait")
    code = (
        "from pathlib import Path; from cxr_keras.runs.jobs import Job, run_jobs;"
        f"run_jobs([Job({waiting.call!r}, Path({str(waiting.folder)!r}), {{'value': 1}})])"
    )
    run = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL)
    while not (waiting.folder / "began").exists():
        assert run.poll() is None
        time.sleep(0.05)
    run.send_signal(signal.SIGINT)
    assert run.wait(timeout=30) != 0  # the job would sleep for a minute


def test_gpus_that_the_user_gave_are_shared_out(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,6")
    assert [_share(place, 3)[1] for place in range(3)] == [{"CUDA_VISIBLE_DEVICES": number} for number in ("4", "6", "4")]
    assert _share(0, 1) == ({}, {})
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")  # none, on purpose
    assert _share(1, 2)[1] == {}
