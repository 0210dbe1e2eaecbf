"""The whole state of a training after one epoch, in one file: what a killed run needs to go on as if nothing had happened.

Keras's BackupAndRestore writes weights in place and loses the state of callbacks, dropout seeds and the order of batches. Here everything
goes into one `.npz` that is renamed into place; batches are a function of (seed, fold, epoch), so they need no state.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import keras
import numpy as np

from cxr_keras.runs.files import read_npz, write_atomically
from cxr_keras.training.best_epoch import BestEpoch


@dataclasses.dataclass
class TrainingState:
    """What is known after an epoch, beside the variables of model and optimizer.

    Attributes:
        phase: index of the running phase.
        epoch: epochs finished over the whole run.
        epochs_in_phase: epochs finished in the running phase.
        history: one row a finished epoch.
        best: the best epoch of the running phase, if one is looked for.
        best_weights: the weights after that epoch of what the phase fits, the model or its head.
        phases_done: per finished phase its name, the epochs it ran, the epoch whose weights it kept, the value there, and seconds.
    """

    phase: int = 0
    epoch: int = 0
    epochs_in_phase: int = 0
    history: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    best: BestEpoch | None = None
    best_weights: list[np.ndarray] | None = None
    phases_done: list[dict[str, Any]] = dataclasses.field(default_factory=list)


def save_state(path: Path, state: TrainingState, model: keras.Model, *, optimizer: keras.optimizers.Optimizer | None) -> None:
    """Write the state with all variables of model (random seeds included) and optimizer.

    Args:
        path: the `.npz` file; replaced as a whole.
        state: what is known.
        model: the model in training.
        optimizer: that of the running phase; None between two phases, where the next one makes its own.
    """
    told = {
        "phase": state.phase,
        "epoch": state.epoch,
        "epochs_in_phase": state.epochs_in_phase,
        "history": state.history,
        "phases_done": state.phases_done,
        "best": dataclasses.asdict(state.best) if state.best else None,
    }
    arrays = {f"model_{i}": keras.ops.convert_to_numpy(v) for i, v in enumerate(model.variables)}
    if optimizer is not None:
        arrays |= {f"optimizer_{i}": keras.ops.convert_to_numpy(v) for i, v in enumerate(optimizer.variables)}
    if state.best_weights is not None:
        arrays |= {f"best_{i}": array for i, array in enumerate(state.best_weights)}
    with write_atomically(path) as temporary:
        np.savez(temporary, told=np.array(json.dumps(told)), **arrays)


def load_state(path: Path) -> tuple[TrainingState, dict[str, np.ndarray]]:
    """Read a state file.

    Returns:
        The state, and the arrays of the model's and the optimizer's variables for `restore_variables`.

    Raises:
        ValueError: the file is damaged; the message names it.
    """
    try:
        arrays = read_npz(path)
        told = json.loads(str(arrays.pop("told")))
    except (ValueError, KeyError) as error:
        raise ValueError(f"The saved state {path} cannot be read ({error}). Remove the file to train this fold anew.") from error
    state = TrainingState(
        phase=told["phase"],
        epoch=told["epoch"],
        epochs_in_phase=told["epochs_in_phase"],
        history=told["history"],
        phases_done=told["phases_done"],
        best=BestEpoch(**told["best"]) if told["best"] else None,
        best_weights=_sequence(arrays, "best_") or None,
    )
    return state, arrays


def restore_variables(variables: list[keras.Variable], arrays: dict[str, np.ndarray], prefix: str) -> None:
    """Assign stored arrays to variables, in order.

    Raises:
        ValueError: number or shapes differ, so the state belongs to another model.
    """
    stored = _sequence(arrays, prefix)
    if [tuple(v.shape) for v in variables] != [a.shape for a in stored]:
        raise ValueError(
            f"The saved state holds {len(stored)} {prefix.rstrip('_')} variables of other shapes than this model's {len(variables)}. "
            "It belongs to another configuration; remove the fold's state.npz to train it anew."
        )
    for variable, array in zip(variables, stored, strict=True):
        variable.assign(array)


def _sequence(arrays: dict[str, np.ndarray], prefix: str) -> list[np.ndarray]:
    """The arrays prefix0, prefix1, … in order."""
    return [arrays[f"{prefix}{i}"] for i in range(sum(key.startswith(prefix) for key in arrays))]
