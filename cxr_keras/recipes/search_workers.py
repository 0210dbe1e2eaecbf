"""The chief of a search and the workers it starts: what dies is started again, and its trial goes on."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from cxr_keras.runs.directory import DONE_FILE
from cxr_keras.runs.jobs import Job, JobFailed, Processes, check_ended, start_job
from cxr_keras.tuning.service import LOOPBACK, LostWorkers, parse_address, serve, worker_environment

DEATHS_ALLOWED = 5
"""Of one worker's place; a trial that kills its worker each time must not do so for ever."""

SECONDS_UNTIL_LOST = 60.0
"""Without a sign of life of a worker that joined from elsewhere."""

SECONDS_BETWEEN_LOOKS = 0.2


def run_chief(oracle: Any, folder: Path, *, call: str, arguments: dict[str, Any], workers: int, listen: str | None, join: str) -> None:
    """Serve the oracle until the search is over.

    Args:
        oracle: of `make_oracle`, its state opened.
        folder: of the workers.
        call: what a worker runs, "package.module:function".
        arguments: of that function.
        workers: how many to start here; 0 waits for others to join.
        listen: host:port for workers of other machines; by default a free port of the loopback interface.
        join: the command by which others join, with HOST:PORT in it.

    Raises:
        JobFailed: a worker refused its input, or died again and again.
        KeyboardInterrupt: the search was interrupted.
        OSError: the state of the search could not be written.
    """
    for sign in folder.glob("*.json"):
        sign.unlink()
    lost = LostWorkers(folder, after_seconds=SECONDS_UNTIL_LOST)
    local: dict[str, tuple[subprocess.Popen[bytes], Job]] = {}
    deaths: dict[str, int] = {}
    with serve(oracle, listen or f"{LOOPBACK}:0") as address:
        host, port = parse_address(address)
        if listen is not None:
            print(f"Others join with: {join.replace('HOST:PORT', f'{host}:{port}')} --name NAME", file=sys.stderr, flush=True)
        reached = f"{LOOPBACK if host == '0.0.0.0' else host}:{port}"

        def start(place: int) -> None:
            name = f"worker-{place}"
            job = Job(call, folder / name, arguments, worker_environment(name, reached), before="cxr_keras.startup:start_backend")
            (job.folder / DONE_FILE).unlink(missing_ok=True)
            local[name] = (start_job(job, Processes(), place=place, at_a_time=max(workers, 1)), job)

        try:
            for place in range(workers):
                start(place)
            while True:
                time.sleep(SECONDS_BETWEEN_LOOKS)
                if oracle.failure is not None:
                    raise oracle.failure
                for name, (process, job) in list(local.items()):
                    if process.poll() is None:
                        continue
                    del local[name]
                    try:
                        check_ended(job, process.returncode)
                    except JobFailed as error:
                        deaths[name] = deaths.get(name, 0) + 1
                        if error.exit_code != 1 or deaths[name] > DEATHS_ALLOWED:
                            raise
                        trial = oracle.give_up_worker(name)
                        what = f"its trial {trial} goes on" if trial else "it had no trial"
                        print(f"{name} ended with code {process.returncode}; it is started again, {what}", file=sys.stderr, flush=True)
                        start(int(name.removeprefix("worker-")))
                for name in lost.found():
                    if name not in local and (trial := oracle.give_up_worker(name)):
                        print(f"{name} gives no sign of life; its trial {trial} is given to another", file=sys.stderr, flush=True)
                if oracle.exhausted and not local:
                    if oracle.is_over():
                        return
                    if oracle.waits_for_worker():  # all others have gone, and a lost one left its trial behind
                        start(0)
        finally:
            _end(process for process, _ in local.values())


def _end(processes: Any) -> None:
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
