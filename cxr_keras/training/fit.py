"""The one fit engine: per phase freeze, compile, fit; after each epoch score, record, save.

It knows phases, datasets and a model with named layers, and nothing of papers, configs or architectures.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np

import models_zoo
from cxr_keras.training.batch_norm import calibrate_batch_norm, set_trainable
from cxr_keras.training.best_epoch import BestEpoch
from cxr_keras.training.callbacks import EpochEnd, EpochRate
from cxr_keras.training.checkpoint import TrainingState, load_state, restore_variables, save_state
from cxr_keras.training.devices import Devices, OneDevice
from cxr_keras.training.recorder import STATE_FILE, EpochRecorder
from cxr_keras.training.schedules import EPOCH_RATES, make_optimizer
from cxr_keras.training.strategies import Phase


@dataclasses.dataclass(frozen=True)
class TrainingData:
    """The batches of one fold.

    Attributes:
        batches: takes the first epoch (counted from 0 over the whole run) and gives an endless dataset of (images, targets[, weights]) that
            starts there: images float32 (batch, h, w, 1) in [0, 255], targets float32 one-hot (batch, classes).
        steps_per_epoch: batches an epoch.
        validation: finite dataset of (images, targets) in a fixed order, or `None`.
        behind_base: takes the model when its base is frozen and gives the same batches in the same order, with the outputs of
            `models_zoo.frozen_layer` instead of images; phases that train the head then fit it alone. `None` runs the base in every epoch.
    """

    batches: Callable[[int], Any]
    steps_per_epoch: int
    validation: Any | None = None
    behind_base: Callable[[keras.Model], TrainingData] | None = None


@dataclasses.dataclass(frozen=True)
class FitSettings:
    """How to fit, apart from the phases.

    Attributes:
        monitor: the value of `history.csv` that names the best epoch and drives early stopping.
        keep: "best" puts the weights of the best epoch back at the end of each phase, "last" leaves the last ones.
        jit_compile: XLA on or off.
        calibrate_batch_norm: set the base's BatchNorm statistics by one pass over the training part before a phase that freezes it; for
            bases with random weights, whose statistics are otherwise those of initialisation.
        checkpoint_seconds: a resumable state is written at the end of an epoch if so many seconds went by since the last one, and at the
            end of each phase; a kill loses no more than that and one epoch. ResNet50 with Adam writes 300 MB.
        keep_optimizer: the model shall be saved with the optimizer of the last phase, also where a kill comes between the two.
    """

    monitor: str = "val_loss"
    keep: str = "last"
    jit_compile: bool = False
    calibrate_batch_norm: bool = False
    checkpoint_seconds: float = 30.0
    keep_optimizer: bool = False


def run_phases(
    model: keras.Model,
    phases: tuple[Phase, ...],
    data: TrainingData,
    *,
    settings: FitSettings,
    folder: Path,
    display: Any,
    tracker: Any | None = None,
    devices: Devices | None = None,
) -> TrainingState:
    """Train `model` through all phases, or through what a killed run left undone.

    Args:
        model: a model of `models_zoo`, made in the scope of `devices`; trained in place.
        phases: what to do, in order.
        data: batches of this fold.
        settings: monitored value, kept weights, XLA, BatchNorm calibration.
        folder: the fold's folder; `history.csv` is written there after every epoch, `state.npz` as `checkpoint_seconds` says.
        display: shows progress; has `phase_started`, `batch_done`, `epoch_done` and `note`.
        tracker: is told the history; has `begin_fold`, which takes the rows so far, and `epoch_done`, which takes one more; raises nothing.
        devices: what fits; by default one device. Scores and statistics of BatchNorm are computed on the first one.

    Returns:
        The final state: history and the epochs each phase ran and kept.

    Raises:
        ValueError: the best epoch or early stopping is asked for without a validation part, or the stored state fits another model.
        FloatingPointError: the loss became nan.
    """
    _check_monitoring(phases, settings, data)
    devices = devices or OneDevice()
    state, stored = TrainingState(), None
    if (folder / STATE_FILE).exists():
        state, stored = load_state(folder / STATE_FILE)
        restore_variables(model.variables, stored, "model_")
        display.note(f"continues after epoch {state.epoch}")
    if tracker is not None:
        tracker.begin_fold(folder, state.history, ended=time.time() if stored is None else (folder / STATE_FILE).stat().st_mtime)
    while state.phase < len(phases):
        started, phase = time.monotonic(), phases[state.phase]
        with devices.scope():
            fitted = _fitted_part(model, phase, data)
        if phase.epochs > 0:
            _run_phase(
                model,
                fitted,
                phase,
                data,
                state,
                stored,
                settings=settings,
                folder=folder,
                display=display,
                tracker=tracker,
                devices=devices,
            )
        stored = None
        _put_kept_weights_back(fitted, state, settings)
        if phase.epochs > 0 and phase.batch_norm == "recalibrated":
            display.note("BatchNorm statistics set by one pass over the training part")
            calibrate_batch_norm(model, data.batches(state.epoch), data.steps_per_epoch)
        _close_phase(phase, state, settings, seconds=time.monotonic() - started)
        kept = model.optimizer if settings.keep_optimizer and state.phase == len(phases) else None
        save_state(folder / STATE_FILE, state, model, optimizer=kept)
    if stored is not None and "optimizer_0" in stored:
        _take_up_optimizer(model, phases, stored, settings)
    return state


def _take_up_optimizer(model: keras.Model, phases: tuple[Phase, ...], stored: dict[str, np.ndarray], settings: FitSettings) -> None:
    """Give a model whose training had ended before a kill the optimizer that it ended with."""
    last = [phase for phase in phases if phase.epochs > 0][-1]
    set_trainable(model, last)
    restore_variables(compile_phase(model, last, jit_compile=settings.jit_compile).variables, stored, "optimizer_")


def _fitted_part(model: keras.Model, phase: Phase, data: TrainingData) -> keras.Model:
    """The model, or only its head where the base is frozen and its outputs are at hand."""
    if phase.train != "head" or data.behind_base is None:
        return model
    return models_zoo.head_model(model, start=models_zoo.frozen_layer(model))


def _run_phase(
    model: keras.Model,
    fitted: keras.Model,
    phase: Phase,
    data: TrainingData,
    state: TrainingState,
    stored: dict[str, np.ndarray] | None,
    *,
    settings: FitSettings,
    folder: Path,
    display: Any,
    tracker: Any | None,
    devices: Devices,
) -> None:
    """Fit one phase from wherever `state` says it stands; `fitted` is the model or its head."""
    if state.epochs_in_phase == 0 and phase.train == "head" and settings.calibrate_batch_norm:
        display.note("random base: BatchNorm statistics set by one pass over the training part")
        calibrate_batch_norm(model, data.batches(state.epoch), data.steps_per_epoch)
    set_trainable(model, phase)
    with devices.scope():
        optimizer = compile_phase(fitted, phase, jit_compile=settings.jit_compile)
    devices.prepare(fitted)
    if stored is not None and "optimizer_0" in stored:
        restore_variables(optimizer.variables, stored, "optimizer_")
    if state.best is None and (settings.keep == "best" or phase.patience is not None):
        state.best = BestEpoch(settings.monitor, patience=phase.patience)
    if state.epochs_in_phase >= phase.epochs or (state.best is not None and state.best.stop):
        # A run that was stopped right here has its last epoch behind it, but not what Keras does at the end of `fit`.
        optimizer.finalize_variable_values(fitted.trainable_variables)
        return
    if fitted is not model:
        data = data.behind_base(model)
    first_epoch = state.epoch
    display.phase_started(phase, first_epoch=state.epochs_in_phase, steps=data.steps_per_epoch)
    epoch_end = EpochEnd(
        state,
        phase,
        scored=devices.scored(fitted),
        validation=data.validation,
        record=EpochRecorder(folder, state, model, optimizer, seconds_between_states=settings.checkpoint_seconds, tracker=tracker),
        display=display,
        keep_best=settings.keep == "best",
    )
    callbacks: list[keras.callbacks.Callback] = [epoch_end]
    if phase.optimizer.decay in EPOCH_RATES:
        callbacks.insert(0, EpochRate(phase, epochs_before=first_epoch - state.epochs_in_phase))
    fitted.fit(
        devices.share(for_all_outputs(data.batches(first_epoch), fitted)),
        steps_per_epoch=data.steps_per_epoch,
        initial_epoch=first_epoch,
        epochs=first_epoch - state.epochs_in_phase + phase.epochs,
        callbacks=callbacks,
        shuffle=False,  # the dataset carries its own order
        verbose=0,
    )


def compile_phase(model: keras.Model, phase: Phase, *, jit_compile: bool) -> keras.optimizers.Optimizer:
    """Compile a model, or its head, for a phase that `set_trainable` has prepared, and make the optimizer's variables.

    The loss is the cross-entropy of `probabilities`, plus that of auxiliary outputs with their weights.

    Returns:
        The optimizer, without any step taken.
    """
    optimizer = make_optimizer(phase.optimizer, epochs=phase.epochs)
    accuracy = keras.metrics.CategoricalAccuracy(name="accuracy")
    single = len(model.outputs) == 1
    model.compile(
        optimizer=optimizer,
        loss=keras.losses.CategoricalCrossentropy() if single else [keras.losses.CategoricalCrossentropy() for _ in model.outputs],
        loss_weights=None if single else models_zoo.loss_weights(model),
        weighted_metrics=[],
        metrics=[accuracy] if single else [[accuracy], *([] for _ in model.outputs[1:])],
        jit_compile=jit_compile,
    )
    # Not the one made above: half precision wraps it for the scaling of the loss.
    model.optimizer.build(model.trainable_variables)
    return model.optimizer


def for_all_outputs(batches: Any, model: keras.Model) -> Any:
    """Give every output of a model with auxiliary outputs the same targets and weights."""
    count = len(model.outputs)
    if count == 1:
        return batches
    return batches.map(lambda images, *rest: (images, *((part,) * count for part in rest)))


def _put_kept_weights_back(fitted: keras.Model, state: TrainingState, settings: FitSettings) -> None:
    """After a phase that keeps its best epoch, give what it fitted the weights of that epoch."""
    if settings.keep == "best" and state.best_weights is not None:
        fitted.set_weights(state.best_weights)


def _close_phase(phase: Phase, state: TrainingState, settings: FitSettings, *, seconds: float) -> None:
    """Note what the phase did, and in how many seconds since it began or was continued, and move on to the next."""
    kept = state.best.best_epoch if settings.keep == "best" and state.best is not None else state.epoch
    before = state.epoch - state.epochs_in_phase
    state.phases_done.append(
        {
            "phase": phase.name,
            "epochs_run": state.epochs_in_phase,
            "epochs_kept": kept - before,
            "monitor": settings.monitor if state.best else None,
            "best_value": state.best.best_value if state.best else None,
            "epochs_best": (state.best.best_epoch if state.best is not None else state.epoch) - before,
            "seconds": round(seconds, 1),
        }
    )
    state.phase, state.epochs_in_phase, state.best, state.best_weights = state.phase + 1, 0, None, None


def _check_monitoring(phases: tuple[Phase, ...], settings: FitSettings, data: TrainingData) -> None:
    """Refuse to choose an epoch by a validation part that is not there."""
    chooses = settings.keep == "best" or any(phase.patience is not None and phase.epochs > 0 for phase in phases)
    if chooses and settings.monitor.startswith("val_") and data.validation is None:
        raise ValueError(
            f"The best epoch or early stopping follows {settings.monitor}, but this run has no validation part. Give it one "
            "(cross_validation.validation or split.validation above 0), or set training.keep=last and every phase's patience to null."
        )
