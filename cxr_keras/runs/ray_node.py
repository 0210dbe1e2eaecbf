"""What happens on a node of Ray: a job's interpreter is started there, watched and, if it must be, interrupted."""

from __future__ import annotations

import importlib.metadata
import os
import signal
import subprocess
import time
from pathlib import Path

from cxr_keras.runs.failures import INTERRUPTED, USER_ERROR
from cxr_keras.runs.jobs import JOB_FILE, job_command

LOG_FILE = "job.log"

SECONDS_FOR_A_FILE_TO_APPEAR = 60.0
"""How long a shared file system may take to show a file of another node (NFS looks into a folder again after 30 s)."""


class JobKilled(Exception):
    """A signal ended the process of a job; the task is tried again."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def version_here() -> str:
    """The version of this package."""
    return importlib.metadata.version("cxr-keras")


def wait_for(path: Path) -> bool:
    """Whether a file that another node has written appears; listing its folder makes a network file system look again."""
    last = time.monotonic() + SECONDS_FOR_A_FILE_TO_APPEAR
    while path.name not in (os.listdir(path.parent) if path.parent.is_dir() else []):
        if time.monotonic() > last:
            return False
        time.sleep(0.5)
    return True


def run_on_this_node(folder: str, job: str, environment: dict[str, str], working_folder: str, version: str) -> tuple[int, str]:
    """Run a job on the node where Ray calls this.

    Args:
        folder: the job's folder, absolute.
        job: what stands in its `job.json`, to know that this node sees the same folder.
        environment: variables put over those of the Ray worker.
        working_folder: where the command was started; paths in settings may be relative to it.
        version: of this package where the command was started.

    Returns:
        The job's exit code, and a message where this function has refused to start it.

    Raises:
        JobKilled: a signal ended the job's process.
    """
    if refused := refusal_here(Path(folder), job, Path(working_folder), version):
        return USER_ERROR, refused
    with open(Path(folder) / LOG_FILE, "ab") as log:
        process = subprocess.Popen(
            job_command(Path(folder)),
            cwd=working_folder,
            env=os.environ | environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        code = None
        asked = False
        while code is None:
            try:
                code = process.wait(timeout=0.2)
            except subprocess.TimeoutExpired:
                continue
            except KeyboardInterrupt:  # the task was cancelled
                asked = True
                process.send_signal(signal.SIGINT)
    if asked:
        return INTERRUPTED, ""
    if code < 0:
        raise JobKilled(-code)
    return code, ""


def refusal_here(folder: Path, job: str, working_folder: Path, version: str) -> str:
    """Why a job cannot run on this node, in words; empty if it can."""
    where = f"The Ray node {os.uname().nodename}"
    remedy = "All nodes must have the run directory, the images and the folder of the command at the same path of a shared file system."
    if not wait_for(folder / JOB_FILE) or (folder / JOB_FILE).read_text() != job:
        return f"{where} does not see {folder / JOB_FILE} as this machine does. {remedy}"
    if not working_folder.is_dir():
        return f"{where} has no folder {working_folder}, where the command was started. {remedy}"
    if version != version_here():
        return f"{where} has cxr-keras {version_here()}, this machine {version}. Install the same version on all nodes."
    return ""
