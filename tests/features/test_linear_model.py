"""Prediction in blocks, and files that are read whole and of the right kind or refused."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cxr_keras.features.linear_model import linear_model, load_linear_model, predict_probabilities, save_linear_model

KEY = "vgg16/features/224"


@pytest.fixture
def model():
    random = np.random.default_rng(0)
    return linear_model(
        random.normal(size=(3, 6)), random.normal(size=3), ("bacterial", "normal", "viral"), inverse_penalty=0.01, scale=2.5
    )


@settings(max_examples=25, deadline=None)
@given(rows=st.integers(1, 12), rows_a_block=st.integers(1, 15), size=st.sampled_from([1.0, 1e4]))
def test_blocks_do_not_change_probabilities(rows, rows_a_block, size):
    random = np.random.default_rng(rows)
    weights = random.normal(size=(3, 6)) * size
    model = linear_model(weights, np.zeros(3), "abc", inverse_penalty=1)
    features = random.normal(size=(rows, 6)).astype(np.float32)
    found = predict_probabilities(model, features, block_bytes=8 * 6 * rows_a_block)
    np.testing.assert_allclose(found, predict_probabilities(model, features), atol=1e-12)
    np.testing.assert_allclose(found.sum(axis=1), 1)


def test_two_classes_follow_the_logistic_function():
    model = linear_model(np.array([[2.0, -1.0]]), np.array([0.5]), ("normal", "pneumonia"), inverse_penalty=1)
    found = predict_probabilities(model, np.array([[1.0, 3.0], [400.0, 0.0]], np.float32))
    np.testing.assert_allclose(found[:, 1], [1 / (1 + np.exp(0.5)), 1])
    assert model.coefficients.shape == (2, 2)


def test_a_file_gives_back_the_model(tmp_path, model):
    save_linear_model(tmp_path / "run" / "model.npz", model, feature_key=KEY)
    loaded = load_linear_model(tmp_path / "run" / "model.npz", feature_key=KEY)
    np.testing.assert_array_equal(loaded.coefficients, model.coefficients)
    np.testing.assert_array_equal(loaded.intercept, model.intercept)
    assert (loaded.classes, loaded.inverse_penalty, loaded.scale) == (model.classes, model.inverse_penalty, model.scale)
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["model.npz"]


def test_other_features_are_refused(tmp_path, model):
    path = tmp_path / "model.npz"
    save_linear_model(path, model, feature_key=KEY)
    with pytest.raises(ValueError, match=r"fitted on features 'vgg16/features/224', these are 'resnet50'"):
        load_linear_model(path, feature_key="resnet50")
    with pytest.raises(ValueError, match="5 per image came, the model was fitted on 6"):
        predict_probabilities(model, np.zeros((2, 5), np.float32))
    features = np.zeros((9, 6), np.float32)
    features[7, 1] = np.nan
    with pytest.raises(ValueError, match="row 7"):
        predict_probabilities(model, features, block_bytes=8 * 6 * 2)


def test_every_cut_and_flipped_byte_is_refused_or_harmless(tmp_path, model):
    path = tmp_path / "model.npz"
    save_linear_model(path, model, feature_key=KEY)
    whole = path.read_bytes()
    for end in range(0, len(whole), 37):
        path.write_bytes(whole[:end])
        with pytest.raises(ValueError, match="no readable linear model"):
            load_linear_model(path, feature_key=KEY)
    for position in range(0, len(whole), 11):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 0xFF]) + whole[position + 1 :])
        try:
            loaded = load_linear_model(path, feature_key=KEY)
        except ValueError as error:
            assert str(path) in str(error)
        else:  # a byte that means nothing, such as a time stamp
            np.testing.assert_array_equal(loaded.coefficients, model.coefficients)


def content(**changes):
    return {
        "file_format": np.array(1),
        "feature_key": np.array(KEY),
        "coefficients": np.zeros((2, 4)),
        "intercept": np.zeros(2),
        "classes": np.array(["a", "b"]),
        "inverse_penalty": np.array(1.0),
        "scale": np.array(1.0),
    } | changes


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"file_format": np.array(2)}, "file format 2, expected 1"),
        ({"extra": np.array(1)}, "holds .*extra"),
        ({"coefficients": np.zeros((3, 4))}, r"coefficients \(3, 4\) and intercept \(2,\) do not fit 2 classes"),
        ({"coefficients": np.full((2, 4), np.nan)}, "not finite"),
        ({"intercept": np.zeros(2, np.float32)}, "intercept holds float32"),
        ({"classes": np.array(["a", "a"])}, "two or more different names"),
        ({"classes": np.array([1, 2])}, "two or more different names"),
        ({"scale": np.ones(2)}, "single values"),
        ({"classes": np.array(["a", "b"], dtype=object)}, "no readable linear model"),
    ],
)
def test_faults_of_a_file_are_named(tmp_path, changes, message):
    path = tmp_path / "model.npz"
    np.savez(path, **content(**changes))
    with pytest.raises(ValueError, match=message):
        load_linear_model(path, feature_key=KEY)


def test_files_of_other_kinds_are_refused(tmp_path):
    with pytest.raises(ValueError, match="No linear model at"):
        load_linear_model(tmp_path / "absent.npz", feature_key=KEY)
    np.save(tmp_path / "array.npy", np.zeros(3))
    (tmp_path / "text.npz").write_text("image_id,label\n")
    for name in ("array.npy", "text.npz"):
        with pytest.raises(ValueError, match="no readable linear model"):
            load_linear_model(tmp_path / name, feature_key=KEY)
    np.savez(tmp_path / "other.npz", features=np.zeros(3))
    with pytest.raises(ValueError, match="file format none, expected 1"):
        load_linear_model(tmp_path / "other.npz", feature_key=KEY)
