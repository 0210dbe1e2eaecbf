"""Jobs: one piece of a run in a fresh interpreter, never run again once done; one after another or several at a time.

A fresh interpreter a job keeps the memory of one fold out of the next (`fit` in a loop grows), and lets the environment be set before
TensorFlow is imported. What starts the interpreters and waits for them is an engine: processes of this machine, or tasks of a Ray cluster
(`ray_jobs.py`); the order of jobs, failures and interruptions are the same with both.
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
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from cxr_keras.runs.directory import DONE_FILE, hold_run_directory
from cxr_keras.runs.failures import INTERRUPTED, NO_SPACE, USER_ERROR, explain
from cxr_keras.runs.files import read_json, write_json

FAILURE_FILE = "failure.json"
"""Why a job refused its input, for who starts it: `message` and `exit_code`."""

SECONDS_FOR_AN_ORPHAN_TO_END = 100.0
"""On this machine it takes half a second; a file server frees the locks of a node that has gone after 90 (NFS 4)."""

THREAD_VARIABLES = ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS")
"""What limits the threads of numerical libraries and of TensorFlow."""

GPU_VARIABLE = "CUDA_VISIBLE_DEVICES"

ENGINES = ("processes", "ray")
JOB_FILE = "job.json"

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


class Engine(Protocol):
    """Where jobs run. What `start` gives stands for the running job; it is hashable and means nothing to others."""

    def start(self, job: Job, *, place: int, at_a_time: int, places: int) -> Any:
        """Start a job, whose `job.json` is written, in the place of that number; `at_a_time` jobs run now, never more than `places`."""

    def first_to_end(self, running: Collection[Any]) -> tuple[Any, int]:
        """Wait until one of the running jobs has ended and give it with its exit code, negative for the signal that killed it."""

    def interrupt(self, running: Collection[Any]) -> None:
        """Ask those that still run to stop as Ctrl-C would; they are waited for as before."""


class Processes:
    """Runs jobs as processes of this machine, with its cores and GPUs shared out among those that run at a time."""

    def start(self, job: Job, *, place: int, at_a_time: int, places: int) -> subprocess.Popen[bytes]:
        """Start the interpreter."""
        threads, gpu = _share(place, at_a_time)
        return subprocess.Popen(job_command(job.folder), env=threads | os.environ | gpu | job.environment)

    def first_to_end(self, running: Collection[subprocess.Popen[bytes]]) -> tuple[subprocess.Popen[bytes], int]:
        """Wait for each a moment, in turn."""
        while True:
            for process in running:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    return process, process.wait(timeout=0.1)

    def interrupt(self, running: Collection[subprocess.Popen[bytes]]) -> None:
        """Send SIGINT to those that still run."""
        for process in running:
            if process.poll() is None:
                process.send_signal(signal.SIGINT)


@contextlib.contextmanager
def open_engine(name: str, *, address: str | None = None) -> Iterator[Engine]:
    """Open an engine for the runs of one command, and close it after them.

    Args:
        name: "processes" or "ray".
        address: of a running Ray cluster; `None` starts Ray on this machine alone.

    Raises:
        ValueError: an unknown engine, an address for an engine that has none, or Ray is not installed or not to be reached.
    """
    if name not in ENGINES:
        raise ValueError(f"--engine: got {name!r}, expected {' or '.join(ENGINES)}.")
    if name == "ray":
        from cxr_keras.runs.ray_jobs import RayTasks

        with RayTasks(address) as engine:
            yield engine
        return
    if address is not None:
        raise ValueError("--address names a Ray cluster; give it together with --engine ray.")
    yield Processes()


def run_jobs(jobs: Sequence[Job], *, workers: int = 1, engine: Engine | None = None) -> None:
    """Run the jobs that are not done, each in a fresh interpreter.

    With several workers the processor cores are shared out among them, unless the environment limits the threads already, and so are the
    GPUs. After a failure no further job starts; those that run come to their end.

    Args:
        jobs: in the order in which they start.
        workers: how many run at a time.
        engine: where they run; by default processes of this machine.

    Raises:
        KeyboardInterrupt: a job was interrupted.
        JobFailed: a job refused its input (its own message has been printed) or died (the message names its folder and exit code).
        ValueError: `workers` below 1.
    """
    if workers < 1:
        raise ValueError(f"jobs at a time: got {workers}, expected a whole number from 1 up.")
    engine = engine or Processes()
    waiting = [job for job in jobs if not job.done]
    free = list(range(min(workers, len(waiting))))
    places = len(free)
    running: dict[Any, tuple[Job, int]] = {}
    failed: JobFailed | None = None
    interrupted = False
    while running or (waiting and not failed and not interrupted):
        try:
            if not failed and not interrupted:
                ready = [job for job in waiting if all((folder / DONE_FILE).exists() for folder in job.after)][: len(free)]
                at_a_time = len(running) + len(ready)
                for job in ready:
                    waiting.remove(job)
                    place = free.pop(0)
                    running[start_job(job, engine, place=place, at_a_time=at_a_time, places=places)] = (job, place)
            ended, code = engine.first_to_end(running)
        except KeyboardInterrupt:
            # A terminal sends Ctrl-C to the jobs too; who stops this process alone means them as well. They need a moment.
            interrupted = True
            threading.Timer(SECONDS_BEFORE_FORWARDING, engine.interrupt, args=(list(running),)).start()
            continue
        job, place = running.pop(ended)
        free.append(place)
        try:
            check_ended(job, code)
        except KeyboardInterrupt:
            interrupted = True
        except JobFailed as error:
            failed = failed or error
    if interrupted:
        raise KeyboardInterrupt
    if failed:
        raise failed


def start_job(job: Job, engine: Engine, *, place: int = 0, at_a_time: int = 1, places: int = 1) -> Any:
    """Start one job; it ends by itself when this process is gone.

    Args:
        job: what to run.
        engine: where.
        place: number of the job among those that run at a time.
        at_a_time: how many run now.
        places: the most that will run at a time.

    Returns:
        What stands for the running job, see `Engine`.
    """
    write_json(job.folder / JOB_FILE, {"call": job.call, "arguments": job.arguments, "before": job.before})
    return engine.start(job, place=place, at_a_time=at_a_time, places=places)


def job_command(folder: Path) -> list[str]:
    """The command line of a job whose `job.json` lies in `folder`; the job ends with the process that calls this."""
    return [sys.executable, "-m", "cxr_keras.runs.jobs", str(folder), str(os.getpid())]


def _share(place: int, at_a_time: int) -> tuple[dict[str, str], dict[str, str]]:
    """Variables that give a job its share of cores, before which the user's own go, and its GPU of those that may be used."""
    if at_a_time == 1:
        return {}, {}
    given = os.environ.get(GPU_VARIABLE)
    found = range(len(list(Path("/proc/driver/nvidia/gpus").glob("*"))))
    gpus = [part for part in given.split(",") if part] if given is not None else [str(number) for number in found]
    return thread_variables(max(1, usable_cores() // at_a_time)), {GPU_VARIABLE: gpus[place % len(gpus)]} if gpus else {}


def thread_variables(threads: int) -> dict[str, str]:
    """What limits numerical libraries and TensorFlow to so many threads."""
    return dict.fromkeys(THREAD_VARIABLES, str(threads))


def usable_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


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
    # A Ray worker blocks Ctrl-C, and its child inherits that.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    job = read_json(Path(folder) / JOB_FILE)
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
