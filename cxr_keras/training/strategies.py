"""Training strategies as data: which layers learn, in which order, for how long.

A strategy is a tuple of phases and touches no model; `cxr_keras.training.fit` is the only code that runs it. Adding a strategy is one
entry in `STRATEGIES`.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
from typing import Any, Literal, get_type_hints

from pydantic import TypeAdapter, ValidationError

Trained = Literal["head", "all"]
BatchNormMode = Literal["train", "frozen", "recalibrated"]
Decay = Literal["none", "paper_epoch", "keras_batch", "cosine"]


@dataclasses.dataclass(frozen=True)
class Optimizer:
    """One optimizer with its settings.

    Attributes:
        name: "adam" or "sgd".
        learning_rate: the first learning rate.
        epsilon: Adam's constant in the denominator; 1e-7 is Keras's default, 0.1 is Božičković's.
        momentum: SGD's momentum.
        decay: "none"; "paper_epoch", Laban's formula α[i+1] = α[i] / (1 + k·i) after each epoch with k = α[0] / epochs;
            "keras_batch", the decay of older Keras versions, α[0] / (1 + k·batches); "cosine", half a cosine down to 0 over the phase.
        average: momentum of a running mean of the weights after each step, which replaces them at the end of the phase; 0 keeps none.
    """

    name: Literal["adam", "sgd"] = "adam"
    learning_rate: float = 1e-3
    epsilon: float = 1e-7
    momentum: float = 0.0
    decay: Decay = "none"
    average: float = 0.0


@dataclasses.dataclass(frozen=True)
class Phase:
    """One stretch of training with one set of trainable layers and one optimizer.

    Attributes:
        name: how the phase is called in `history.csv` and in overrides.
        train: "head" freezes the base (its BatchNorm statistics do not move), "all" trains every layer.
        epochs: the most epochs this phase runs.
        optimizer: the optimizer, made new for the phase.
        patience: stop after so many epochs without a better monitored value; `None` never stops early.
        batch_norm: how BatchNorm layers behave while all layers train: "train" lets their statistics follow the data; "frozen" keeps
            statistics, scale and offset of the base's as they are; "recalibrated" trains, and at the end of the phase sets the statistics
            by one pass over the training part. A running mean with Keras's momentum of .99 needs some 500 steps to forget where it
            began, so in shorter phases it lags behind the weights.
    """

    name: str
    train: Trained
    epochs: int
    optimizer: Optimizer
    patience: int | None = None
    batch_norm: BatchNormMode = "train"


@dataclasses.dataclass(frozen=True)
class Strategy:
    """A named sequence of phases.

    Attributes:
        name: the name used in configs.
        description: one line for listings.
        phases: what is run, in this order.
        head_dropout: rate of the dropout layer that the strategy puts before the head; `None` leaves the architecture's own.
    """

    name: str
    description: str
    phases: tuple[Phase, ...]
    head_dropout: float | None = None


# Božičković, section II.C: Adam, 1e-3 for the head (the default), 1e-5 with epsilon 0.1 for the whole network, patience 15.
# The most epochs (100) and the dropout rate (0.5) are not in the paper and are this project's choice.
_FINE_TUNING = Optimizer(name="adam", learning_rate=1e-5, epsilon=0.1)
_HEAD = Phase("head", train="head", epochs=100, patience=15, optimizer=Optimizer(name="adam", learning_rate=1e-3))
_ALL = Phase("all", train="all", epochs=100, patience=15, optimizer=_FINE_TUNING)

STRATEGIES: dict[str, Strategy] = {
    strategy.name: strategy
    for strategy in (
        Strategy(
            "from_scratch",
            "every layer from random weights (Laban: SGD 0.05 with decay, 30 epochs)",
            (Phase("all", train="all", epochs=30, optimizer=Optimizer("sgd", learning_rate=0.05, decay="paper_epoch")),),
        ),
        Strategy("end_to_end", "every layer at once from pretrained weights (Božičković 1)", (_ALL,)),
        Strategy("two_stage", "first the head on a frozen base, then everything (Božičković 2)", (_HEAD, _ALL)),
        Strategy("two_stage_dropout", "two_stage with dropout before the head (Božičković 3)", (_HEAD, _ALL), head_dropout=0.5),
    )
}


def get_strategy(name: str) -> Strategy:
    """Look a strategy up by its name.

    Raises:
        ValueError: there is none of that name; the message lists the names and the nearest one.
    """
    if name in STRATEGIES:
        return STRATEGIES[name]
    near = difflib.get_close_matches(name, STRATEGIES, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise ValueError(f"Unknown training strategy {name!r}.{hint} Known strategies: {', '.join(STRATEGIES)}.")


def phases_of(name: str, overrides: dict[str, dict[str, Any]] | None = None) -> tuple[Phase, ...]:
    """Give the phases of a strategy with some of their settings replaced.

    Args:
        name: the strategy's name.
        overrides: phase name to settings; a setting is a field of `Phase` or of its `Optimizer`, for example
            `{"all": {"epochs": 3, "learning_rate": 1e-4}}`.

    Returns:
        The phases in the order of the strategy. A phase of 0 epochs is kept and does nothing.

    Raises:
        ValueError: a phase or a setting is unknown, of another type, impossible, or without effect.
    """
    strategy = get_strategy(name)
    overrides = overrides or {}
    names = [phase.name for phase in strategy.phases]
    if unknown := sorted(set(overrides) - set(names)):
        raise ValueError(f"Strategy {name!r} has no phase {', '.join(map(repr, unknown))}. Its phases: {', '.join(names)}.")
    return tuple(_replaced(phase, overrides.get(phase.name, {})) for phase in strategy.phases)


def _replaced(phase: Phase, settings: dict[str, Any]) -> Phase:
    """One phase with its own and its optimizer's fields replaced."""
    own = {field.name for field in dataclasses.fields(Phase)} - {"name", "optimizer"}
    of_optimizer = {field.name for field in dataclasses.fields(Optimizer)} - {"name"} | {"optimizer"}
    for key in settings:
        if key not in own | of_optimizer:
            near = difflib.get_close_matches(key, own | of_optimizer, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise ValueError(f"Phase {phase.name!r} has no setting {key!r}.{hint} Its settings: {', '.join(sorted(own | of_optimizer))}.")
    types = get_type_hints(Phase) | {key: kind for key, kind in get_type_hints(Optimizer).items() if key != "name"}
    types["optimizer"] = get_type_hints(Optimizer)["name"]
    for key, value in settings.items():
        try:
            TypeAdapter(types[key]).validate_python(value, strict=True)
        except ValidationError as error:
            expected = error.errors()[0]["msg"].removeprefix("Input should be ")
            raise ValueError(f"{key} of phase {phase.name!r} is {value!r}; expected {expected}.") from None
    for key in ("epochs", "patience"):
        if settings.get(key) is not None and settings[key] < 0:
            raise ValueError(f"{key} of phase {phase.name!r} is {settings[key]}; it must be 0 or more.")
    numbers: dict[str, Any] = {
        key: float(value) if isinstance(value, int) and types[key] is float else value for key, value in settings.items()
    }
    optimizer_fields = {("name" if k == "optimizer" else k): v for k, v in numbers.items() if k in of_optimizer}
    replaced = dataclasses.replace(
        phase,
        **{key: value for key, value in settings.items() if key in own},
        optimizer=dataclasses.replace(phase.optimizer, **optimizer_fields),
    )
    if fault := _impossible(replaced, settings):
        raise ValueError(f"phase {phase.name!r}: {fault}.")
    return replaced


def _impossible(phase: Phase, settings: dict[str, Any]) -> str:
    """What is wrong with the values of a phase, or with settings that would have no effect in it; "" if nothing is."""
    optimizer = phase.optimizer
    if not 0 < optimizer.learning_rate < math.inf:
        return f"learning_rate is {optimizer.learning_rate}; it must be above 0"
    if not 0 < optimizer.epsilon < math.inf:
        return f"epsilon is {optimizer.epsilon}; it must be above 0"
    if not 0 <= optimizer.momentum < 1:
        return f"momentum is {optimizer.momentum}; it must be 0 or more and below 1"
    if not 0 <= optimizer.average < 1:
        return f"average is {optimizer.average}; expected a momentum from 0 (none) to below 1, such as 0.999"
    if optimizer.name == "adam" and settings.get("momentum"):
        return "momentum is of sgd, and the optimizer is adam; leave it out"
    if optimizer.name == "sgd" and settings.get("epsilon", Optimizer.epsilon) != Optimizer.epsilon:
        return f"epsilon is of adam, and the optimizer is sgd; leave it out, or at its default {Optimizer.epsilon:g}"
    if phase.train == "head" and phase.batch_norm == "recalibrated":
        return "batch_norm=recalibrated would move the statistics of the base, which is frozen; take train or frozen"
    return ""
