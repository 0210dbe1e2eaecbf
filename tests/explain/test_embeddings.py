import numpy as np
import pytest

import models_zoo
from cxr_keras.explain.embeddings import embed_images, project, separation


def two_clouds(distance):
    rng = np.random.default_rng(0)
    labels = np.repeat(["normal", "pneumonia"], 20)
    return rng.normal(size=(40, 5)) + distance * (labels == "pneumonia")[:, None], labels


def test_far_classes_are_told_apart_and_mixed_ones_are_not():
    groups = np.arange(40).astype(str)
    far, near = (separation(*two_clouds(distance), groups) for distance in (20, 0))
    assert far["silhouette"] > 0.8 and far["nearest_neighbour_accuracy"] == 1 and far["majority"] == 0.5
    assert abs(near["silhouette"]) < 0.1 and 0.2 < near["nearest_neighbour_accuracy"] < 0.8


def test_the_nearest_neighbour_is_of_another_patient():
    points = np.array([[0.0], [0.1], [5.0], [5.1]])
    labels = np.array(["a", "a", "b", "b"])
    assert separation(points, labels, np.array(["1", "1", "2", "2"]))["nearest_neighbour_accuracy"] == 0
    assert separation(points, labels, np.array(["1", "2", "3", "4"]))["nearest_neighbour_accuracy"] == 1
    assert separation(points, labels, np.array(["1"] * 4))["nearest_neighbour_accuracy"] is None
    assert separation(points, np.array(["a"] * 4), np.array(["1", "2", "3", "4"]))["silhouette"] is None


def test_projections_are_two_dimensional_and_seeded():
    points, _ = two_clouds(3)
    first, again = project(points, seed=1), project(points, seed=1)
    assert set(first) == {"pca", "tsne"} and all(flat.shape == (40, 2) and np.isfinite(flat).all() for flat in first.values())
    for name, flat in first.items():
        np.testing.assert_array_equal(flat, again[name])
    assert project(points[:5, :1], seed=0)["pca"].shape == (5, 2)
    with pytest.raises(ValueError, match="4 or more"):
        project(points[:3], seed=0)


def test_embeddings_are_the_layer_before_the_logits():
    model = models_zoo.build("mini_vgg", (16, 16), 2)
    images = np.random.default_rng(0).uniform(0, 255, (5, 16, 16, 1)).astype(np.float32)
    found = embed_images(model, [(images[:3], None), (images[3:], None)])
    kernel, bias = model.get_layer("logits").get_weights()
    logits = found @ kernel + bias
    powers = np.exp(logits)
    np.testing.assert_allclose(powers / powers.sum(axis=1, keepdims=True), model.predict_on_batch(images), atol=1e-5)
