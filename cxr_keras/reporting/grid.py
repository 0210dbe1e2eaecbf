"""A grid search as table and figure: what each value scored on the inner folds, and which value each fold chose."""

from __future__ import annotations

from collections.abc import Mapping

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cxr_keras.reporting.style import COLOURS, STYLE, set_title
from cxr_keras.reporting.tables import Table

_PANELS = {"log_loss": "log loss (nats)", "auroc": "AUROC"}
_PARAMETERS = {"C": "C (inverse penalty)", "n_neighbors": "neighbours"}


def grid_table(curves: Mapping[str, pd.DataFrame], chosen: Mapping[str, float], *, parameter: str, choose_by: str) -> Table:
    """Tabulate the score that chose, a row a value, a column a fold; the chosen value is marked, and fits that did not converge.

    Args:
        curves: fold -> mean scores over its inner folds, one row a value; `converged` where the classifier has it.
        chosen: fold -> its value.
        parameter: name of the column that holds the values.
        choose_by: name of the column that chose.
    """
    rows = []
    for value in curves[next(iter(curves))][parameter]:
        cells = []
        for name, curve in curves.items():
            row = curve[curve[parameter] == value].iloc[0]
            unfinished = _stopped_early(curve)[curve[parameter] == value].any()
            cells.append(f"{row[choose_by]:.4f}{' *' if value == chosen[name] else ''}{' !' if unfinished else ''}")
        rows.append((f"{value:g}", *cells))
    note = "* chosen. Means over the inner folds of each training part; they chose the value, so they flatter."
    if any(_stopped_early(curve).any() for curve in curves.values()):
        note += " ! not converged within the steps allowed, in one inner fold or more: that score is not of the best fit at this value."
    title = f"Grid search: {_PANELS[choose_by].partition(' (')[0]} by {_PARAMETERS[parameter].partition(' (')[0]}"
    return Table(title, (_PARAMETERS[parameter].partition(" (")[0], *curves), tuple(rows), note=note)


def _stopped_early(curve: pd.DataFrame) -> pd.Series:
    """For each row whether a fit did not converge; False where the classifier knows nothing of it."""
    if "converged" not in curve or curve["converged"].isna().all():
        return pd.Series(False, index=curve.index)
    return ~curve["converged"].astype(bool)


def grid_figure(
    curves: Mapping[str, pd.DataFrame], chosen: Mapping[str, float], *, parameter: str, choose_by: str, title: str = "Grid search"
) -> Figure:
    """Draw the scores of the inner folds against the tuned parameter; a panel a score, the one that chose first.

    Args:
        curves: fold -> one row a value: the parameter, then `log_loss` and `auroc` with `_sd`, standard deviations over the inner folds.
        chosen: fold -> its value.
        parameter: name of the column that holds the values.
        choose_by: name of the column that chose.
        title: first line of the title.

    Returns:
        The figure: a line a fold, a ring on its chosen value, a cross where a fit did not converge; with one fold the standard deviation
        over its inner folds as a band. A score that the classifier does not have has no panel.
    """
    order = [choose_by, *(name for name in _PANELS if name != choose_by)]
    shown = [name for name in order if any(curve[name].notna().any() for curve in curves.values())]
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(1.0 + 4.0 * len(shown), 3.9), layout="constrained")
        for axes, name in zip(figure.subplots(1, len(shown), squeeze=False)[0], shown, strict=True):
            for number, (fold, curve) in enumerate(curves.items()):
                _draw(axes, curve, name, chosen[fold], parameter=parameter, number=number, count=len(curves))
            axes.set_xscale("log")
            if parameter == "n_neighbors":
                tried = sorted({value for curve in curves.values() for value in curve[parameter]})
                axes.set_xticks(tried, [f"{value:g}" for value in tried])
                axes.xaxis.set_minor_locator(matplotlib.ticker.NullLocator())
            axes.set_xlabel(_PARAMETERS[parameter])
            axes.set_ylabel(f"{_PANELS[name]}, mean over inner folds")
            axes.set_title(
                "chooses: the lowest" if name == choose_by == "log_loss" else "chooses: the highest" if name == choose_by else ""
            )
            axes.grid(True)
        axes.legend(loc="best")
        what = f"{len(curves)} folds, a line each" if len(curves) > 1 else "band: ± standard deviation over inner folds"
        set_title(figure, title, f"{what}; ring: the value that was chosen")
    return figure


def _draw(axes: Axes, curve: pd.DataFrame, name: str, best: float, *, parameter: str, number: int, count: int) -> None:
    several, last = count > 1, number == count - 1
    values, scores, spread = (curve[key].to_numpy(float) for key in (parameter, name, f"{name}_sd"))
    colour = COLOURS[number % len(COLOURS)] if several else COLOURS[0]
    if not several:
        axes.fill_between(values, scores - spread, scores + spread, color=colour, alpha=0.18, linewidth=0)
    # Lines of other patterns, so that folds differ in grey too.
    pattern = ("-", "--", "-.", ":", (0, (5, 1, 1, 1)))[number % 5]
    axes.plot(
        values,
        scores,
        color=colour,
        linestyle=pattern,
        linewidth=1.4,
        marker=".",
        markersize=4,
        label=f"fold {number}" if several else None,
    )
    at = np.flatnonzero(values == best)
    label = "chosen" if last else None
    early = _stopped_early(curve).to_numpy()
    if early.any():
        axes.plot(values[early], scores[early], "x", color=colour, markersize=7, label="not converged" if last else None)
    axes.plot(values[at], scores[at], "o", color=colour, markersize=10, fillstyle="none", markeredgewidth=1.6, label=label)
