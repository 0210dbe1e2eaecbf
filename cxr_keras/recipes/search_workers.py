"""The chief of a search and the workers it starts: what dies is started again, and its trial goes on."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path
from typing import Any

from cxr_keras.runs.directory import DONE_FILE
from cxr_keras.runs.failures import PROGRAM_ERROR
from cxr_keras.runs.jobs import Engine, Job, JobFailed, Processes, check_ended, run_jobs, start_job
from cxr_keras.tuning.service import LOOPBACK, LostWorkers, parse_address, serve, worker_environment

DEATHS_ALLOWED = 5
"""Of one worker's place; a trial that kills its worker each time must not do so for ever."""

SECONDS_UNTIL_LOST = 60.0
"""Without a sign of life of a worker that joined from elsewhere."""

SECONDS_BETWEEN_LOOKS = 0.2


def run_chief(
    oracle: Any,
    folder: Path,
    *,
    call: str,
    arguments: dict[str, Any],
    workers: int,
    listen: str | None,
    join: str,
    engine: Engine | None = None,
) -> None:
    """Serve the oracle until the search is over.

    Args:
        oracle: of `make_oracle`, its state opened.
        folder: of the workers.
        call: what a worker runs, "package.module:function".
        arguments: of that function.
        workers: how many to start; 0 waits for others to join.
        listen: host:port for workers of other machines; by default a free port of the loopback interface.
        join: the command by which others join, with HOST:PORT in it.
        engine: where the workers run; one that brings them back to life itself, such as Ray. By default processes of this machine.

    Raises:
        JobFailed: a worker refused its input, or died again and again.
        KeyboardInterrupt: the search was interrupted.
        Exception: what a request of a worker has met in this process, for example a full disk.
    """
    for sign in folder.glob("*.json"):
        sign.unlink()
    with serve(oracle, listen or f"{LOOPBACK}:0") as address:
        host, port = parse_address(address)
        if listen is not None:
            print(f"Others join with: {join.replace('HOST:PORT', f'{host}:{port}')} --name NAME", file=sys.stderr, flush=True)
        reached = f"{LOOPBACK if host == '0.0.0.0' else host}:{port}"

        def worker(place: int) -> Job:
            return worker_job(folder / f"worker-{place}", reached, call=call, arguments=arguments)

        if engine is not None:
            jobs = [worker(place) for place in range(workers)]
            with _giving_up_lost(oracle, folder, besides={job.folder.name for job in jobs}):
                run_jobs(jobs, workers=workers, engine=engine)
            workers = 0
        _watch(oracle, folder, worker, workers=workers)


def worker_job(folder: Path, address: str, *, call: str, arguments: dict[str, Any]) -> Job:
    """Make the job of a worker, its name that of its folder; what an earlier one of this name has left is no result.

    Args:
        folder: of the worker.
        address: host:port of the chief.
        call: what it runs, "package.module:function".
        arguments: of that function.
    """
    (folder / DONE_FILE).unlink(missing_ok=True)
    return Job(call, folder, arguments, worker_environment(folder.name, address), before="cxr_keras.startup:start_backend")


def _watch(oracle: Any, folder: Path, worker: Callable[[int], Job], *, workers: int) -> None:
    """Start workers on this machine, start those that die again, give up those that joined and are lost, until the search is over."""
    lost = LostWorkers(folder, after_seconds=SECONDS_UNTIL_LOST)
    running: dict[int, tuple[subprocess.Popen[bytes], Job]] = {}
    deaths: Counter[int] = Counter()

    def start(place: int) -> None:
        job = worker(place)
        running[place] = (start_job(job, Processes(), place=place, at_a_time=max(workers, 1)), job)

    try:
        for place in range(workers):
            start(place)
        while True:
            time.sleep(SECONDS_BETWEEN_LOOKS)
            if oracle.failure is not None:
                raise oracle.failure
            for place, (process, job) in list(running.items()):
                if process.poll() is None:
                    continue
                del running[place]
                try:
                    check_ended(job, process.returncode)
                except JobFailed as error:
                    deaths[place] += 1
                    if error.exit_code != PROGRAM_ERROR or deaths[place] > DEATHS_ALLOWED:
                        raise
                    trial = oracle.give_up_worker(job.folder.name)
                    what = f"its trial {trial} goes on" if trial else "it had no trial"
                    print(
                        f"{job.folder.name} ended with code {process.returncode}; it is started again, {what}", file=sys.stderr, flush=True
                    )
                    start(place)
            _give_up(oracle, lost, besides={job.folder.name for _, job in running.values()})
            if oracle.exhausted and not running:
                if oracle.is_over():
                    return
                if oracle.waits_for_worker():  # all others have gone, and a lost one left its trial behind
                    start(0)
    finally:
        _end(process for process, _ in running.values())


def _give_up(oracle: Any, lost: LostWorkers, *, besides: Collection[str]) -> None:
    """Give the trials of workers that are gone to others, but not those of `besides`, which are started again."""
    for name in lost.found():
        if name not in besides and (trial := oracle.give_up_worker(name)):
            print(f"{name} gives no sign of life; its trial {trial} is given to another", file=sys.stderr, flush=True)


@contextlib.contextmanager
def _giving_up_lost(oracle: Any, folder: Path, *, besides: Collection[str]) -> Iterator[None]:
    """Look for lost workers in a thread, while this one waits for those that an engine runs."""
    lost, over = LostWorkers(folder, after_seconds=SECONDS_UNTIL_LOST), threading.Event()

    def look() -> None:
        while not over.wait(SECONDS_BETWEEN_LOOKS):
            _give_up(oracle, lost, besides=besides)

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _end(processes: Iterable[subprocess.Popen[bytes]]) -> None:
    """Interrupt those that still run, and wait for them: they leave a resumable state."""
    running = [process for process in processes if process.poll() is None]
    for process in running:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGINT)
    for process in running:
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
