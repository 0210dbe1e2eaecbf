"""Figures: what they say and show. The pictures themselves are looked at by people."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from cxr_keras.reporting import confusion_matrix_figure, learning_curves_figure, roc_figure, save_figure
from cxr_keras.reporting.style import DOTS_PER_INCH

FOUR = ("bacterial", "covid19", "normal", "viral")


def predictions(classes=FOUR, *, n=80, folds=4, seed=0) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    truth = np.arange(n) % len(classes)
    logits = random.normal(size=(n, len(classes))) + np.eye(len(classes))[truth]
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    columns = {"fold": np.arange(n) // len(classes) % folds, "label": [classes[index] for index in truth]}
    return pd.DataFrame(columns | {f"p_{name}": probabilities[:, index] for index, name in enumerate(classes)})


def history(epochs=6, *, validation=True, phases=("head", "all")) -> pd.DataFrame:
    epoch = np.arange(1, epochs + 1)
    table = pd.DataFrame({"phase": np.repeat(phases, epochs // len(phases)), "epoch": epoch})
    table = table.assign(learning_rate=1e-3, loss=1 / epoch, accuracy=1 - 0.5 / epoch)
    if validation:
        table = table.assign(val_loss=1.2 / epoch, val_accuracy=1 - 0.6 / epoch)
    return table


def title_of(figure) -> str:
    return figure.get_suptitle()


def test_confusion_matrix_shows_counts_and_shares_of_the_true_class():
    figure = confusion_matrix_figure([[30, 10], [0, 1200]], ("normal", "pneumonia"), title="Test")
    axes = figure.axes[0]
    assert [text.get_text() for text in axes.texts] == ["30\n75.0%", "10\n25.0%", "0\n0.0%", "1,200\n100.0%"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["normal\n(n = 40)", "pneumonia\n(n = 1,200)"]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["normal", "pneumonia"]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("predicted class", "true class")
    assert title_of(figure) == "Test\n1,240 images; % of the true class"
    np.testing.assert_allclose(axes.images[0].get_array(), [[0.75, 0.25], [0, 1]])


def test_confusion_matrix_of_an_absent_class_has_no_share():
    axes = confusion_matrix_figure([[3, 1], [0, 0]], ("normal", "pneumonia")).axes[0]
    assert axes.texts[2].get_text() == "0\nn/a"


def test_confusion_matrix_must_fit_the_classes():
    with pytest.raises(ValueError, match=r"has shape \(2, 2\), but 4 classes need \(4, 4\)"):
        confusion_matrix_figure([[1, 2], [3, 4]], FOUR)


def test_roc_has_a_panel_a_class_with_folds_and_pooled_curve():
    figure = roc_figure(predictions(), FOUR, title="ResNet50")
    assert [axes.get_title().split(":")[0] for axes in figure.axes] == list(FOUR)
    for axes in figure.axes:
        assert len(axes.lines) == 1 + 4 + 1  # chance, folds, pooled
        assert [text.get_text() for text in axes.get_legend().get_texts()] == [
            "chance",
            "single folds",
            "4 folds pooled",
        ]
    assert title_of(figure) == "ResNet50\neach class against the rest"
    assert "specificity" in figure.get_supxlabel() and "sensitivity" in figure.get_supylabel()


def test_roc_of_two_classes_is_of_the_last_and_matches_the_auroc():
    from sklearn.metrics import roc_auc_score

    table = predictions(("normal", "pneumonia"), folds=1)
    figure = roc_figure(table, ("normal", "pneumonia"))
    (axes,) = figure.axes
    expected = roc_auc_score(table["label"] == "pneumonia", table["p_pneumonia"])
    assert axes.get_title() == f"pneumonia: AUROC {expected:.3f}"
    false_rate, true_rate = axes.lines[-1].get_data()
    assert np.trapezoid(true_rate, false_rate) == pytest.approx(expected)
    assert "pneumonia (positive) against normal" in title_of(figure)


def test_roc_shows_the_interval_that_it_is_given():
    scores = {
        "interval": {"draws": 2000, "level": 0.95},
        "per_class": {name: {"auroc": {"value": 0.9, "low": 0.85, "high": 0.94}} for name in FOUR},
    }
    figure = roc_figure(predictions(), FOUR, scores=scores)
    assert figure.axes[0].get_title() == "bacterial: AUROC 0.900 [0.850, 0.940]"
    assert "[95% interval, patients resampled]" in title_of(figure)


def test_roc_of_a_class_without_images_is_not_available():
    table = predictions(FOUR)
    figure = roc_figure(table[table["label"] != "viral"], FOUR)
    assert figure.axes[3].get_title() == "viral: AUROC n/a"
    assert len(figure.axes[3].lines) == 1


def test_learning_curves_of_folds_with_their_mean_and_phases():
    figure = learning_curves_figure([("fold 0", history()), ("fold 1", history(8))], title="ResNet50")
    loss, accuracy = figure.axes
    assert loss.get_ylabel() == "loss (cross-entropy, nats)"
    assert accuracy.get_ylabel() == "accuracy (share of images)"
    assert loss.get_xlabel() == accuracy.get_xlabel() == "epoch"
    assert [text.get_text() for text in loss.get_legend().get_texts()] == ["training", "validation"]
    assert [text.get_text() for text in loss.texts] == ["head", "all"]
    means = [line for line in loss.lines if line.get_label() in ("training", "validation")]
    np.testing.assert_array_equal(means[0].get_xdata(), np.arange(1, 7))  # the epochs that both have
    np.testing.assert_allclose(means[0].get_ydata(), 1 / np.arange(1, 7))
    assert title_of(figure) == "ResNet50\nthick: mean over the epochs that all 2 have, thin: fold 0 to fold 1"


def test_learning_curves_name_the_part_that_they_score():
    figure = learning_curves_figure([("split", history())], scored_part="test (nothing is chosen on it)")
    assert [text.get_text() for text in figure.axes[0].get_legend().get_texts()] == ["training", "test (nothing is chosen on it)"]


def test_learning_curves_without_validation_or_phases():
    figure = learning_curves_figure([("seed 0", history(validation=False, phases=("all",)))])
    loss = figure.axes[0]
    assert [text.get_text() for text in loss.get_legend().get_texts()] == ["training"]
    assert len(loss.lines) == 1 and not loss.texts


def test_learning_curves_say_all_that_is_missing():
    with pytest.raises(ValueError, match=r"fold 0 lacks the column loss; fold 1 lacks the columns phase, epoch; .*fold 2"):
        learning_curves_figure(
            [
                ("fold 0", history().drop(columns="loss")),
                ("fold 1", history().drop(columns=["phase", "epoch"])),
                ("fold 2", history().iloc[:0]),
            ]
        )
    with pytest.raises(ValueError, match="no history was given"):
        learning_curves_figure([])


def test_saved_as_png_of_print_resolution(tmp_path):
    figure = confusion_matrix_figure(np.eye(4, dtype=int), FOUR)
    path = save_figure(figure, tmp_path / "figures" / "confusion.png")
    with Image.open(path) as image:
        assert image.format == "PNG"
        assert image.size == tuple(int(inches * DOTS_PER_INCH) for inches in figure.get_size_inches())
        assert len(image.convert("L").getcolors(256) or []) > 10
    assert [found.name for found in path.parent.iterdir()] == ["confusion.png"]


def test_only_png(tmp_path):
    with pytest.raises(ValueError, match=r"let it end in \.png"):
        save_figure(confusion_matrix_figure([[1, 0], [0, 1]], ("a", "b")), tmp_path / "confusion.pdf")


def test_long_titles_stay_inside_the_figure():
    long = "mini_vgg with batch normalisation after each ReLU, official Kermany test folder, seed 3 of 3"
    figure = confusion_matrix_figure([[1, 0], [0, 1]], ("normal", "pneumonia"), title=long)
    assert title_of(figure).replace("\n", " ").startswith(long)
    figure.canvas.draw()
    box = figure._suptitle.get_window_extent()
    assert box.x0 >= 0 and box.x1 <= figure.bbox.x1
