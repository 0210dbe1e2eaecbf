"""Exports asked in a fresh process that can import neither this package nor Keras."""

import importlib.util

import numpy as np
import pytest
from scipy.special import softmax

from cxr_keras.export import parity
from cxr_keras.export.formats import FORMATS, check_installed
from cxr_keras.export.parity import Expected, check_parity
from cxr_keras.export.serving import network_of
from cxr_keras.pixels.decode import decode_and_resize

from .conftest import SERVING


def expected_of(models, paths):
    pixels = np.stack([decode_and_resize(path.read_bytes(), SERVING.decode).numpy() for path in paths])[:, 2:10, 3:11]
    logits = [network_of(model, maps=False).predict_on_batch(pixels)["logits"][:, 0].astype(np.float64) for model in models]
    means = [np.mean([softmax(each / temperature, axis=1) for each in logits], axis=0) for temperature in (1.0, 2.0)]
    return Expected(*means)


def test_a_saved_model_answers_alike_from_files_and_from_pixels(exported, models, pictures):
    found = check_parity(exported, FORMATS["saved_model"], SERVING, images=pictures, expected=expected_of(models, pictures))
    assert found["images"] == 4 and found["tolerance"] == 1e-5
    assert set(found["largest_difference"]) == {"bytes", "pixels"} and max(found["largest_difference"].values()) < 1e-6


@pytest.mark.parametrize("name", ["onnx", "litert", "openvino", "keras"])
def test_the_other_formats_answer_alike_from_pixels(name, models, pictures, tmp_path):
    for package in FORMATS[name].packages:
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed")
    FORMATS[name].write([network_of(model, maps=name != "keras") for model in models], SERVING, tmp_path)
    assert (tmp_path / FORMATS[name].file).is_file()
    found = check_parity(tmp_path, FORMATS[name], SERVING, images=pictures, expected=expected_of(models, pictures))
    assert set(found["largest_difference"]) == {"pixels"} and found["largest_difference"]["pixels"] < 1e-5


def test_an_export_that_answers_otherwise_fails_and_says_by_how_much(exported, models, pictures, monkeypatch):
    right = expected_of(models, pictures)
    answers = {
        f"{way}/{name}": values
        for way in ("bytes", "pixels")
        for name, values in (
            ("probabilities", np.add(right.probabilities, [-0.02, 0.02])),
            ("calibrated_probabilities", right.calibrated),
            ("decision_index", (right.probabilities[:, 1] >= 0.3).astype(int)),
        )
    }
    monkeypatch.setattr(parity, "_ask", lambda *_, **__: answers)
    with pytest.raises(ValueError, match=r"up to 0\.02 away from the trained model's on 4 images.*at most 1e-05"):
        check_parity(exported, FORMATS["saved_model"], SERVING, images=pictures, expected=right)
    for way in ("bytes", "pixels"):
        answers[f"{way}/probabilities"] = right.probabilities
        answers[f"{way}/decision_index"] = 1 - answers[f"{way}/decision_index"]
    with pytest.raises(ValueError, match="decides 4 of 4 images otherwise"):
        check_parity(exported, FORMATS["saved_model"], SERVING, images=pictures, expected=right)
    answers["pixels/calibrated_probabilities"] = right.calibrated * np.nan
    answers |= {f"{way}/decision_index": (right.probabilities[:, 1] >= 0.3).astype(int) for way in ("bytes", "pixels")}
    with pytest.raises(ValueError, match="up to nan away"):
        check_parity(exported, FORMATS["saved_model"], SERVING, images=pictures, expected=right)
    del answers["bytes/calibrated_probabilities"]
    with pytest.raises(ValueError, match="lacks or misshapes bytes/calibrated_probabilities"):
        check_parity(exported, FORMATS["saved_model"], SERVING, images=pictures, expected=right)


def test_a_file_that_cannot_be_opened_fails_with_the_last_lines(models, pictures, tmp_path):
    (tmp_path / "saved_model").mkdir()
    with pytest.raises(ValueError, match=r"(?s)cannot be used in a fresh process, so nothing was exported:\n.*saved_model"):
        check_parity(tmp_path, FORMATS["saved_model"], SERVING, images=pictures, expected=expected_of(models, pictures))


def test_a_file_that_does_not_answer_in_time_fails(exported, models, pictures, monkeypatch):
    monkeypatch.setattr(parity, "SECONDS", 0.01)
    with pytest.raises(ValueError, match="did not answer within"):
        check_parity(exported, FORMATS["saved_model"], SERVING, images=pictures, expected=expected_of(models, pictures))


def test_a_format_whose_packages_are_absent_names_them_and_the_extra(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"--format onnx needs tf2onnx, onnxruntime.*cxr-keras\[onnx\]"):
        check_installed(FORMATS["onnx"])
    check_installed(FORMATS["saved_model"])
