"""manifest.json, the card, and an export that is opened again."""

import json

import numpy as np
import pytest
import yaml

from cxr_keras.export.card import render_card
from cxr_keras.export.manifest import MANIFEST_FILE, check_files, describe_files
from cxr_keras.export.predictor import open_export
from cxr_keras.export.serving import MAPS, Serving
from cxr_keras.pixels.decode import DecodeSettings
from cxr_keras.runs.files import file_sha256, read_json, write_json

from .conftest import CLASSES, SERVING, describe

ENTRY = {"value": 0.9, "low": 0.8, "high": 0.95, "dropped_draws": 0}
SCORES = {
    "n_images": 10,
    "n_groups": 8,
    "positive_class": "pneumonia",
    "interval": {"method": "patient-level percentile bootstrap", "level": 0.95, "draws": 100, "seed": 0},
    "scores": {"accuracy": ENTRY, "auroc": {"value": None, "low": None, "high": None, "dropped_draws": 100}, "macro_auroc": ENTRY},
    "folds": {"count": 2},
    "operating_points": [
        {"name": "sensitive", "criterion": "highest specificity", "chosen_on": "the other folds", "scores": {"sensitivity": ENTRY}}
    ],
}


def test_outputs_of_a_description_are_those_that_the_graph_has(exported):
    import tensorflow as tf

    loaded = tf.saved_model.load(str(exported / "saved_model"))
    assert set(read_json(exported / MANIFEST_FILE)["outputs"]) == set(loaded.signatures["serve_bytes"].structured_outputs)
    three = Serving(("a", "b", "c"), DecodeSettings(8, 8), (8, 8), None, None)
    plain = describe("onnx", three, no_temperature="why not", no_maps="the head is another")
    assert set(plain["outputs"]) == {"probabilities", "logits", "decision_index"}
    assert plain[MAPS] is False and plain["no_class_activation_maps"] == "the head is another"
    assert set(describe("keras", SERVING)["outputs"]) == {"probabilities", "calibrated_probabilities"}


def test_every_file_has_its_digest_and_a_changed_one_is_found(tmp_path):
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "weights").write_bytes(b"abc")
    (tmp_path / "graph").write_bytes(b"d")
    (tmp_path / "README.md").write_text("card")
    files = describe_files(tmp_path)
    assert files["below/weights"] == {"sha256": file_sha256(tmp_path / "below" / "weights"), "bytes": 3}
    (tmp_path / "README.md").write_text("a card that somebody filled in")
    check_files(tmp_path, {"files": files})
    (tmp_path / "below" / "weights").write_bytes(b"abd")
    (tmp_path / "graph").unlink()
    with pytest.raises(ValueError, match=r"below/weights is not the file.*graph is missing"):
        check_files(tmp_path, {"files": files})


def test_the_card_holds_scores_points_and_limits_and_its_front_matter_is_yaml():
    manifest = describe("saved_model", SERVING) | {"parity": {"images": 40, "tolerance": 1e-5, "largest_difference": {"bytes": 2e-7}}}
    card = render_card(manifest | {"phantoms": True}, SCORES, paper="laban/mini_vgg")
    _, front, body = card.split("---\n", 2)
    front = yaml.safe_load(front)
    assert front["pipeline_tag"] == "image-classification" and "pneumonia" in front["tags"]
    metrics = front["model-index"][0]["results"][0]["metrics"]
    assert metrics == [{"type": "accuracy", "name": "Accuracy", "value": 0.9}]  # an undefined score is no number
    for words in (
        "PHANTOM",
        "| Accuracy | 0.900 | 0.800 to 0.950 |",
        "| AUROC | undefined | none |",
        "| sensitivity | 0.900 |",
        "from a probability (not calibrated) of 0.3 on",
        "temperature 2 before the softmax, each model's before the mean",
        "was not scored on these images",
        "40 images of the run within\n2.0e-07 (bytes)",
        "Not a medical device",
        "`laban/mini_vgg`",
    ):
        assert words in body, words


@pytest.mark.parametrize("name", ["onnx", "litert", "openvino", "keras"])
def test_cards_of_other_formats_say_how_pixels_are_made(name):
    three = Serving(("a", "b", "c"), DecodeSettings(12, 12, resize="crop"), (8, 8), None, None)
    described = describe(name, three, no_temperature="too few rows", no_maps="flat head.", operating_point=None)
    card = render_card(
        described | {"parity": {"images": 4, "tolerance": 1e-4, "largest_difference": {"pixels": 1e-6}}, "phantoms": False},
        SCORES | {"operating_points": None, "positive_class": None, "folds": {"count": 1}},
        paper=None,
    )
    assert '"crop", to 12×12 px, then the centre' in card and "PHANTOM" not in card
    assert "no calibrated probabilities: too few rows" in card and "no class activation maps: flat head." in card
    assert "The decision is the most probable class" in card


def test_an_opened_export_answers_and_frames(exported, pictures):
    opened = open_export(exported)
    pixels = np.random.default_rng(0).integers(0, 256, (2, 12, 14, 1)).astype(np.float32)
    answer = opened.answer(pixels)
    assert opened.classes == CLASSES and answer["probabilities"].shape == (2, 2) and "decision" not in answer
    np.testing.assert_array_equal(opened.framed(pixels), pixels[:, 2:10, 3:11])


def test_what_is_no_export_of_this_version_is_refused(exported, tmp_path):
    with pytest.raises(ValueError, match="is no export: it has no manifest.json"):
        open_export(tmp_path)
    (tmp_path / "config.yaml").touch()
    with pytest.raises(ValueError, match=r"is a run\. Export it first, `cxr export"):
        open_export(tmp_path)
    manifest = json.loads((exported / MANIFEST_FILE).read_text())
    for change, message in (
        ({"version": 9}, "has the version 9; expected 1"),
        ({"format": "onnx"}, "export of the format onnx.*takes a SavedModel"),
        ({"decode": manifest["decode"] | {"decoder": 0}}, "version 0 of the decoder"),
        ({}, "saved_model/saved_model.pb is missing"),
    ):
        write_json(tmp_path / MANIFEST_FILE, manifest | change)
        with pytest.raises(ValueError, match=message):
            open_export(tmp_path)
