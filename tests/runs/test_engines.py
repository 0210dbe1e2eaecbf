"""What is refused before an engine starts anything; Ray itself is not needed here."""

import subprocess
import sys

import pytest

from cxr_keras.runs import ray_jobs
from cxr_keras.runs.jobs import Processes, open_engine


def test_an_engine_is_chosen_by_name():
    with open_engine("processes") as engine:
        assert isinstance(engine, Processes)


@pytest.mark.parametrize(
    "name, address, message",
    [("slurm", None, "expected processes or ray"), ("processes", "10.0.0.1:6379", "--engine ray")],
)
def test_mistakes_are_named(name, address, message):
    with pytest.raises(ValueError, match=message), open_engine(name, address=address):
        pass


@pytest.mark.parametrize("address, message", [("10.0.0.1", "expected HOST:PORT"), ("127.0.0.1:9", "nothing answers there")])
def test_a_wrong_address_is_told_at_once(address, message):
    pytest.importorskip("ray")
    with pytest.raises(ValueError, match=message), open_engine("ray", address=address):
        pass


def test_without_ray_the_error_says_how_to_install_it(monkeypatch):
    monkeypatch.setattr(ray_jobs.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"pip install 'cxr-keras\[ray\]'"), open_engine("ray"):
        pass


def test_neither_ray_nor_tensorflow_is_imported_before_they_are_needed():
    code = "import sys, cxr_keras.runs.ray_jobs; print([name for name in ('ray', 'tensorflow', 'keras') if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
