"""KerasTuner's chief and workers: one process holds the oracle, others ask it over gRPC.

The service is KerasTuner's own. What is added is that it ends, also when a worker does not: the chief follows the signs of life that
workers leave in the run directory, which all of them share, and gives the trial of a lost one to the next that asks. The service has no
authentication, so it belongs on the loopback interface or a private network.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from concurrent import futures
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
from keras_tuner.src import protos  # KerasTuner exports no public name for its service
from keras_tuner.src.distribute.oracle_chief import OracleServicer

from cxr_keras.runs.files import write_json

SECONDS_BETWEEN_SIGNS = 2.0
LOOPBACK = "127.0.0.1"


def worker_environment(name: str, address: str) -> dict[str, str]:
    """Variables by which KerasTuner knows a worker and where its chief is.

    Args:
        name: of the worker; its trial is given to it again when it comes back.
        address: host:port of the chief.

    Raises:
        ValueError: `address` is no host:port.
    """
    host, port = parse_address(address)
    return {"KERASTUNER_TUNER_ID": name, "KERASTUNER_ORACLE_IP": host, "KERASTUNER_ORACLE_PORT": str(port)}


def parse_address(address: str) -> tuple[str, int]:
    """Split host:port; raises ValueError for anything else."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit() or int(port) > 65535:
        raise ValueError(f"{address!r} is no address; expected HOST:PORT, for example 10.0.0.5:7777.")
    return host, int(port)


@contextmanager
def serve(oracle: Any, address: str) -> Iterator[str]:
    """Answer workers while the block runs.

    Args:
        oracle: of `make_oracle`, its state opened.
        address: host:port to listen on; port 0 takes a free one.

    Yields:
        host:port where it listens.

    Raises:
        ValueError: the address cannot be listened on.
    """
    host, port = parse_address(address)
    oracle.serves = True
    # Without this option a second chief could listen on the same port, and each would get some of the requests.
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=1), options=[("grpc.so_reuseport", 0)])
    protos.get_service_grpc().add_OracleServicer_to_server(OracleServicer(oracle), server)
    try:
        bound = server.add_insecure_port(f"{host}:{port}")
    except RuntimeError:
        bound = 0
    if not bound:
        raise ValueError(
            f"Cannot listen on {address}: the port is taken, or the host is not this machine. Give another with --listen HOST:PORT."
        )
    server.start()
    try:
        yield f"{host}:{bound}"
    finally:
        server.stop(grace=None).wait()


@contextmanager
def signs_of_life(folder: Path, name: str) -> Iterator[None]:
    """Leave signs of life of a worker in `folder` while the block runs."""
    ended = threading.Event()

    def leave_signs() -> None:
        count = 0
        while True:
            count += 1
            write_json(folder / f"{name}.json", {"process": os.getpid(), "signs": count})
            if ended.wait(SECONDS_BETWEEN_SIGNS):
                return

    thread = threading.Thread(target=leave_signs, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        (folder / f"{name}.json").unlink(missing_ok=True)


class LostWorkers:
    """Finds the workers whose signs of life have stopped, by this machine's clock alone: those of others may differ."""

    def __init__(self, folder: Path, *, after_seconds: float) -> None:
        """Follow the signs in `folder`; a worker is lost when nothing new came for `after_seconds`."""
        self.folder = folder
        self.after_seconds = after_seconds
        self.last_new: dict[str, tuple[bytes, float]] = {}

    def found(self) -> list[str]:
        """Names of the workers that are gone now, those that took their sign with them at once; each is told once, and its sign removed."""
        # Those with a dot in front are being written.
        signs = {path.stem: path for path in sorted(self.folder.glob("*.json")) if not path.name.startswith(".")}
        lost = [name for name in self.last_new if name not in signs]
        for name in lost:
            del self.last_new[name]
        for path in signs.values():
            try:
                sign = path.read_bytes()
            except FileNotFoundError:
                continue  # it has just ended
            before = self.last_new.get(path.stem)
            if before is None or before[0] != sign:
                self.last_new[path.stem] = (sign, time.monotonic())
            elif time.monotonic() - before[1] > self.after_seconds:
                path.unlink(missing_ok=True)
                del self.last_new[path.stem]
                lost.append(path.stem)
        return lost
