"""The fit engine on a tiny model with a frozen part, BatchNorm and dropout."""

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

import models_zoo
from cxr_keras.training.batch_norm import calibrate_batch_norm, set_trainable
from cxr_keras.training.checkpoint import load_state
from cxr_keras.training.display import TrainingDisplay
from cxr_keras.training.fit import FitSettings, TrainingData, run_phases
from cxr_keras.training.strategies import Optimizer, Phase
from cxr_keras.training.validation import predict_from_logits, predict_probabilities, validation_scores

N, BATCH = 24, 8
HEAD = Phase("head", train="head", epochs=2, optimizer=Optimizer("adam", learning_rate=1e-2))
ALL = Phase("all", train="all", epochs=2, optimizer=Optimizer("adam", learning_rate=1e-3))


@pytest.fixture
def images():
    rng = np.random.default_rng(0)
    x = rng.uniform(0, 255, (N, 16, 16, 1)).astype("float32")
    labels = np.arange(N) % 2
    x[labels == 1, :8] *= 0.3
    return x, np.eye(2, dtype="float32")[labels]


@pytest.fixture
def data(images):
    x, y = images

    def batches(first_epoch):
        def epochs():
            epoch = first_epoch
            while True:
                order = np.random.default_rng(epoch).permutation(N)
                for start in range(0, N, BATCH):
                    rows = order[start : start + BATCH]
                    yield x[rows], y[rows]
                epoch += 1

        signature = (tf.TensorSpec((None, 16, 16, 1)), tf.TensorSpec((None, 2)))
        return tf.data.Dataset.from_generator(epochs, output_signature=signature)

    return TrainingData(batches, N // BATCH, tf.data.Dataset.from_tensor_slices((x, y)).batch(BATCH))


def small_model(seed=0):
    keras.utils.set_random_seed(seed)
    return models_zoo.build("mini_vgg", (16, 16), 2, batch_norm="after_relu")


class Quiet(TrainingDisplay):
    def __init__(self, stop_after=None):
        super().__init__("test")
        self.stop_after = stop_after
        self.epochs = 0

    def epoch_done(self, row):
        super().epoch_done(row)
        self.epochs += 1
        if self.epochs == self.stop_after:
            raise KeyboardInterrupt


def moving_statistics(model):
    return [np.array(w) for layer in models_zoo.batch_norm_layers(model) for w in (layer.moving_mean, layer.moving_variance)]


def fit(model, phases, data, folder, display=None, **settings):
    return run_phases(
        model, phases, data, settings=FitSettings(**{"checkpoint_seconds": 0.0} | settings), folder=folder, display=display or Quiet()
    )


def test_history_and_phases_are_recorded(data, tmp_path):
    state = fit(small_model(), (HEAD, ALL), data, tmp_path)
    history = pd.read_csv(tmp_path / "history.csv")
    assert list(history["phase"]) == ["head", "head", "all", "all"]
    assert list(history["epoch"]) == [1, 2, 3, 4]
    assert {"loss", "accuracy", "val_loss", "val_accuracy", "val_auroc", "learning_rate", "seconds"} <= set(history.columns)
    assert [phase["epochs_run"] for phase in state.phases_done] == [2, 2]
    assert sum(phase["seconds"] for phase in state.phases_done) >= sum(row["seconds"] for row in state.history) - 0.2


def test_frozen_base_does_not_move_its_weights_or_statistics(data, tmp_path):
    model = small_model()
    base = [layer for layer in models_zoo.base_layers(model)]
    before = [np.array(w) for layer in base for w in layer.weights]
    fit(model, (HEAD,), data, tmp_path)
    after = [np.array(w) for layer in base for w in layer.weights]
    assert all(np.array_equal(a, b) for a, b in zip(before, after, strict=True))
    assert len(before) > 6


def test_batch_norm_statistics_move_or_not_by_choice_after_thawing(data, tmp_path):
    import dataclasses

    for mode, moves in (("train", True), ("frozen", False)):
        model = small_model()
        in_base = {id(layer) for layer in models_zoo.base_layers(model)}
        norms = [layer for layer in models_zoo.batch_norm_layers(model) if id(layer) in in_base]
        before = [np.array(layer.moving_mean) for layer in norms]
        fit(model, (dataclasses.replace(ALL, batch_norm=mode),), data, tmp_path / mode)
        unmoved = [np.array_equal(b, np.array(layer.moving_mean)) for b, layer in zip(before, norms, strict=True)]
        assert norms and all(unmoved) is not moves and any(unmoved) is not moves


def test_interrupted_training_ends_bit_equal_to_an_unbroken_one(data, images, tmp_path):
    unbroken = small_model()
    fit(unbroken, (HEAD, ALL), data, tmp_path / "unbroken", keep="best")
    for stop_after in (1, 2, 3):
        folder = tmp_path / f"stopped_{stop_after}"
        with pytest.raises(KeyboardInterrupt):
            fit(small_model(), (HEAD, ALL), data, folder, Quiet(stop_after), keep="best")
        resumed = small_model(seed=7)
        fit(resumed, (HEAD, ALL), data, folder, keep="best")
        for a, b in zip(unbroken.get_weights(), resumed.get_weights(), strict=True):
            assert np.array_equal(a, b)
        histories = [pd.read_csv(f / "history.csv").drop(columns="seconds") for f in (tmp_path / "unbroken", folder)]
        pd.testing.assert_frame_equal(*histories)


def test_half_precision_resumes_with_the_scaling_of_its_loss(data, tmp_path):
    keras.config.set_dtype_policy("mixed_float16")
    try:
        unbroken = small_model()
        fit(unbroken, (ALL,), data, tmp_path / "unbroken")
        with pytest.raises(KeyboardInterrupt):
            fit(small_model(), (ALL,), data, tmp_path / "stopped", Quiet(1))
        resumed = small_model(seed=7)
        fit(resumed, (ALL,), data, tmp_path / "stopped")
    finally:
        keras.config.set_dtype_policy("float32")
    assert all(np.array_equal(a, b) for a, b in zip(unbroken.get_weights(), resumed.get_weights(), strict=True))


def test_best_epoch_is_put_back(data, tmp_path):
    import dataclasses

    model = small_model()
    phase = dataclasses.replace(ALL, epochs=4, optimizer=Optimizer("sgd", learning_rate=0.5))
    state = fit(model, (phase,), data, tmp_path, keep="best", monitor="val_loss")
    history = pd.read_csv(tmp_path / "history.csv")
    best = int(history["val_loss"].idxmin())
    assert state.phases_done[0]["epochs_kept"] == best + 1
    assert validation_scores(model, data.validation)["val_loss"] == pytest.approx(history["val_loss"][best], rel=1e-6)


def test_patience_stops_early(data, tmp_path):
    import dataclasses

    phase = dataclasses.replace(ALL, epochs=50, patience=1, optimizer=Optimizer("sgd", learning_rate=1e-12))
    state = fit(small_model(), (phase,), data, tmp_path, monitor="val_accuracy")
    assert state.phases_done[0]["epochs_run"] < 50


def test_choosing_without_a_validation_part_is_refused(data, tmp_path):
    blind = TrainingData(data.batches, data.steps_per_epoch, None)
    with pytest.raises(ValueError, match="no validation part"):
        fit(small_model(), (ALL,), blind, tmp_path, keep="best")


def test_calibration_gives_the_statistics_of_the_data(data):
    model = small_model()
    assert calibrate_batch_norm(model, data.batches(0), data.steps_per_epoch) == len(models_zoo.batch_norm_layers(model))
    first = models_zoo.batch_norm_layers(model)[0]
    inputs = keras.Model(model.input, first.input)
    images = np.concatenate([batch[0] for _, batch in zip(range(data.steps_per_epoch), data.batches(0))])
    seen = np.array(inputs(images))
    assert np.allclose(np.array(first.moving_mean), seen.mean(axis=(0, 1, 2)), atol=1e-5)
    assert np.allclose(np.array(first.moving_variance), seen.var(axis=(0, 1, 2)), rtol=1e-3)
    assert first.momentum == 0.99


def test_set_trainable_follows_the_phase():
    model = small_model()
    set_trainable(model, HEAD)
    assert all(not layer.trainable for layer in models_zoo.base_layers(model))
    assert len(model.trainable_variables) > 0
    set_trainable(model, ALL)
    assert all(layer.trainable for layer in model.layers)


def test_damaged_state_is_named(tmp_path):
    np.savez(tmp_path / "state.npz", told=np.array("{}"), model_0=np.arange(1000))
    whole = (tmp_path / "state.npz").read_bytes()
    for damaged in (b"PK broken", whole[:-30], whole[:2000] + b"xxxx" + whole[2004:], b""):
        (tmp_path / "state.npz").write_bytes(damaged)
        with pytest.raises(ValueError, match=r"state.npz cannot be read"):
            load_state(tmp_path / "state.npz")


def test_a_training_that_had_ended_still_has_its_optimizer(data, tmp_path):
    ended, again = small_model(), small_model(seed=3)
    fit(ended, (HEAD, ALL), data, tmp_path, keep_optimizer=True)
    fit(again, (HEAD, ALL), data, tmp_path, keep_optimizer=True)
    assert int(again.optimizer.iterations) == int(ended.optimizer.iterations) > 0
    for a, b in zip(ended.optimizer.variables, again.optimizer.variables, strict=True):
        assert np.array_equal(np.array(a), np.array(b))


def test_scores_of_validation_match_by_hand(images):
    x, y = images
    dataset = tf.data.Dataset.from_tensor_slices((x, y)).batch(7)
    model = small_model()
    probabilities, targets = predict_probabilities(model, dataset)
    assert np.array_equal(targets, y)
    scores = validation_scores(model, dataset)
    assert scores["val_loss"] == pytest.approx(-np.log((probabilities * y).sum(axis=1)).mean(), rel=1e-5)
    assert scores["val_accuracy"] == (probabilities.argmax(1) == y.argmax(1)).mean()


def test_states_are_spaced_in_time_and_written_at_the_end_of_a_phase(data, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        fit(small_model(), (HEAD,), data, tmp_path / "a", Quiet(1), checkpoint_seconds=1e6)
    assert (tmp_path / "a" / "history.csv").exists() and not (tmp_path / "a" / "state.npz").exists()
    fit(small_model(), (HEAD,), data, tmp_path / "b", checkpoint_seconds=1e6)
    assert load_state(tmp_path / "b" / "state.npz")[0].epoch == 2


def test_recalibration_sets_the_statistics_after_the_last_step(data, tmp_path):
    import dataclasses

    results = []
    for mode in ("train", "recalibrated"):
        model = small_model()
        fit(model, (dataclasses.replace(ALL, batch_norm=mode),), data, tmp_path / mode)
        results.append(model)
    trained, recalibrated = results
    assert all(
        np.array_equal(a, b) for a, b in zip(map(np.array, trained.trainable_variables), map(np.array, recalibrated.trainable_variables))
    )
    calibrate_batch_norm(trained, data.batches(2), data.steps_per_epoch)
    assert all(np.allclose(a, b) for a, b in zip(moving_statistics(trained), moving_statistics(recalibrated)))


def with_auxiliary(model):
    """The model with a second output from the middle of its base, as `models_zoo` names it."""
    pooled = keras.layers.GlobalAveragePooling2D()(model.get_layer("block2_pool").output)
    auxiliary = keras.layers.Dense(2, activation="softmax", name="auxiliary_1")(pooled)
    return keras.Model(model.inputs[0], [model.outputs[0], auxiliary], name="with_auxiliary")


def test_auxiliary_outputs_add_their_share_to_the_loss_and_nothing_to_the_scores(images, data, tmp_path):
    model = with_auxiliary(models_zoo.build("mini_vgg", (16, 16), 2, conv_dropout=0.0, dense_dropout=0.0))
    x, y = images
    main, auxiliary = (np.asarray(output) for output in model(x))
    expected = sum(
        weight * -np.log(output[y.astype(bool)]).mean()
        for weight, output in zip(models_zoo.loss_weights(model), (main, auxiliary), strict=True)
    )
    still = Phase("all", train="all", epochs=1, optimizer=Optimizer("sgd", learning_rate=1e-12))
    weighted = TrainingData(
        lambda first: data.batches(first).map(lambda a, b: (a, b, tf.ones(len(b)))), data.steps_per_epoch, data.validation
    )
    state = run_phases(model, (still,), weighted, settings=FitSettings(), folder=tmp_path, display=Quiet())
    assert state.history[0]["loss"] == pytest.approx(expected, rel=1e-4)
    assert state.history[0]["accuracy"] == pytest.approx((main.argmax(1) == y.argmax(1)).mean())
    assert state.history[0]["val_accuracy"] == state.history[0]["accuracy"]


@pytest.mark.parametrize("stop_after", [None, 2])
def test_averaged_weights_replace_the_last_ones_also_after_a_stop_at_the_end(data, tmp_path, stop_after):
    averaged = Phase("all", train="all", epochs=2, optimizer=Optimizer("sgd", learning_rate=1e-2, average=0.9))
    seen = []

    class Keeping(Quiet):
        def epoch_done(self, row):
            seen.append([np.array(weight) for weight in model.trainable_weights])
            super().epoch_done(row)

    model = small_model()
    settings = FitSettings(checkpoint_seconds=0)
    try:
        run_phases(model, (averaged,), data, settings=settings, folder=tmp_path, display=Keeping(stop_after))
    except KeyboardInterrupt:
        model = small_model(seed=1)
        run_phases(model, (averaged,), data, settings=settings, folder=tmp_path, display=Quiet())
    last = seen[1]
    final = [np.array(weight) for weight in model.trainable_weights]
    assert any(not np.allclose(a, b, atol=1e-7) for a, b in zip(last, final, strict=True))
    unbroken = small_model()
    run_phases(unbroken, (averaged,), data, settings=settings, folder=tmp_path / "unbroken", display=Quiet())
    assert all(np.array_equal(a, b) for a, b in zip(final, unbroken.trainable_weights, strict=True))


def test_predictions_keep_the_order_of_images_that_the_network_is_sure_of(data):
    model = small_model()
    model.get_layer("logits").bias.assign([0.0, 20.0])
    rounded, _ = predict_probabilities(model, data.validation)
    sure, targets = predict_from_logits(model, data.validation)
    assert len(np.unique(rounded[:, 1])) == 1 and len(np.unique(sure[:, 1])) > N // 2
    assert sure.dtype == np.float64 and targets.shape == (N, 2)
    np.testing.assert_allclose(sure, rounded, atol=1e-6)
