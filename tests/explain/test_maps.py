import keras
import numpy as np
import pytest

import models_zoo
from cxr_keras.explain.gradients import gradient_of_logit
from cxr_keras.explain.maps import (
    METHODS,
    activation_map,
    class_activation_map,
    get_method,
    grad_cam,
    hires_cam,
    occlusion_map,
    resize_maps,
)


def images_of(count, side, seed=0):
    return np.random.default_rng(seed).uniform(0, 255, (count, side, side, 1)).astype(np.float32)


@pytest.fixture(scope="module")
def pooled_model():
    keras.utils.set_random_seed(1)
    return models_zoo.build("mini_resnet", (32, 32), 3, widths=[4, 6], blocks=1)


@pytest.fixture(scope="module")
def flat_model():
    keras.utils.set_random_seed(2)
    return models_zoo.build("mini_vgg", (32, 32), 2)


def hand_made():
    """Two channels (the pixel and its negative) of a 2 × 2 image, mean, then logits with known weights."""
    image = keras.Input((2, 2, 1), name="image")
    channels = keras.layers.Conv2D(2, 1, use_bias=False, name="conv")(image)
    features = keras.layers.Identity(name="features")(channels)
    embedding = keras.layers.Identity(name="embedding")(keras.layers.GlobalAveragePooling2D(name="pooled")(features))
    logits = keras.layers.Dense(2, name="logits")(embedding)
    model = keras.Model(image, keras.layers.Softmax(name="probabilities")(logits), name="hand_made")
    model.get_layer("conv").set_weights([np.array([1.0, -1.0]).reshape(1, 1, 1, 2)])
    model.get_layer("logits").set_weights([np.array([[3.0, 0.0], [1.0, 2.0]]), np.array([5.0, -7.0])])
    return model


def test_a_case_computed_by_hand():
    pixels = np.array([[1.0, 2.0], [3.0, 4.0]], np.float32).reshape(1, 2, 2, 1)
    cam = class_activation_map(hand_made())(pixels, None)
    # Class 0: 3 · x + 1 · (−x) = 2 x; class 1: 2 · (−x). Logits: 2 · 2.5 + 5 = 10 and −5 − 7 = −12.
    np.testing.assert_allclose(cam.logits, [[10, -12]], atol=1e-5)
    assert cam.columns.tolist() == [0]
    np.testing.assert_allclose(cam.maps[0], [[2, 4], [6, 8]], atol=1e-5)
    other = class_activation_map(hand_made())(pixels, np.array([1]))
    np.testing.assert_allclose(other.maps[0], [[-2, -4], [-6, -8]], atol=1e-5)
    np.testing.assert_allclose(grad_cam(hand_made())(pixels, None).maps[0], np.array([[2, 4], [6, 8]]) / 4, atol=1e-5)
    np.testing.assert_allclose(activation_map(hand_made())(pixels, None).maps[0], pixels[0, ..., 0], atol=1e-5)
    # A covered pixel takes the mean grey 2.5; the logit of class 0 is 2 · mean + 5.
    covered = occlusion_map(hand_made(), patch=0.5, stride=0.5)(pixels, None)
    np.testing.assert_allclose(covered.maps[0], (pixels[0, ..., 0] - 2.5) * 2 / 4, atol=1e-5)


def test_grad_cam_is_the_class_activation_map_over_the_number_of_positions(pooled_model):
    images = images_of(5, 32)
    for columns in (None, np.array([0, 1, 2, 1, 0])):
        cam, grad = class_activation_map(pooled_model)(images, columns), grad_cam(pooled_model)(images, columns)
        positions = cam.maps.shape[1] * cam.maps.shape[2]
        assert positions > 1 and cam.maps.std() > 0
        np.testing.assert_allclose(grad.maps * positions, cam.maps, atol=1e-5 * np.abs(cam.maps).max())
        np.testing.assert_array_equal(grad.columns, cam.columns)


def test_hires_cam_is_grad_cam_with_pooling_and_exact_with_a_flat_linear_head(pooled_model):
    images = images_of(3, 32)
    np.testing.assert_allclose(hires_cam(pooled_model)(images, None).maps, grad_cam(pooled_model)(images, None).maps, rtol=1e-3, atol=1e-6)
    keras.utils.set_random_seed(4)
    flat = models_zoo.build("mini_resnet", (32, 32), 2, widths=[4, 6], blocks=1, pooling="flatten")
    found = hires_cam(flat)(images, np.array([0, 1, 1]))
    bias = keras.ops.convert_to_numpy(flat.get_layer("logits").bias)[found.columns]
    np.testing.assert_allclose(found.maps.sum(axis=(1, 2)) + bias, found.logits[np.arange(3), found.columns], rtol=1e-4, atol=1e-5)
    assert np.abs(grad_cam(flat)(images, np.array([0, 1, 1])).maps - found.maps).max() > 1e-3  # the mean loses the places


def test_mean_of_a_class_activation_map_and_bias_make_the_logit(pooled_model):
    found = class_activation_map(pooled_model)(images_of(4, 32), None)
    bias = keras.ops.convert_to_numpy(pooled_model.get_layer("logits").bias)[found.columns]
    np.testing.assert_allclose(found.maps.mean(axis=(1, 2)) + bias, found.logits.max(axis=1), rtol=1e-4, atol=1e-5)


def test_a_class_activation_map_refuses_other_heads(flat_model):
    with pytest.raises(ValueError, match=r"mini_vgg has flatten, hidden_1, logits\. Grad-CAM \(grad_cam\) works for any head"):
        class_activation_map(flat_model)
    with pytest.raises(ValueError, match="pooled, logits, .*probabilities|pooled, hidden_1, logits"):
        class_activation_map(models_zoo.build("mini_resnet", (16, 16), 2, widths=[4], blocks=1, dense=[5]))
    with pytest.raises(ValueError, match="has pooled, logits"):
        class_activation_map(models_zoo.build("mini_resnet", (16, 16), 2, widths=[4], blocks=1, pooling="max"))


def test_gradients_agree_with_finite_differences():
    keras.utils.set_random_seed(3)
    features = keras.Input((3, 2, 2))
    bent = keras.layers.Dense(5, activation="tanh")(keras.layers.Flatten()(features))
    head = keras.Model(features, keras.layers.Dense(3)(bent))
    values = np.random.default_rng(0).normal(size=(2, 3, 2, 2)).astype(np.float32)
    columns = np.array([2, -1], np.int32)
    logits, slopes = gradient_of_logit(head)(values, columns)
    chosen = np.array([2, logits[1].argmax()])
    step = 1e-2
    for position in np.ndindex(3, 2, 2):
        high, low = values.copy(), values.copy()
        high[(slice(None), *position)] += step
        low[(slice(None), *position)] -= step
        difference = np.asarray(head.predict_on_batch(high)) - np.asarray(head.predict_on_batch(low))
        np.testing.assert_allclose(slopes[(slice(None), *position)], difference[np.arange(2), chosen] / (2 * step), atol=2e-3)


@pytest.mark.parametrize("name", ["mini_vgg", "mini_resnet", "cnn_94", "vgg16"])
def test_every_kind_of_architecture_gives_finite_maps_one_an_image(name):
    size = models_zoo.get_spec(name).minimum_image_size + 16
    model = models_zoo.build(name, (size, size), 2)
    shape = model.get_layer("features").output.shape[1:3]
    images = images_of(3, size)
    for method in ("grad_cam", "activation"):
        found = METHODS[method](model)(images, None)
        assert found.maps.shape == (3, *shape) and found.maps.dtype == np.float32 and np.isfinite(found.maps).all()
        alone = METHODS[method](model)(images[1:2], None)
        np.testing.assert_allclose(alone.maps[0], found.maps[1], atol=1e-4 * max(1e-6, np.abs(found.maps).max()))


def test_maps_follow_the_weights_of_the_moment(flat_model):
    model = keras.models.clone_model(flat_model)
    explain = grad_cam(model)
    images = images_of(2, 32)
    before = explain(images, np.array([1, 1])).maps
    kernel, bias = model.get_layer("logits").get_weights()
    model.get_layer("logits").set_weights([-2 * kernel, bias])
    np.testing.assert_allclose(explain(images, np.array([1, 1])).maps, -2 * before, rtol=1e-4, atol=1e-7)


def test_occlusion_finds_the_only_pixels_that_matter():
    image = keras.Input((16, 16, 1), name="image")
    window = keras.layers.Cropping2D(((2, 10), (10, 2)), name="features")(image)
    logits = keras.layers.Dense(2, name="logits")(keras.layers.GlobalAveragePooling2D(name="pooled")(window))
    model = keras.Model(image, keras.layers.Softmax(name="probabilities")(logits))
    model.get_layer("logits").set_weights([np.array([[0.0, 1.0]]), np.zeros(2)])
    pixels = np.full((1, 16, 16, 1), 10.0, np.float32)
    pixels[0, 2:6, 10:14] = 200
    found = occlusion_map(model, patch=0.25, stride=0.25)(pixels, np.array([1])).maps[0]
    assert found.shape == (4, 4)
    inside = np.zeros((4, 4), bool)
    inside[0:2, 2:4] = True
    assert (found[inside] > 0).all() and np.abs(found[~inside]).max() < 1e-4


def test_occlusion_refuses_impossible_patches(flat_model):
    for patch, stride in ((0.1, 0.2), (1.5, 0.1), (0.1, 0.0)):
        with pytest.raises(ValueError, match="0 < stride <= patch <= 1"):
            occlusion_map(flat_model, patch=patch, stride=stride)


def test_layers_are_named_when_the_asked_one_does_not_do(flat_model, pooled_model):
    with pytest.raises(ValueError, match=r"no layer 'block3_con2'.*'block3_conv2'"):
        grad_cam(flat_model, layer="block3_con2")
    with pytest.raises(ValueError, match=r"no layer 'attention'.* Layers with \(h, w, c\): .*block1_pool, .*block3_pool"):
        grad_cam(flat_model, layer="attention")
    deep = models_zoo.build("mini_resnet", (16, 16), 2, widths=[4, 6], blocks=4)
    with pytest.raises(ValueError, match=r"\(h, w, c\): .*, stage1_block4_relu, features \(the last of each size, of \d\d layers\)"):
        activation_map(deep, layer="attention")
    with pytest.raises(ValueError, match=r"'embedding' of mini_vgg has the output \(512,\) and no positions.*block3_pool"):
        activation_map(flat_model, layer="embedding")
    with pytest.raises(ValueError, match="leads around it"):
        grad_cam(pooled_model, layer="stage2_block1_conv1")
    assert grad_cam(flat_model, layer="block2_pool")(images_of(1, 32), None).maps.shape == (1, 8, 8)


def test_methods_are_found_by_name():
    assert get_method("grad_cam") is grad_cam
    with pytest.raises(ValueError, match="Did you mean 'grad_cam'"):
        get_method("gradcam")


def test_maps_grow_to_the_image_with_their_cells_in_place():
    maps = np.zeros((1, 4, 4), np.float32)
    maps[0, 0, 3] = 1
    large = resize_maps(maps, (32, 32))
    assert large.shape == (1, 32, 32) and large.dtype == np.float32
    row, column = np.unravel_index(large[0].argmax(), (32, 32))
    assert row < 8 and column >= 24
    np.testing.assert_allclose(resize_maps(np.full((2, 3, 5), 7.0, np.float32), (10, 9)), 7.0, rtol=1e-6)
