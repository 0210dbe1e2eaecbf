"""Figures: what they say and show. The pictures themselves are looked at by people."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from cxr_keras.reporting import confusion_matrix_figure, learning_curves_figure, save_figure
from cxr_keras.reporting.style import DOTS_PER_INCH

FOUR = ("bacterial", "covid19", "normal", "viral")


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
    assert title_of(figure) == "Learning curves\nseed 0\nno validation part in this run"


def test_learning_curves_of_one_split_do_not_name_it():
    assert title_of(learning_curves_figure([("split", history())], title="mini_vgg")) == "mini_vgg"


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


def test_an_svg_beside_it_is_the_same_each_time(tmp_path):
    for name in ("one", "other"):
        save_figure(confusion_matrix_figure(np.eye(4, dtype=int), FOUR), tmp_path / f"{name}.png", svg=True)
    one, other = ((tmp_path / f"{name}.svg").read_bytes() for name in ("one", "other"))
    assert one == other and one.startswith(b"<?xml") and b"<svg" in one[:600] and b"dc:date" not in one


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
