"""`cxr export` and `cxr predict` at the command line: refusals are one message and exit code 2."""

import cv2
import numpy as np


def test_export_refuses_what_is_no_run_or_format(cxr, tmp_path):
    code, _, errors = cxr("export", "absent")
    assert code == 2 and "absent is no run directory" in errors and "Traceback" not in errors
    code, _, errors = cxr("export", "absent", "--format", "onx")
    assert code == 2 and "Did you mean onnx?" in errors


def test_predict_refuses_runs_and_missing_files(cxr, tmp_path):
    cv2.imwrite(str(tmp_path / "image.png"), np.zeros((80, 80), np.uint8))
    code, _, errors = cxr("predict", "run", "gone.png")
    assert code == 2 and "there is no gone.png" in errors and "Traceback" not in errors
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.yaml").touch()
    code, _, errors = cxr("predict", "run", "image.png")
    assert code == 2 and "run is a run. Export it first, `cxr export run`" in errors
    assert not (tmp_path / "predictions.csv").exists()
