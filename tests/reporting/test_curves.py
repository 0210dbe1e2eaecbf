"""ROC and precision-recall curves: what they say and show."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from cxr_keras.evaluation.thresholds import operating_points
from cxr_keras.reporting import precision_recall_figure, roc_figure
from cxr_keras.reporting.overlay import roc_overlay_figure

FOUR = ("bacterial", "covid19", "normal", "viral")
TWO = ("normal", "pneumonia")


def legend_of(axes) -> list[str]:
    return [text.get_text() for text in axes.get_legend().get_texts()]


def line_of(axes, label):
    return next(line for line in axes.lines if line.get_label() == label)


@pytest.mark.parametrize(("draw", "chance"), [(roc_figure, "chance"), (precision_recall_figure, "share of the class (25%)")])
def test_a_panel_a_class_with_the_band_of_the_folds(predictions, draw, chance):
    figure = draw(predictions(FOUR), FOUR, title="ResNet50")
    assert [axes.get_title().split(":")[0] for axes in figure.axes] == list(FOUR)
    for axes in figure.axes:
        assert legend_of(axes) == [chance, "lowest to highest of 4 folds", "4 folds pooled"]
        assert len(axes.collections) == 1
    assert figure.get_suptitle() == "ResNet50\neach class against the rest"
    assert "sensitivity" in figure.get_supxlabel() + figure.get_supylabel()


def test_areas_are_those_in_the_titles(predictions):
    table = predictions(TWO, folds=1)
    positive = table["label"] == "pneumonia"
    (axes,) = roc_figure(table, TWO).axes
    false_rate, true_rate = line_of(axes, "all images").get_data()
    expected = roc_auc_score(positive, table["p_pneumonia"])
    assert np.trapezoid(true_rate, false_rate) == pytest.approx(expected) and axes.get_title() == f"pneumonia: AUROC {expected:.3f}"
    (axes,) = precision_recall_figure(table, TWO).axes
    recall, precision = line_of(axes, "all images").get_data()
    expected = average_precision_score(positive, table["p_pneumonia"])
    # Steps-pre: a corner's precision holds to the left of it.
    assert line_of(axes, "all images").get_drawstyle() == "steps-pre"
    assert (np.diff(recall) * precision[1:]).sum() == pytest.approx(expected) and axes.get_title() == f"pneumonia: AUPRC {expected:.3f}"


@pytest.mark.parametrize("draw", [roc_figure, precision_recall_figure])
def test_the_band_holds_the_curve_of_every_fold(predictions, draw):
    table = predictions(TWO, n=400)
    band = draw(table, TWO).axes[0].collections[0].get_paths()[0].vertices
    for _, rows in table.groupby("fold"):
        x, y = line_of(draw(rows, TWO).axes[0], "all images").get_data()
        for place in (0.102, 0.302, 0.702, 0.902):  # between the corners, which lie at fiftieths
            at = y[np.searchsorted(x, place, side="left")] if draw is precision_recall_figure else y[np.searchsorted(x, place, "right") - 1]
            edge = band[np.isclose(band[:, 0], place, atol=1e-6), 1]
            assert edge.min() - 1e-9 <= at <= edge.max() + 1e-9


def test_operating_points_lie_where_they_were_scored(predictions):
    table = predictions(TWO, n=400)
    points = operating_points(table, draws=0)
    roc, precision_recall = (draw(table, TWO, points=points).axes[0] for draw in (roc_figure, precision_recall_figure))
    for point in points:
        scores = {name: entry["value"] for name, entry in point["scores"].items()}
        x, y = line_of(roc, point["name"]).get_data()
        assert (x[0], y[0]) == (1 - scores["specificity"], scores["sensitivity"])
        x, y = line_of(precision_recall, point["name"]).get_data()
        assert (x[0], y[0]) == (scores["sensitivity"], scores["precision"])
    assert {point["name"] for point in points} <= set(legend_of(roc))


def test_a_point_without_a_threshold_is_not_drawn(predictions):
    table = predictions(TWO)
    points = operating_points(table, draws=0)
    assert points[3]["scores"] is None and "guaranteed" not in legend_of(roc_figure(table, TWO, points=points).axes[0])


def test_the_interval_that_it_is_given_is_shown(predictions):
    entry = {"value": 0.9, "low": 0.85, "high": 0.94}
    scores = {"interval": {"draws": 2000, "level": 0.95}, "per_class": {name: {"auroc": entry, "auprc": entry} for name in FOUR}}
    figure = roc_figure(predictions(FOUR), FOUR, scores=scores)
    assert figure.axes[0].get_title() == "bacterial: AUROC 0.900 [0.850, 0.940]"
    assert "[95% interval, patients resampled]" in figure.get_suptitle()
    assert precision_recall_figure(predictions(FOUR), FOUR, scores=scores).axes[0].get_title() == "bacterial: AUPRC 0.900 [0.850, 0.940]"


def test_a_class_without_images_is_not_available(predictions):
    table = predictions(FOUR)
    figure = roc_figure(table[table["label"] != "viral"], FOUR)
    assert figure.axes[3].get_title() == "viral: AUROC n/a"
    assert [line.get_label() for line in figure.axes[3].lines] == ["chance"]


def test_curves_of_several_runs_lie_over_each_other_with_their_areas(predictions):
    interval = {"draws": 2000, "level": 0.95}
    entry = {"value": 0.9, "low": 0.85, "high": 0.94}
    scores = {"interval": interval, "per_class": {name: {"auroc": entry} for name in FOUR}}
    tables = [predictions(FOUR, seed=seed) for seed in range(9)]
    tables[1] = tables[1][tables[1]["label"] != "viral"]
    figure = roc_overlay_figure([(f"run {seed}", table, scores) for seed, table in enumerate(tables)], FOUR)
    assert [axes.get_title() for axes in figure.axes] == list(FOUR)
    assert legend_of(figure.axes[0]) == [f"run {seed}: 0.900 [0.850, 0.940]" for seed in range(9)]
    assert len(figure.axes[3].lines) == 1 + 8  # chance, and the runs with images of the class
    looks = {(line.get_color(), line.get_linestyle()) for line in figure.axes[0].lines}
    assert len(looks) == 10
    (axes,) = roc_overlay_figure([("one", predictions(TWO), scores | {"per_class": {"pneumonia": {"auroc": entry}}})], TWO).axes
    assert axes.get_title() == "pneumonia"
