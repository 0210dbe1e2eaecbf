"""Scores beside a paper's figures, and the reasons for which they are two different things."""

from __future__ import annotations

import pytest

from cxr_keras.evaluation.beside_paper import Conditions, beside_paper, why_not_comparable
from cxr_keras.papers import get_system


def reported(name: str, evaluation: str | None = None):
    entries = get_system(name).reported
    return entries[0] if evaluation is None else next(entry for entry in entries if entry.evaluation == evaluation)


def entry(value, low=None, high=None):
    return {"value": value, "low": low, "high": high, "dropped_draws": 0}


def four_class_scores() -> dict:
    classes = get_system("bozickovic/resnet50_two_stage").classes
    per_class = {label: {name: entry(0.9, 0.85, 0.94) for name in ("precision", "sensitivity", "f1")} for label in classes}
    spread = {label: {name: {"mean": 0.88} for name in ("precision", "sensitivity", "f1")} for label in classes}
    return {
        "scores": {"accuracy": entry(0.89, 0.8741, 0.90)},
        "per_class": per_class,
        "folds": {"scores": {"accuracy": {"mean": 0.885}}, "per_class": spread},
    }


def test_means_over_folds_stand_beside_means_over_folds_and_the_pooled_figure_beside_both():
    rows = beside_paper(four_class_scores(), reported("bozickovic/resnet50_two_stage"))
    assert len(rows) == 13
    accuracy, precision = rows[0], rows[1]
    assert (accuracy.metric, accuracy.ours, accuracy.pooled, accuracy.paper) == ("accuracy", 0.885, 0.89, 0.8741)
    assert accuracy.difference == pytest.approx(0.0109) and accuracy.inside is True
    assert (precision.of_class, precision.metric, precision.ours, precision.pooled) == ("bacterial", "precision", 0.88, 0.9)
    assert precision.inside is False  # 74.37 %


def test_a_figure_of_two_digits_stands_for_all_values_that_are_printed_so():
    names = ("accuracy", "macro_precision", "macro_sensitivity", "macro_f1")
    scores = {"scores": {name: entry(0.93, 0.90, 0.946) for name in names}, "folds": {"scores": {}}}
    rows = beside_paper(scores, reported("laban/mini_vgg"))
    # .95 may be .945, which [.90, .946] holds; the paper's macro recall .94 lies inside anyway.
    assert [(row.metric, row.ours, row.inside) for row in rows] == [(name, 0.93, True) for name in names]
    scores["scores"]["accuracy"] = entry(0.93, 0.90, 0.944)
    assert beside_paper(scores, reported("laban/mini_vgg"))[0].inside is False


def test_ranges_and_undefined_scores():
    row = beside_paper({"scores": {"accuracy": entry(0.8, 0.77, 0.83)}, "folds": {"scores": {}}}, reported("chapin/efficientnet_b0"))[0]
    assert (row.paper, row.difference, row.inside) == (None, None, True)
    row = beside_paper({"scores": {"accuracy": entry(None)}, "folds": {"scores": {}}}, reported("chapin/efficientnet_b0"))[0]
    assert (row.ours, row.inside) == (None, None)


def faithful(name: str, **changes) -> Conditions:
    """Conditions that meet those of a system, with some of them changed."""
    system = get_system(name)
    entry = system.reported[0]
    return Conditions(
        **{
            "classes": system.classes,
            "phantom": False,
            "permuted_labels": False,
            "patients_known": True,
            "part": entry.part,
            "sources": system.data,
            "image_size": (system.image_size, system.image_size),
            "model": system.model,
            "params": dict(system.params),
            "strategy": system.strategy or "end_to_end",
            "weights": system.weights,
            "epochs": system.epochs,
            "patience": system.patience,
            "optimistic": entry.role == "optimistic",
            "changed": (),
        }
        | changes
    )


def reasons(name: str, *, images: int | None = None, evaluation: str | None = None, **changes) -> list[str]:
    found = reported(name, evaluation)
    return why_not_comparable(faithful(name, **changes), get_system(name), found, images=images or found.images or 1)


def test_a_faithful_run_on_the_official_folders_is_comparable():
    assert reasons("chapin/cnn_94") == []


def test_split_by_patient_is_a_reason_of_its_own():
    assert reasons("laban/mini_vgg") == ["split by patient, the paper's by image"]
    assert reasons("laban/mini_vgg", patients_known=False) == []
    assert reasons("zhou/googlenet_binary") == ["split by patient, the paper does not say by what"]
    assert reasons("chapin/cnn_94", patients_known=False) == ["patients not known, overlap not excluded"]


@pytest.mark.parametrize(
    "changes, expected",
    [
        ({"phantom": True, "sources": ("phantom",)}, "drawn phantoms, no X-rays"),
        ({"permuted_labels": True}, "labels permuted between patients (negative control)"),
        ({"classes": ("healthy", "ill")}, "classes healthy, ill, the paper's normal, pneumonia"),
        ({"sources": ("class_folders",)}, "other images: class_folders, the paper's kermany"),
        ({"model": "mini_vgg"}, "architecture mini_vgg, the paper's cnn_94"),
        ({"strategy": "two_stage"}, "strategy two_stage, the paper's from_scratch"),
        ({"weights": "imagenet"}, "ImageNet weights, the paper's random weights"),
        ({"weights": "model.keras"}, "weights of the file model.keras, the paper's random weights"),
        ({"image_size": (64, 96)}, "64x96 pixels, the paper's 100x100"),
        ({"epochs": 2}, "2 epochs, fewer than the paper's 30"),
        ({"part": "folds"}, "scored on cross-validation folds, the paper on the official test folder"),
        ({"optimistic": True}, "this run chose its epochs on images that it scored again (optimistic), the paper did not"),
        (
            {"changed": tuple(f"training.key{number} 1 (2)" for number in range(6))},
            "settings unlike the shipped config: " + ", ".join(f"training.key{number} 1 (2)" for number in range(4)) + " and 2 more",
        ),
    ],
)
def test_every_other_condition_is_named(changes, expected):
    assert reasons("chapin/cnn_94", **changes) == [expected]


def test_other_numbers_of_images_are_named():
    assert reasons("chapin/cnn_94", images=620) == ["620 images scored, the paper 624"]


def test_parameters_of_the_architecture_are_compared():
    assert "batch_norm after_relu, the paper's none" in reasons("laban/mini_vgg", params={"batch_norm": "after_relu"})


def test_early_stopping_and_the_optimistic_protocol():
    name = "bozickovic/resnet50_two_stage"
    assert reasons(name) == ["split by patient, the paper's by image"]
    assert reasons(name, optimistic=False)[-1].startswith("the paper chose its epochs on images that it scored again")
    assert "no early stopping (3 epochs), the paper's patience is 15" in reasons(name, patience=None, epochs=3)
    assert "stopped after 5 epochs without improvement (40 epochs), the paper's patience is 15" in reasons(name, patience=5, epochs=40)
    assert len(reasons(name, patience=20)) == 1


def test_conditions_of_the_test_half_are_those_of_the_test_half():
    held_out = reported("zhou/googlenet_binary", "test_binary")
    assert (held_out.role, held_out.images) == ("held_out", 310)
    assert "312 images scored, the paper 310" in reasons("zhou/googlenet_binary", evaluation="test_binary", images=312)
