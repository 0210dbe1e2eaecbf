"""Prediction in blocks, and files that are read whole and of the right kind or refused, for every kind of classifier."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.svm import SVC

from cxr_keras.features.linear_model import linear_model
from cxr_keras.features.model_files import feature_key, write_arrays
from cxr_keras.features.neighbours import NeighboursModel
from cxr_keras.features.saved import load_classifier, predict_by_neighbours, predict_probabilities, save_classifier
from cxr_keras.features.support_vectors import SupportVectorModel, class_scores, pair_weights

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
    save_classifier(tmp_path / "run" / "model.npz", model, feature_key=KEY)
    loaded = load_classifier(tmp_path / "run" / "model.npz", feature_key=KEY)
    np.testing.assert_array_equal(loaded.coefficients, model.coefficients)
    np.testing.assert_array_equal(loaded.intercept, model.intercept)
    assert (loaded.classes, loaded.inverse_penalty, loaded.scale) == (model.classes, model.inverse_penalty, model.scale)
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["model.npz"]


def test_other_features_are_refused(tmp_path, model):
    path = tmp_path / "model.npz"
    save_classifier(path, model, feature_key=KEY)
    with pytest.raises(ValueError, match=r"fitted on features 'vgg16/features/224', these are 'resnet50'"):
        load_classifier(path, feature_key="resnet50")
    with pytest.raises(ValueError, match="5 per image came, the model was fitted on 6"):
        predict_probabilities(model, np.zeros((2, 5), np.float32))
    features = np.zeros((9, 6), np.float32)
    features[7, 1] = np.nan
    with pytest.raises(ValueError, match="row 7"):
        predict_probabilities(model, features, block_bytes=8 * 6 * 2)


def test_every_cut_and_flipped_byte_is_refused_or_harmless(tmp_path, model):
    path = tmp_path / "model.npz"
    save_classifier(path, model, feature_key=KEY)
    whole = path.read_bytes()
    for end in range(0, len(whole), 37):
        path.write_bytes(whole[:end])
        with pytest.raises(ValueError, match="no readable classifier"):
            load_classifier(path, feature_key=KEY)
    for position in range(0, len(whole), 11):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 0xFF]) + whole[position + 1 :])
        try:
            loaded = load_classifier(path, feature_key=KEY)
        except ValueError as error:
            assert str(path) in str(error)
        else:  # a byte that means nothing, such as a time stamp
            np.testing.assert_array_equal(loaded.coefficients, model.coefficients)


def content(**changes):
    return {
        "file_format": np.array(1),
        "kind": np.array("logistic_regression"),
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
        ({"kind": np.array("forest")}, "kind 'forest'; expected one of logistic_regression, linear_svm, nearest_neighbours"),
        ({"kind": np.array("linear_svm")}, "expected .*slope"),
        ({"extra": np.array(1)}, "holds .*extra"),
        ({"coefficients": np.zeros((3, 4))}, r"coefficients \(3, 4\) and intercept \(2,\) do not fit 2 classes"),
        ({"coefficients": np.full((2, 4), np.nan)}, "not finite"),
        ({"intercept": np.zeros(2, np.float32)}, "intercept holds float32"),
        ({"classes": np.array(["a", "a"])}, "two or more different names"),
        ({"classes": np.array([1, 2])}, "two or more different names"),
        ({"scale": np.ones(2)}, "single values"),
        ({"classes": np.array(["a", "b"], dtype=object)}, "no readable classifier"),
    ],
)
def test_faults_of_a_file_are_named(tmp_path, changes, message):
    path = tmp_path / "model.npz"
    np.savez(path, **content(**changes))
    with pytest.raises(ValueError, match=message):
        load_classifier(path, feature_key=KEY)


def test_files_of_other_kinds_are_refused(tmp_path):
    with pytest.raises(ValueError, match="No classifier at"):
        load_classifier(tmp_path / "absent.npz", feature_key=KEY)
    np.save(tmp_path / "array.npy", np.zeros(3))
    (tmp_path / "text.npz").write_text("image_id,label\n")
    for name in ("array.npy", "text.npz"):
        with pytest.raises(ValueError, match="no readable classifier"):
            load_classifier(tmp_path / name, feature_key=KEY)
    np.savez(tmp_path / "other.npz", features=np.zeros(3))
    with pytest.raises(ValueError, match="file format none, expected 1"):
        load_classifier(tmp_path / "other.npz", feature_key=KEY)


def machine(classes=3):
    random = np.random.default_rng(1)
    pairs, sigmoids = (1, 1) if classes == 2 else (3, 3)
    return SupportVectorModel(
        random.normal(size=(pairs, 6)),
        random.normal(size=pairs),
        -random.uniform(size=sigmoids),
        random.normal(size=sigmoids),
        ("bacterial", "normal", "viral")[:classes],
        0.1,
        2.0,
    )


def neighbours():
    return NeighboursModel(np.array(["a", "b", "c", "d"]), np.array(["n", "p", "p", "n"]), 3, ("n", "p"))


@pytest.mark.parametrize("kept", [machine(2), machine(3), neighbours()], ids=["pair", "three pairs", "neighbours"])
def test_other_kinds_come_back_too(tmp_path, kept):
    save_classifier(tmp_path / "c.npz", kept, feature_key=KEY)
    loaded = load_classifier(tmp_path / "c.npz", feature_key=KEY)
    assert type(loaded) is type(kept)
    features = np.random.default_rng(0).normal(size=(5, 6)).astype(np.float32)
    known = np.random.default_rng(2).normal(size=(4, 6)).astype(np.float32)
    if isinstance(kept, NeighboursModel):
        found = [predict_by_neighbours(model, features, known, block_bytes=100) for model in (kept, loaded)]
    else:
        found = [predict_probabilities(model, features) for model in (kept, loaded)]
    np.testing.assert_array_equal(*found)
    np.testing.assert_allclose(found[0].sum(axis=1), 1)


@pytest.mark.parametrize(
    ("kept", "changes", "message"),
    [
        (machine(3), {"slope": np.zeros(2)}, "do not fit 3 classes"),
        (machine(2), {"coefficients": np.zeros((3, 6))}, "do not fit 2 classes"),
        (machine(2), {"offset": np.full(1, np.inf)}, "offset holds float64 or numbers that are not finite"),
        (neighbours(), {"neighbours": np.array(5)}, "neighbours is 5; expected a whole number from 1 to 4"),
        (neighbours(), {"labels": np.array(["n"])}, "are not one text an image each"),
        (neighbours(), {"labels": np.array(["n", "p", "x", "n"])}, "classes that are not listed"),
    ],
)
def test_faults_of_other_kinds_are_named(tmp_path, kept, changes, message):
    kind = "linear_svm" if isinstance(kept, SupportVectorModel) else "nearest_neighbours"
    write_arrays(tmp_path / "c.npz", kept.arrays() | changes, kind=kind, feature_key=KEY)
    with pytest.raises(ValueError, match=f"c.npz is damaged: .*{message}"):
        load_classifier(tmp_path / "c.npz", feature_key=KEY)


def test_neighbours_need_their_training_images():
    with pytest.raises(ValueError, match="3 rows came for 4 training images"):
        predict_by_neighbours(neighbours(), np.zeros((2, 6)), np.zeros((3, 6)))
    with pytest.raises(ValueError, match="5 per image came, the model was fitted on 6"):
        predict_by_neighbours(neighbours(), np.zeros((2, 5)), np.zeros((4, 6)))


def test_scores_of_pairs_become_scores_of_classes_as_in_scikit_learn():
    random = np.random.default_rng(3)
    labels = np.array(["a", "b", "c", "d"])[np.arange(80) % 4]
    features = random.normal(size=(80, 5)) + np.arange(80)[:, None] % 4
    by_pairs = SVC(kernel="linear", decision_function_shape="ovo").fit(features, labels)
    by_class = SVC(kernel="linear", decision_function_shape="ovr").fit(features, labels)
    np.testing.assert_allclose(class_scores(by_pairs.decision_function(features), 4), by_class.decision_function(features), atol=1e-9)
    machines = pair_weights(by_pairs.dual_coef_, by_pairs.n_support_) @ features[by_pairs.support_]
    np.testing.assert_allclose(machines, by_pairs.coef_, atol=1e-9)


def test_a_feature_key_names_what_the_numbers_are_and_not_who_made_them():
    settings = {
        "architecture": "vgg16",
        "parameters": {},
        "layer": "features",
        "dimensions": 25088,
        "image_size": [224, 224],
        "weights_sha256": "ab",
        "precision": "float32",
        "decode": {"height": 224},
        "crop": None,
        "keras": "3.15",
        "device": "cpu",
    }
    assert feature_key(settings | {"keras": "3.16", "device": "gpu"}) == feature_key(settings)
    assert feature_key(settings).startswith("vgg16/features/")
    assert len({feature_key(settings | {name: "other"}) for name in ("weights_sha256", "precision", "decode", "crop")}) == 4
