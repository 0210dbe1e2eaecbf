"""The trials of a search: as tables, and as a figure that shows what mattered."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cxr_keras.reporting.style import COLOURS, STYLE, set_title
from cxr_keras.reporting.tables import Table

SHOWN = 20
"""Trials in the table; all are in the CSV file beside it."""

PANELS_IN_A_ROW = 3
NEAR_LOG_SPAN = 20.0
"""Largest to smallest value from which numbers above zero are drawn on a log scale."""

_NAMES = {
    "macro_auroc": "macro AUROC",
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "macro_f1": "macro F1",
    "log_loss": "log loss (nats)",
}


class Trial(Protocol):
    """What is shown of a trial; `cxr_keras.recipes.trial.TrialRecord` is one."""

    @property
    def trial(self) -> str: ...  # noqa: D102
    @property
    def settings(self) -> dict[str, Any]: ...  # noqa: D102
    @property
    def status(self) -> str: ...  # noqa: D102
    @property
    def scores(self) -> tuple[float, ...]: ...  # noqa: D102
    @property
    def epochs(self) -> float: ...  # noqa: D102
    @property
    def seconds(self) -> float: ...  # noqa: D102
    @property
    def mean(self) -> float | None: ...  # noqa: D102
    @property
    def standard_deviation(self) -> float | None: ...  # noqa: D102
    @property
    def eligible(self) -> bool: ...  # noqa: D102


def score_name(score: str) -> str:
    """A score in words."""
    return _NAMES[score]


def trials_table(
    records: Sequence[Trial], best: Trial, settings: Sequence[str], *, score: str, folds: int, provenance: Mapping[str, str]
) -> list[Table]:
    """Tabulate a search: where it ran, and its trials from the best down.

    Args:
        records: all trials.
        best: the chosen one.
        settings: dotted names of what was varied.
        score: what was scored, e.g. "macro_auroc".
        folds: of a complete trial.
        provenance: what the figures were computed on, name -> text.

    Returns:
        Two tables.
    """
    header = ("trial", *_labels(settings).values(), score_name(score), "folds", "epochs", "seconds", "")
    lower = score == "log_loss"
    ranked = sorted(records, key=lambda record: (not record.eligible, _rank(record, lower=lower)))
    rows = []
    for record in ranked[:SHOWN]:
        mean = "n/a" if record.mean is None else f"{record.mean:.4f}"
        if record.standard_deviation is not None:
            mean += f" ± {record.standard_deviation:.4f}"
        remark = "chosen" if record is best else {"complete": "", "ended": "ended early", "failed": "failed"}[record.status]
        values = [_shown(record.settings[name]) if name in record.settings else "" for name in settings]
        effort = (f"{len(record.scores)} of {folds}", f"{record.epochs:.0%}", f"{record.seconds:.0f}")
        rows.append((record.trial, *values, mean, *effort, remark))
    more = f" The first {SHOWN} of {len(records)}; all are in trials.csv." if len(records) > SHOWN else ""
    note = f"Mean ± standard deviation over folds by patient. Only trials with all folds and epochs can be chosen.{more}"
    kept = "Images kept for the test are not among them."
    return [
        Table("What was searched on", tuple(provenance), (tuple(provenance.values()),), note=kept),
        Table("Trials", header, tuple(rows), note=note),
    ]


def _rank(record: Trial, *, lower: bool) -> float:
    """What sorts the better trial first."""
    if record.mean is None:
        return math.inf
    return record.mean if lower else -record.mean


def trials_figure(records: Sequence[Trial], best: Trial, settings: Sequence[str], *, score: str, title: str) -> Figure:
    """Draw the trials in their order with the best so far, and the score against each varied setting.

    Args:
        records: all trials, in their order.
        best: the chosen one; it is ringed.
        settings: dotted names of what was varied; a panel each.
        score: what was scored.
        title: first line of the title.

    Returns:
        The figure. Filled: all folds, with the range over them; hollow: ended early, the mean of the folds that were run.
    """
    scored = [(number, record) for number, record in enumerate(records) if record.mean is not None]
    panels = 1 + len(settings)
    columns = min(panels, PANELS_IN_A_ROW)
    lines = math.ceil(panels / columns)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(3.7 * columns, 3.2 * lines), layout="constrained")
        axes = list(figure.subplots(lines, columns, squeeze=False).flat)
        _draw_in_order(axes[0], scored, best, lower=score == "log_loss")
        for panel, (name, label) in zip(axes[1:], _labels(settings).items(), strict=False):
            _draw_against(panel, scored, best, name)
            panel.set_xlabel(label)
        for panel in axes[panels:]:
            panel.set_visible(False)
        for number, panel in enumerate(axes[:panels]):
            panel.grid(True)
            if number % columns == 0:
                panel.set_ylabel(f"{score_name(score)}, mean over folds")
        complete = sum(record.eligible for record in records)
        set_title(figure, title, f"{complete} of {len(records)} trials complete; hollow: ended early; bars: range over folds; ring: chosen")
    return figure


def _draw_in_order(axes: Axes, scored: Sequence[tuple[int, Trial]], best: Trial, *, lower: bool) -> None:
    running: list[tuple[int, float]] = []
    for number, record in scored:
        _mark(axes, number, record, best)
        if record.eligible and record.mean is not None:
            value = record.mean if not running else (min if lower else max)(running[-1][1], record.mean)
            running.append((number, value))
    if running:
        places, values = zip(*running, strict=True)
        axes.step([*places, scored[-1][0]], [*values, values[-1]], where="post", color=COLOURS[1], linewidth=1.4, label="best so far")
        axes.legend(loc="best")
    axes.set_xlabel("trial")
    axes.xaxis.set_major_locator(matplotlib.ticker.MaxNLocator(integer=True))


def _draw_against(axes: Axes, scored: Sequence[tuple[int, Trial]], best: Trial, name: str) -> None:
    """The score against one setting: numbers on an axis, anything else as columns."""
    varied = [record for _, record in scored if name in record.settings]
    values = [record.settings[name] for record in varied]
    numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
    if numbers and values:
        for value, record in zip(values, varied, strict=True):
            _mark(axes, value, record, best)
        if min(values) > 0 and max(values) / min(values) >= NEAR_LOG_SPAN:
            axes.set_xscale("log")
        return
    columns = sorted({_shown(value) for value in values})
    taken = dict.fromkeys(columns, 0)
    for value, record in zip(values, varied, strict=True):
        column = columns.index(_shown(value))
        # Side by side, so that equal scores do not hide each other.
        shift = (taken[columns[column]] % 5 - 2) * 0.08
        taken[columns[column]] += 1
        _mark(axes, column + shift, record, best)
    axes.set_xticks(range(len(columns)), columns, rotation=20 if sum(map(len, columns)) > 24 else 0)
    axes.set_xlim(-0.5, max(len(columns) - 0.5, 0.5))


def _mark(axes: Axes, x: float, record: Trial, best: Trial) -> None:
    assert record.mean is not None
    if record.eligible and len(record.scores) > 1:
        axes.plot([x, x], [min(record.scores), max(record.scores)], color=COLOURS[0], linewidth=0.8, alpha=0.6)
    axes.plot(x, record.mean, "o", color=COLOURS[0], markersize=5, fillstyle="full" if record.eligible else "none")
    if record is best:
        axes.plot(x, record.mean, "o", color=COLOURS[1], markersize=11, fillstyle="none", markeredgewidth=1.6)


def _labels(settings: Sequence[str]) -> dict[str, str]:
    """What a reader needs of each dotted name to tell it apart: the last part, or the last two."""
    last = [name.rpartition(".")[2] for name in settings]
    return {
        name: (end if last.count(end) == 1 else " ".join(name.split(".")[-2:])).replace("_", " ")
        for name, end in zip(settings, last, strict=True)
    }


def _shown(value: Any) -> str:
    """A value of a setting for a table or an axis."""
    if isinstance(value, float):
        return np.format_float_positional(float(f"{value:.3g}"), trim="-") if 1e-3 <= abs(value) < 1e4 or value == 0 else f"{value:.2e}"
    if isinstance(value, list | tuple):
        return "×".join(map(_shown, value)) or "[]"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]  # as in the config
    return str(value)
