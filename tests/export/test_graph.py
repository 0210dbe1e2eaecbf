"""The exported computation: eagerly, as a SavedModel, against NumPy."""

import numpy as np
import pytest
import tensorflow as tf
from scipy.special import softmax

from cxr_keras.export.graph import answer_files, answer_pictures, answer_pixels
from cxr_keras.export.serving import MAPS, Serving, network_of
from cxr_keras.pixels.decode import DecodeSettings, decode_and_resize

from .conftest import CLASSES, SERVING, tiny_model


def logits_of(models, pixels):
    return [network_of(model, maps=False).predict_on_batch(pixels)["logits"][:, 0].astype(np.float64) for model in models]


def cut(images):
    return images[:, 2:10, 3:11]


def test_several_models_answer_with_the_mean_of_their_probabilities(models):
    pixels = np.random.default_rng(0).uniform(0, 255, (5, 8, 8, 1)).astype(np.float32)
    answer = answer_pixels([network_of(model, maps=True) for model in models], SERVING, dtype=tf.float64)(tf.constant(pixels))
    logits = logits_of(models, pixels)
    probabilities = np.mean([softmax(each, axis=1) for each in logits], axis=0)
    calibrated = np.mean([softmax(each / 2.0, axis=1) for each in logits], axis=0)
    np.testing.assert_allclose(answer["probabilities"], probabilities, atol=1e-7)
    np.testing.assert_allclose(answer["calibrated_probabilities"], calibrated, atol=1e-7)
    np.testing.assert_allclose(softmax(answer["logits"].numpy(), axis=1), probabilities, atol=1e-7)
    np.testing.assert_array_equal(answer["decision_index"], (probabilities[:, 1] >= 0.3).astype(int))
    assert answer[MAPS].shape == (5, 6, 6, 2)


def test_the_decision_begins_at_the_threshold_itself():
    model = tiny_model(0)
    model.get_layer("logits").set_weights([np.zeros((4, 2)), np.zeros(2)])
    for threshold, decided in ((0.5, 1), (0.5000001, 0)):
        serving = Serving(CLASSES, DecodeSettings(8, 8), (8, 8), None, threshold)
        answer = answer_pixels([network_of(model, maps=False)], serving, dtype=tf.float64)(tf.zeros((2, 8, 8, 1)))
        np.testing.assert_array_equal(answer["decision_index"], [decided, decided])


def test_three_classes_decide_for_the_most_probable_and_keep_the_logits_of_one_model():
    model = tiny_model(3, num_classes=3)
    serving = Serving(("a", "b", "c"), DecodeSettings(8, 8), (8, 8), None, None)
    pixels = np.random.default_rng(0).uniform(0, 255, (6, 8, 8, 1)).astype(np.float32)
    answer = answer_pixels([network_of(model, maps=False)], serving)(tf.constant(pixels))
    assert "calibrated_probabilities" not in answer
    np.testing.assert_allclose(answer["logits"], logits_of([model], pixels)[0], atol=1e-5)
    np.testing.assert_array_equal(answer["decision_index"], answer["probabilities"].numpy().argmax(axis=1))


def test_files_are_decoded_resized_and_cut_as_in_training(models, pictures):
    contents = [path.read_bytes() for path in pictures]
    decoded = np.stack([decode_and_resize(each, SERVING.decode).numpy() for each in contents])
    networks = [network_of(model, maps=False) for model in models]
    from_files = tf.function(answer_files(networks, SERVING), autograph=False)(tf.constant(contents))
    expected = np.mean([softmax(each, axis=1) for each in logits_of(models, cut(decoded))], axis=0)
    np.testing.assert_allclose(from_files["probabilities"], expected, atol=1e-6)
    from_pictures = answer_pictures(networks, SERVING)(tf.constant(decoded))
    np.testing.assert_allclose(from_pictures["probabilities"], expected, atol=1e-6)


def test_words_and_constants_have_a_row_for_each_image(models, pictures):
    contents = tf.constant([path.read_bytes() for path in pictures])
    answer = answer_files([network_of(model, maps=False) for model in models], SERVING)(contents)
    assert {value.shape[0] for value in answer.values()} == {4}
    named = [CLASSES[index].encode() for index in answer["decision_index"].numpy()]
    assert answer["decision"].numpy().tolist() == named
    assert answer["classes"].numpy()[0].tolist() == [b"normal", b"pneumonia"]
    assert set(answer["threshold"].numpy()) == {0.3} and set(answer["temperature"].numpy()) == {2.0}


def test_a_saved_model_takes_any_batch_and_any_size(exported, pictures):
    loaded = tf.saved_model.load(str(exported / "saved_model"))
    assert {"serve_bytes", "serve_pixels", "serving_default"} <= set(loaded.signatures)
    one = loaded.signatures["serving_default"](tf.constant([pictures[0].read_bytes()]))
    all_ = loaded.signatures["serve_bytes"](tf.constant([path.read_bytes() for path in pictures]))
    np.testing.assert_allclose(one["probabilities"][0], all_["probabilities"][0], atol=1e-6)
    for shape in ((1, 30, 50, 1), (3, 12, 14, 1), (7, 9, 9, 1)):
        assert loaded.signatures["serve_pixels"](tf.zeros(shape))["probabilities"].shape == (shape[0], 2)
    with pytest.raises(tf.errors.InvalidArgumentError):
        loaded.signatures["serve_bytes"](tf.constant([b"no picture"]))
