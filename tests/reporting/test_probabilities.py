"""Figures of the probabilities themselves: what they say and show."""

from __future__ import annotations

import numpy as np
import pytest

from cxr_keras.evaluation.calibration import calibration
from cxr_keras.evaluation.locked import score_locked
from cxr_keras.evaluation.thresholds import operating_points
from cxr_keras.reporting import calibration_figure, roc_figure, save_figure, score_histograms_figure, thresholds_figure

FOUR = ("bacterial", "covid19", "normal", "viral")
TWO = ("normal", "pneumonia")


def line_of(axes, label):
    return next(line for line in axes.lines if line.get_label() == label)


def test_calibration_before_and_after_with_the_images_under_it(predictions):
    found, _ = calibration(predictions(TWO, n=400), draws=50)
    upper, lower = calibration_figure(found, title="mini_vgg").axes
    for key, label in (("before", "as predicted"), ("after", "after temperature scaling")):
        rows = found["reliability"][key]["pneumonia"]
        x, y = line_of(upper, label).get_data()
        assert list(x) == [row["predicted"] for row in rows] and list(y) == [row["observed"] for row in rows]
    assert "images" in lower.get_ylabel() and len(lower.patches) == 2
    heights = lower.patches[0].get_data().values
    assert heights.sum() == 400


def test_calibration_without_a_temperature_has_one_curve_and_a_panel_a_class(predictions):
    found, _ = calibration(predictions(FOUR, folds=1), draws=0)
    figure = calibration_figure(found)
    assert len(figure.axes) == 8 and "interval" not in figure.get_suptitle() and "after" not in figure.get_suptitle()
    assert [axes.get_title() for axes in figure.axes[::2]] == list(FOUR)


def test_histograms_count_the_class_and_the_others(predictions):
    table = predictions(FOUR)
    axes = score_histograms_figure(table, FOUR).axes[0]
    others, own = axes.patches
    assert own.get_data().values.sum() == pytest.approx(1) and others.get_data().values.sum() == pytest.approx(1)
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["other classes (n = 60)", "bacterial (n = 20)"]
    (axes,) = score_histograms_figure(predictions(TWO), TWO).axes
    assert axes.get_xlabel() == "predicted probability of pneumonia" and axes.get_legend().get_texts()[0].get_text() == "normal (n = 40)"


def test_thresholds_show_rates_and_chosen_points(predictions):
    table = predictions(TWO, n=400)
    points = operating_points(table, draws=0)
    (axes,) = thresholds_figure(table, TWO, points=points).axes
    thresholds, sensitivity = line_of(axes, "sensitivity").get_data()
    at = np.searchsorted(thresholds, 0.7)
    assert sensitivity[at] == pytest.approx((table.loc[table["label"] == "pneumonia", "p_pneumonia"] >= thresholds[at]).mean())
    specificity = line_of(axes, "specificity").get_ydata()
    assert specificity[at] == pytest.approx((table.loc[table["label"] == "normal", "p_pneumonia"] < thresholds[at]).mean())
    shown = [text.get_text() for text in axes.get_legend().get_texts()][2:]
    assert [text.split(":")[0] for text in shown] == ["0.5", "youden", "sensitive", "guaranteed"]
    own = points[0]["scores"]
    assert f"({own['sensitivity']['value']:.3f} / {own['specificity']['value']:.3f})" in shown[0]


def test_thresholds_are_of_two_classes(predictions):
    with pytest.raises(ValueError, match="of two classes; these are bacterial, covid19"):
        thresholds_figure(predictions(FOUR), FOUR)


def test_vector_files_stay_small_with_thousands_of_images(predictions, tmp_path):
    table = predictions(TWO, n=6000)
    save_figure(thresholds_figure(table, TWO, points=operating_points(table, draws=0)), tmp_path / "thresholds.png", svg=True)
    assert (tmp_path / "thresholds.svg").stat().st_size < 1_000_000


def test_images_of_one_class_are_drawn_as_far_as_they_go(predictions):
    table = predictions(TWO)
    sick = table[table["label"] == "pneumonia"]
    points = score_locked(operating_points(table, draws=0), sick, draws=0)
    (axes,) = thresholds_figure(sick, TWO, points=points).axes
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert "specificity" not in labels and labels[0] == "sensitivity" and "/ n/a)" in labels[1]
    assert [line.get_label() for line in roc_figure(sick, TWO, points=points).axes[0].lines] == ["chance"]
    calibration_figure(calibration(sick.assign(fold=0), draws=0)[0])
    score_histograms_figure(sick, TWO)
