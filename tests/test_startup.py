import os
import subprocess
import sys

import pytest

from cxr_keras.startup import native_errors_to_file, spare_gpu_memory


def test_native_lines_are_kept_back_and_shown_when_the_start_fails(capfd):
    with native_errors_to_file():
        os.write(2, b"no driver\n")
    assert capfd.readouterr().err == ""
    with pytest.raises(RuntimeError), native_errors_to_file():
        os.write(2, b"the reason\n")
        raise RuntimeError
    assert capfd.readouterr().err == "the reason\n"


def test_the_backend_starts_without_a_line():
    code = "from cxr_keras.startup import start_backend; start_backend(); import keras; keras.ops.ones(2)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout + done.stderr == ""


def test_gpus_give_memory_as_it_is_needed(monkeypatch):
    import tensorflow as tf

    grown = []
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: [f"{kind}:0", f"{kind}:1"])
    monkeypatch.setattr(tf.config.experimental, "set_memory_growth", lambda gpu, grows: grown.append((gpu, grows)))
    spare_gpu_memory()
    assert grown == [("GPU:0", True), ("GPU:1", True)]

    def used(gpu, grows):
        raise RuntimeError("Physical devices cannot be modified after being initialized")

    monkeypatch.setattr(tf.config.experimental, "set_memory_growth", used)
    spare_gpu_memory()  # of a notebook that has computed before


def test_a_wrong_number_of_virtual_devices_is_told():
    code = "from cxr_keras.startup import start_backend; start_backend()"
    environment = os.environ | {"CXR_VIRTUAL_DEVICES": "two"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert "CXR_VIRTUAL_DEVICES is 'two', expected a whole number from 1 up" in done.stderr
