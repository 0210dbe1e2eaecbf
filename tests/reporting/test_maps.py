import dataclasses

import numpy as np
import pytest
from PIL import Image

from cxr_keras.reporting.embeddings import embeddings_figure
from cxr_keras.reporting.maps import MapPicture, map_figure, maps_montage_figure, shortened, verdict
from cxr_keras.reporting.montage import LabelledPicture, label_montage_figure
from cxr_keras.reporting.style import save_figure


def picture(*, label="pneumonia", predicted="pneumonia", evidence=None, method="grad_cam"):
    image = np.full((32, 40), 100.0)
    spot = np.zeros((32, 40))
    spot[8:12, 20:26] = 2.5
    return MapPicture(image, spot if evidence is None else evidence, "kermany/IM-0001", label, predicted, 0.93, method, predicted)


def words_of(figure):
    return " ".join(
        [figure._suptitle.get_text(), *(axes.get_title() + " " + axes.get_xlabel() + " " + axes.get_ylabel() for axes in figure.axes)]
    )


def test_a_map_names_image_label_prediction_probability_and_unit():
    words = words_of(map_figure(picture(label="normal")))
    for part in (
        "kermany/IM-0001",
        "label normal",
        "predicted pneumonia, probability 0.930 ✗",
        "grad_cam for pneumonia",
        "gradient of the logit",
    ):
        assert part in words
    assert "label" not in words_of(map_figure(picture(label=""))).replace("no label", "")
    assert "for pneumonia" not in words_of(map_figure(picture(method="activation")))


def test_the_colour_bar_reaches_the_highest_evidence_and_the_rest_of_the_x_ray_is_seen(tmp_path):
    figure = map_figure(picture())
    overlay = figure.axes[1].images[1]
    assert overlay.get_clim() == (0, 2.5)
    assert overlay.cmap(0.0)[3] == 0 and overlay.cmap(1.0)[3] > 0.6
    with Image.open(save_figure(figure, tmp_path / "map.png")) as image:
        assert image.size[0] > 1000


def test_a_map_says_how_fine_it_is_and_what_decided():
    found = dataclasses.replace(picture(), grid=(4, 5), decided="≥ 0.100, guaranteed", probability=0.1)
    words = words_of(map_figure(found))
    assert "grad_cam for pneumonia, map of 4 × 5 cells" in words and "probability 0.100 (≥ 0.100, guaranteed) ✓" in words
    figure = maps_montage_figure([found, dataclasses.replace(found, grid=(8, 8))], title="run")
    assert figure.axes[0].get_title() == "✓ pneumonia 0.10\n(≥ 0.100, guaranteed)"
    assert "maps of 4 × 5 or 8 × 8 cells" in figure._suptitle.get_text()
    assert "cells" not in words_of(map_figure(picture()))
    labelled = LabelledPicture(np.zeros((8, 8)), "a", "normal", "pneumonia", 0.1, decided="≥ 0.100")
    assert label_montage_figure([labelled], title="run").axes[0].get_title() == "✗ pneumonia 0.10\n(≥ 0.100)"


def test_the_colour_bar_is_opaque_and_shows_what_lies_over_mid_grey():
    figure = map_figure(picture())
    bar, overlay = figure.axes[2].collections[-1], figure.axes[1].images[1]
    assert bar.get_clim() == overlay.get_clim()
    for value in (0.0, 0.5, 1.0):
        *colour, opacity = overlay.cmap(value)
        seen = bar.cmap(value)
        assert seen[3] == 1
        assert seen[:3] == pytest.approx([part * opacity + 0.5 * (1 - opacity) for part in colour], abs=0.01)


def test_a_map_without_evidence_says_so():
    assert "nothing in this map speaks for the class" in words_of(map_figure(picture(evidence=np.zeros((32, 40)))))


def test_maps_that_cannot_be_drawn_are_refused():
    with pytest.raises(ValueError, match=r"the image is \(32, 40\) and its map \(4, 4\)"):
        map_figure(picture(evidence=np.zeros((4, 4))))
    with pytest.raises(ValueError, match="positive part"):
        map_figure(picture(evidence=np.full((32, 40), -1.0)))
    with pytest.raises(ValueError, match="at least one"):
        maps_montage_figure([], title="x")
    with pytest.raises(ValueError, match="at least one"):
        label_montage_figure([], title="x")


def test_right_and_wrong_differ_by_sign_colour_and_line():
    assert verdict("a", "a")[0] == "✓" and verdict("a", "b")[0] == "✗" and verdict("", "b")[0] == ""
    assert len({verdict("a", "a")[1], verdict("a", "b")[1], verdict("", "b")[1]}) == 3
    figure = maps_montage_figure([picture(), picture(label="normal")], title="run")
    right, wrong = figure.axes[:2]
    assert right.get_title() == "✓ pneumonia 0.93" and wrong.get_title() == "✗ pneumonia 0.93"
    assert right.spines["left"].get_linestyle() != wrong.spines["left"].get_linestyle()


def test_the_montage_of_labels_counts_what_is_right_and_keeps_every_image():
    pictures = [LabelledPicture(np.zeros((8, 8)), f"image-{i}", "normal", "normal" if i else "pneumonia", 0.8) for i in range(8)]
    figure = label_montage_figure(pictures, title="run")
    assert "7 of 8 as labelled" in figure._suptitle.get_text()
    shown = [axes for axes in figure.axes if axes.get_visible()]
    assert [axes.get_xlabel().splitlines()[0] for axes in shown] == [f"image-{i}" for i in range(8)]
    unknown = label_montage_figure([LabelledPicture(np.zeros((8, 8)), "a", "", "normal", 0.8)], title="run")
    assert "as labelled" not in unknown._suptitle.get_text() and "no label" in unknown.axes[0].get_xlabel()


def test_long_ids_keep_their_ends():
    long = "kermany/" + "x" * 40 + "-0001-0002"
    assert len(shortened(long)) <= 30 and shortened(long).startswith("kermany/") and shortened(long).endswith("0001-0002")


def test_embeddings_mark_the_misclassified_in_every_panel():
    points = np.random.default_rng(0).normal(size=(6, 2))
    labels, predicted = ["a", "a", "a", "b", "b", "b"], ["a", "a", "b", "b", "b", "b"]
    panels = {("PCA", "before"): points, ("PCA", "after"): points, ("t-SNE", "before"): points, ("t-SNE", "after"): points}
    figure = embeddings_figure(panels, labels, predicted, title="run", notes={"before": "silhouette 0.1"})
    assert len(figure.axes) == 4 and figure.axes[0].get_title() == "before\nsilhouette 0.1"
    for axes in figure.axes:
        assert [len(drawn.get_offsets()) for drawn in axes.collections] == [3, 3, 1]
    words = [text.get_text() for text in figure.legends[0].get_texts()]
    assert words == ["a (3)", "b (3)", "misclassified (1)"]
    shares = {("PCA", "before"): (0.314, 0.1)}
    figure = embeddings_figure(panels, labels, predicted, title="run", notes={}, variance=shares)
    assert figure.axes[0].get_xlabel() == "PCA 1 (31% of the variance)" and figure.axes[0].get_ylabel() == "PCA 2 (10% of the variance)"
    assert figure.axes[1].get_xlabel() == "PCA 1"
    with pytest.raises(ValueError, match="differ in number"):
        embeddings_figure(panels, labels[:5], predicted, title="run", notes={})
