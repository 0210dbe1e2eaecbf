import os
import subprocess
import sys

import pytest

from cxr_keras.startup import native_errors_to_file


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
