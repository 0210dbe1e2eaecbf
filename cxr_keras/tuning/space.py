"""A search space in KerasTuner's terms, and its values back as settings."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import keras_tuner

INTERNAL = "tuner/"
"""What the names of KerasTuner's own values begin with, such as the epochs of a round of Hyperband."""

SIGNIFICANT_DIGITS = 6
"""Of a number that was drawn. KerasTuner's service passes 32-bit floats, so a trial has the same settings with workers and without."""


@dataclass(frozen=True)
class Dimension:
    """What one setting may be.

    Attributes:
        values: the choice, or () for a range.
        low, high: ends of the range; whole numbers give a range of whole numbers.
        step: distance of neighbouring numbers, or None.
        log: whether equal ratios, and not equal differences, count alike.
        when: other setting -> values with which this one is varied.
    """

    values: tuple[Any, ...] = ()
    low: float | None = None
    high: float | None = None
    step: float | None = None
    log: bool = False
    when: Mapping[str, Sequence[Any]] = field(default_factory=dict)


def hyperparameters_of(space: Mapping[str, Dimension]) -> keras_tuner.HyperParameters:
    """Declare a space to KerasTuner.

    Args:
        space: dotted name of a setting -> what it may be; a setting that depends on another may stand before it.

    Returns:
        The hyperparameters, under the names of the settings.

    Raises:
        ValueError: settings depend on each other in a ring.
    """
    declared = keras_tuner.HyperParameters()
    left = dict(space)
    while left:
        ready = [name for name, dimension in left.items() if not set(dimension.when) & set(left)]
        if not ready:
            raise ValueError(f"tune.space: {', '.join(left)} depend on each other in a ring.")
        for name in ready:
            _declare(declared, name, left.pop(name), space)
    return declared


def settings_of(values: Mapping[str, Any], space: Mapping[str, Dimension]) -> dict[str, Any]:
    """Turn the values of a trial into settings.

    Args:
        values: as KerasTuner holds them.
        space: as given to `hyperparameters_of`.

    Returns:
        Dotted name of each setting that is varied in this trial -> value; numbers of a range with six significant digits.
    """
    found = {}
    for name, dimension in space.items():
        if name not in values:
            continue
        if dimension.values:
            found[name] = dict(zip(_encoded(dimension.values), dimension.values, strict=True))[_number_as_declared(values[name], dimension)]
        else:
            found[name] = int(values[name]) if _whole(dimension) else float(f"{values[name]:.{SIGNIFICANT_DIGITS}g}")
    return found


def _declare(declared: keras_tuner.HyperParameters, name: str, dimension: Dimension, space: Mapping[str, Dimension]) -> None:
    """Declare one setting under all of its conditions."""
    if dimension.when:
        (parent, allowed), *others = dimension.when.items()
        codes = dict(zip(map(_key, space[parent].values), _encoded(space[parent].values), strict=True))
        unknown = [value for value in allowed if _key(value) not in codes]
        if unknown or not space[parent].values:
            raise ValueError(
                f"tune.space: {name} is varied when {parent} is one of {list(allowed)}, but {parent} has the values "
                f"{list(space[parent].values) or 'of a range'}. Name some of a list of values."
            )
        with declared.conditional_scope(parent, [codes[_key(value)] for value in allowed]):
            _declare(declared, name, Dimension(**{**vars(dimension), "when": dict(others)}), space)
        return
    if dimension.values:
        declared.Choice(name, list(_encoded(dimension.values)))
    elif _whole(dimension):
        step = {} if dimension.step is None else {"step": int(dimension.step)}
        declared.Int(name, int(dimension.low), int(dimension.high), sampling="log" if dimension.log else "linear", **step)
    else:
        declared.Float(name, dimension.low, dimension.high, step=dimension.step, sampling="log" if dimension.log else "linear")


def _whole(dimension: Dimension) -> bool:
    return isinstance(dimension.low, int) and isinstance(dimension.high, int)


def _encoded(values: Sequence[Any]) -> list[Any]:
    """Values as KerasTuner takes them: all whole numbers, all floats, or all texts; anything else as JSON."""
    if all(isinstance(value, int) and not isinstance(value, bool) for value in values):
        return list(values)
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        return [float(value) for value in values]
    return [_key(value) for value in values]


def _number_as_declared(value: Any, dimension: Dimension) -> Any:
    """A float of a choice as it was declared, whatever the 32 bits of the service made of it."""
    if not isinstance(value, float):
        return value
    return min(_encoded(dimension.values), key=lambda declared: abs(declared - value))


def _key(value: Any) -> str:
    """A value as text that tells it from all others; tuples are lists."""
    return json.dumps(value)
