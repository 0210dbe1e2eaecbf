"""A grid search as table and figure."""

import numpy as np
import pandas as pd

from cxr_keras.reporting.grid import grid_figure, grid_table


def curve(best, *, parameter="C", values=(0.1, 1.0, 10.0), log_loss=True):
    distance = np.abs(np.log10(values) - np.log10(best))
    nothing = np.full(len(values), np.nan)
    return pd.DataFrame(
        {
            parameter: values,
            "log_loss": 0.3 + distance / 10 if log_loss else nothing,
            "log_loss_sd": 0.02 if log_loss else nothing,
            "auroc": 0.9 - distance / 10,
            "auroc_sd": 0.01,
        }
    )


def test_the_table_marks_what_each_fold_chose():
    table = grid_table({"fold-0": curve(1.0), "fold-1": curve(10.0)}, {"fold-0": 1.0, "fold-1": 10.0}, parameter="C", choose_by="log_loss")
    assert table.header == ("C", "fold-0", "fold-1") and [row[0] for row in table.rows] == ["0.1", "1", "10"]
    assert table.rows[1] == ("1", "0.3000 *", "0.4000") and table.rows[2] == ("10", "0.4000", "0.3000 *")
    assert "they flatter" in table.note


def test_fits_that_did_not_converge_are_marked():
    unfinished = curve(1.0).assign(converged=[True, True, False])
    asked = {"parameter": "C", "choose_by": "log_loss"}
    table = grid_table({"fold-0": unfinished, "fold-1": curve(1.0)}, {"fold-0": 1.0, "fold-1": 1.0}, **asked)
    assert table.rows[2] == ("10", "0.4000 !", "0.4000") and "! not converged" in table.note
    figure = grid_figure({"split": unfinished}, {"split": 1.0}, **asked)
    assert [line.get_xdata().tolist() for line in figure.axes[0].get_lines() if line.get_marker() == "x"] == [[10.0]]


def test_the_figure_has_a_line_a_fold_and_a_ring_on_what_was_chosen():
    figure = grid_figure({"fold-0": curve(1.0), "fold-1": curve(10.0)}, {"fold-0": 1.0, "fold-1": 10.0}, parameter="C", choose_by="auroc")
    first, second = figure.axes
    assert first.get_ylabel().startswith("AUROC") and second.get_ylabel().startswith("log loss") and first.get_title()
    rings = [line.get_xdata().tolist() for line in first.get_lines() if line.get_marker() == "o"]
    assert rings == [[1.0], [10.0]] and len(first.collections) == 0


def test_one_split_has_a_band_and_a_missing_score_no_panel():
    values = (1, 5, 25)
    shown = curve(5, parameter="n_neighbors", values=values, log_loss=False)
    figure = grid_figure({"split": shown}, {"split": 5}, parameter="n_neighbors", choose_by="auroc")
    (axes,) = figure.axes
    assert len(axes.collections) == 1 and [tick.get_text() for tick in axes.get_xticklabels()] == ["1", "5", "25"]
