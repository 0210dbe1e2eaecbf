"""Jobs as tasks of Ray, on this machine or on a cluster: a worker that dies takes one job with it, and that job runs again elsewhere.

A task starts the same interpreter that the pool of processes starts (`python -m cxr_keras.runs.jobs`), so nothing of one job stays behind
for the next, and a job that is run again continues from its last resumable state. Ray's own workers import neither Keras nor TensorFlow.

What a job prints goes to `job.log` in its folder, which this process reads on and prints: Ray's way of passing lines on leaves out
repeated ones and may lose the last.
"""

from __future__ import annotations

import importlib.util
import os
import re
import secrets
import shutil
import socket
import sys
import tempfile
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

from cxr_keras.runs.directory import DONE_FILE
from cxr_keras.runs.failures import INTERRUPTED, PROGRAM_ERROR
from cxr_keras.runs.jobs import JOB_FILE, Job, thread_variables, usable_cores
from cxr_keras.runs.ray_node import LOG_FILE, JobKilled, run_on_this_node, version_here, wait_for

RETRIES = 3
"""How often a job is run again after its worker, its node or its process was killed."""

PASSED_ON = ("CXR_", "KERAS_", "TF_", "XLA_", "OMP_", "OPENBLAS_", "MKL_")
"""Beginnings of the variables that a job gets from this process on whatever node it runs."""

SECONDS_TO_REACH_THE_CLUSTER = 10.0

LONGEST_TEMPORARY_FOLDER = 40
"""Characters; Ray's sockets lie below it, and the system allows their paths 107."""

_TOKEN_VARIABLES = ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")


class RayTasks:
    """Runs jobs as Ray tasks; an engine, see `jobs.Engine`. To be used in a `with` statement, which shuts down what it has started."""

    def __init__(self, address: str | None = None) -> None:
        """Remember the cluster.

        Args:
            address: of a running cluster, "HOST:PORT" or "auto"; `None` starts Ray on this machine when the first job starts.

        Raises:
            ValueError: Ray is not installed, or the address is of another form.
        """
        if importlib.util.find_spec("ray") is None:
            raise ValueError("--engine ray needs Ray: pip install 'cxr-keras[ray]'")
        if address is not None and address != "auto" and not re.fullmatch(r"[^:/\s]+:\d+", address):
            raise ValueError(f"--address: got {address!r}, expected HOST:PORT of the head node (usually port 6379) or auto.")
        self.address = address
        self._folder: Path | None = None
        self._started = False
        self._task: Any = None
        self._running: dict[Any, _Output] = {}

    def __enter__(self) -> RayTasks:
        """Connect to the cluster, if one is named, so that a wrong address is found before anything slow."""
        if self.address is not None:
            self._connect()
        return self

    def __exit__(self, *error: object) -> None:
        """Disconnect, or end the Ray that was started here and remove its files; jobs that still run end with it."""
        if self._started:
            import ray

            ray.shutdown()
            self._started, self._task = False, None
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    def start(self, job: Job, *, place: int, at_a_time: int, places: int) -> Any:
        """Submit a job.

        It asks for its share of the cores, the same for every job of a run, and for one GPU where the cluster has any.

        Raises:
            ValueError: the cluster has no core to run a job on.
        """
        import ray

        if self._task is None:
            self._connect()
        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        gpus = any(node.get("GPU", 0) for node in nodes)
        cores = cores_of_a_job([(int(node.get("CPU", 0)), int(node.get("GPU", 0))) for node in nodes], jobs=places)
        folder = job.folder.resolve()
        passed = {name: value for name, value in os.environ.items() if name.startswith(PASSED_ON)}
        task = self._task.options(
            name=f"{folder.parent.name}/{folder.name}",
            num_cpus=cores,
            num_gpus=1 if gpus else 0,
            max_retries=RETRIES,
            retry_exceptions=[JobKilled],
            scheduling_strategy="SPREAD",
        )
        output = _Output(folder / LOG_FILE)
        reference = task.remote(
            str(folder),
            (folder / JOB_FILE).read_text(),
            thread_variables(cores) | passed | job.environment,
            str(Path.cwd()),
            version_here(),
        )
        self._running[reference] = output
        return reference

    def first_to_end(self, running: Collection[Any]) -> tuple[Any, int]:
        """Wait for one, and print meanwhile what all of them print."""
        import ray

        while True:
            ended, _ = ray.wait(list(running), timeout=0.3)
            for reference in running:
                self._running[reference].show()
            if ended:
                output = self._running.pop(ended[0])
                code = self._result(ended[0], output.path.parent)
                output.show()
                return ended[0], code

    def interrupt(self, running: Collection[Any]) -> None:
        """Cancel the tasks; each passes that on to its process as Ctrl-C and waits for it."""
        import ray

        for reference in running:
            if reference in self._running:
                ray.cancel(reference)

    def _result(self, reference: Any, folder: Path) -> int:
        """The exit code of a task that has ended."""
        import ray

        try:
            code, message = ray.get(reference)
        except JobKilled as killed:
            return -killed.number
        except ray.exceptions.TaskCancelledError:
            return INTERRUPTED
        except ray.exceptions.RayError as error:
            reason = str(error).strip().splitlines() or [""]
            print(f"Ray lost the job in {folder}: {type(error).__name__}: {reason[-1]}", file=sys.stderr, flush=True)
            return PROGRAM_ERROR
        if message:
            print(f"cxr: {message}", file=sys.stderr, flush=True)
        if code == 0:
            wait_for(folder / DONE_FILE)
        return code

    def _connect(self) -> None:
        """Start Ray on this machine, or connect to the cluster; a notebook that has done so before keeps its own.

        Raises:
            ValueError: there is no cluster at the address.
        """
        if "ray" in sys.modules and sys.modules["ray"].is_initialized():
            self._task = sys.modules["ray"].remote(run_on_this_node)
            return
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        own = self.address is None
        if own and not any(name in os.environ for name in _TOKEN_VARIABLES):
            # Ray's ports are open to the network (2.60 takes no loopback address on Linux), so a token it must be; by itself Ray would
            # keep one for good in the home directory. It stays that of this process, since Ray reads it once.
            os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
        import ray

        settings: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
        if own:
            short = len(tempfile.gettempdir()) <= LONGEST_TEMPORARY_FOLDER
            self._folder = Path(tempfile.mkdtemp(prefix="cxr-ray-", dir=None if short else "/tmp"))
            settings |= {
                "address": "local",
                "num_cpus": usable_cores(),
                "include_dashboard": False,
                "object_store_memory": 100 * 2**20,  # nothing but exit codes goes through it
                "_temp_dir": str(self._folder),
            }
        else:
            settings["address"] = self.address
            _check_reachable(self.address)
        try:
            ray.init(**settings)
        except (ConnectionError, TimeoutError, ValueError, RuntimeError) as error:
            if own:
                self._folder = None  # the error names log files in it
                raise
            raise ValueError(
                f"--address {self.address}: no Ray cluster answers there ({error}). Does `ray status` on its head node show one?"
            ) from error
        self._started = True
        self._task = ray.remote(run_on_this_node)


def cores_of_a_job(nodes: Iterable[tuple[int, int]], *, jobs: int) -> int:
    """Share the cores of a cluster out.

    Args:
        nodes: cores and GPUs of each node.
        jobs: how many shall run at a time.

    Returns:
        The largest number of cores with which so many jobs fit at the same time, each on one node and with a GPU of its own where there are
        any; where not so many fit at all, the largest with which as many fit as can.

    Raises:
        ValueError: no node has a core, or none with a GPU has.
    """
    nodes = list(nodes)
    with_gpus = any(gpus for _, gpus in nodes)

    def places(cores: int) -> int:
        return sum(min(have // cores, gpus) if with_gpus else have // cores for have, gpus in nodes)

    wanted = min(jobs, places(1))
    if wanted == 0:
        listed = ", ".join(f"{cores} and {gpus}" for cores, gpus in nodes) or "none"
        raise ValueError(
            f"The Ray cluster has no place for a job: cores and GPUs of its nodes are {listed}. Start nodes with num-cpus above 0."
        )
    return max(cores for cores in range(1, max(have for have, _ in nodes) + 1) if places(cores) >= wanted)


def _check_reachable(address: str | None) -> None:
    """Raise ValueError where nothing listens at HOST:PORT; Ray itself would try for minutes."""
    if address is None or address == "auto":
        return
    host, port = address.split(":")
    try:
        socket.create_connection((host, int(port)), timeout=SECONDS_TO_REACH_THE_CLUSTER).close()
    except OSError as error:
        raise ValueError(f"--address {address}: nothing answers there ({error}). Does `ray status` on that node show a cluster?") from error


class _Output:
    """Prints what is appended to a file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.shown = path.stat().st_size if path.exists() else 0

    def show(self) -> None:
        """Print what is new."""
        if self.path.exists():
            with open(self.path, "rb") as log:
                log.seek(self.shown)
                new = log.read()
            self.shown += len(new)
            sys.stderr.write(new.decode("utf-8", errors="replace"))
            sys.stderr.flush()
