"""Jobs: one piece of a run in a fresh interpreter, never run again once done; one after another or several at a time.

A fresh interpreter a job keeps the memory of one fold out of the next (`fit` in a loop grows), and lets the environment be set before
TensorFlow is imported.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cxr_keras.runs.directory import DONE_FILE, hold_run_directory
from cxr_keras.runs.failures import INTERRUPTED, NO_SPACE, USER_ERROR, explain
from cxr_keras.runs.files import read_json, write_json

FAILURE_FILE = "failure.json"
"""Why a job refused its input, for who starts it: `message` and `exit_code`."""

SECONDS_FOR_AN_ORPHAN_TO_END = 10.0

THREAD_VARIABLES = ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS")
"""What limits the threads of numerical libraries and of TensorFlow."""

GPU_VARIABLE = "CUDA_VISIBLE_DEVICES"

SECONDS_BEFORE_FORWARDING = 2.0
"""After an interruption; by then a job that the terminal has interrupted too is on its way out."""


class JobFailed(Exception):
    """A job ended without its result; `exit_code` says how, and an empty text that the job itself has printed why."""

    def __init__(self, message: str, *, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


@dataclass(frozen=True)
class Job:
    """What to call, with what, and where its result lies.

    Attributes:
        call: "package.module:function"; it is called with `folder` and `arguments` and leaves `done.json` in `folder`.
        folder: the job's own folder.
        arguments: keyword arguments, plain JSON values.
        environment: variables set before the interpreter starts.
        before: "package.module:function" that is called first, without arguments and before the module of `call` is imported.
        after: folders of jobs that must be done before this one starts.
    """

    call: str
    folder: Path
    arguments: dict[str, Any] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    before: str | None = None
    after: tuple[Path, ...] = ()

    @property
    def done(self) -> bool:
        """Whether its result is there."""
        return (self.folder / DONE_FILE).exists()


def run_jobs(jobs: Sequence[Job], *, workers: int = 1) -> None:
    """Run the jobs that are not done, each in a fresh interpreter.

    With several workers the processor cores are shared out among them, unless the environment limits the threads already, and so are the
    GPUs. After a failure no further job starts; those that run come to their end.

    Args:
        jobs: in the order in which they start.
        workers: how many run at a time.

    Raises:
        KeyboardInterrupt: a job was interrupted.
        JobFailed: a job refused its input (its own message has been printed) or died (the message names its folder and exit code).
        ValueError: `workers` below 1.
    """
    if workers < 1:
        raise ValueError(f"jobs at a time: got {workers}, expected a whole number from 1 up.")
    waiting = [job for job in jobs if not job.done]
    places = list(range(min(workers, len(waiting))))
    running: dict[subprocess.Popen[bytes], tuple[Job, int]] = {}
    failed: JobFailed | None = None
    interrupted = False
    while running or (waiting and not failed and not interrupted):
        if not failed and not interrupted:
            ready = [job for job in waiting if all((folder / DONE_FILE).exists() for folder in job.after)][: len(places)]
            at_a_time = len(running) + len(ready)
            for job in ready:
                waiting.remove(job)
                place = places.pop(0)
                running[start_job(job, place=place, at_a_time=at_a_time)] = (job, place)
        try:
            process = _first_to_end(running)
        except KeyboardInterrupt:
            # A terminal sends Ctrl-C to the jobs too; who stops this process alone means them as well. They need a moment.
            interrupted = True
            threading.Timer(SECONDS_BEFORE_FORWARDING, _interrupt, args=(list(running),)).start()
            continue
        job, place = running.pop(process)
        places.append(place)
        try:
            check_ended(job, process.returncode)
        except KeyboardInterrupt:
            interrupted = True
        except JobFailed as error:
            failed = failed or error
    if interrupted:
        raise KeyboardInterrupt
    if failed:
        raise failed


def start_job(job: Job, *, place: int = 0, at_a_time: int = 1) -> subprocess.Popen[bytes]:
    """Start a job's interpreter; it ends by itself when this process is gone.

    Args:
        job: what to run.
        place: number of the job among those that run at a time; the GPUs are given out by it.
        at_a_time: how many run at a time; the cores are shared out among them.

    Returns:
        The process.
    """
    write_json(job.folder / "job.json", {"call": job.call, "arguments": job.arguments, "before": job.before})
    command = [sys.executable, "-m", "cxr_keras.runs.jobs", str(job.folder), str(os.getpid())]
    threads, gpu = _share(place, at_a_time)
    return subprocess.Popen(command, env=threads | os.environ | gpu | job.environment)


def _share(place: int, at_a_time: int) -> tuple[dict[str, str], dict[str, str]]:
    """Variables that give a job its share of cores, before which the user's own go, and its GPU of those that may be used."""
    if at_a_time == 1:
        return {}, {}
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    given = os.environ.get(GPU_VARIABLE)
    found = range(len(list(Path("/proc/driver/nvidia/gpus").glob("*"))))
    gpus = [part for part in given.split(",") if part] if given is not None else [str(number) for number in found]
    return dict.fromkeys(THREAD_VARIABLES, str(max(1, cores // at_a_time))), {GPU_VARIABLE: gpus[place % len(gpus)]} if gpus else {}


def _interrupt(processes: Iterable[subprocess.Popen[bytes]]) -> None:
    """Send SIGINT to those that still run."""
    for process in processes:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)


def _first_to_end(running: Iterable[subprocess.Popen[bytes]]) -> subprocess.Popen[bytes]:
    """Wait until one of the processes has ended."""
    while True:
        for process in running:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=0.1)
                return process


def check_ended(job: Job, code: int) -> None:
    """Raise what the exit code of a job's process means.

    Raises:
        KeyboardInterrupt: it was interrupted.
        JobFailed: it refused its input, which it has said itself, or it died.
    """
    if code == INTERRUPTED:
        raise KeyboardInterrupt
    if code in (USER_ERROR, NO_SPACE):
        raise JobFailed("", exit_code=code)
    if code != 0:
        how = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
        raise JobFailed(f"The job in {job.folder} {how}. The same command continues after the last resumable state.", exit_code=1)
    if not job.done:
        raise JobFailed(f"The job in {job.folder} ended without its {DONE_FILE}; this is a fault of the program.", exit_code=1)


def main(folder: str, parent: int) -> int:
    """Run the job described in `folder`/job.json in this interpreter, as long as the process `parent` lives.

    Returns:
        The exit code: 0, 2 for refused input, 3 for a full disk, 130 for an interruption.
    """
    job = read_json(Path(folder) / "job.json")
    threading.Thread(target=_end_with_parent, args=(parent,), daemon=True).start()
    try:
        with hold_run_directory(Path(folder), wait_seconds=SECONDS_FOR_AN_ORPHAN_TO_END):
            _run(job, Path(folder))
    except KeyboardInterrupt:
        return INTERRUPTED
    except Exception as error:
        explained = explain(error)
        if explained is None:
            raise
        message, code = explained
        print(f"cxr: {message}", file=sys.stderr, flush=True)
        with contextlib.suppress(OSError):
            write_json(Path(folder) / FAILURE_FILE, {"message": message, "exit_code": code})
        return code
    return 0


def _run(job: dict[str, Any], folder: Path) -> None:
    """Call what comes before the job, then its function."""
    if job["before"]:
        _named(job["before"])()
    _named(job["call"])(folder=folder, **job["arguments"])


def _named(name: str) -> Callable[..., None]:
    """The function behind "package.module:function"."""
    module, function = name.split(":")
    return getattr(importlib.import_module(module), function)


def _end_with_parent(parent: int) -> None:
    """End this process when the one that started it is gone: after a kill -9 of the run no job must go on writing beside its successor."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(INTERRUPTED)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2])))
