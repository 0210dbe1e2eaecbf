"""The papers' figures: transcription, completeness, and what the loader makes of them."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import yaml

from cxr_keras.papers import get_system, list_systems, yardsticks

REPOSITORY = Path(__file__).resolve().parents[2]
BASES = ("resnet50", "inception_v3", "inception_resnet_v2", "xception")
STRATEGIES = ("end_to_end", "two_stage", "two_stage_dropout")


def printed(name: str, evaluation: str) -> dict:
    reported = {entry.evaluation: entry for entry in get_system(name).reported}[evaluation]
    return {(figure.of_class, figure.metric): figure.printed for figure in reported.figures}


def test_every_system_of_the_four_papers_is_there():
    assert set(list_systems()) == {
        *(f"laban/{name}" for name in ("mini_vgg", "mini_vgg_batch_norm", "vgg16_features")),
        *(f"bozickovic/{base}_{strategy}" for base in BASES for strategy in STRATEGIES),
        *(f"zhou/{base}_{task}" for base in ("resnet152", "densenet161", "googlenet") for task in ("binary", "three")),
        *(f"zhou/{name}" for name in ("googlenet_binary_imagenet", "googlenet_three_imagenet", "alexnet_binary", "vgg16_binary_scratch")),
        *(f"chapin/{name}" for name in ("cnn_94", "cnn_v2", "efficientnet_b0")),
    }


@pytest.mark.parametrize("path", sorted((REPOSITORY / "configs").glob("*.yaml")), ids=lambda path: path.stem)
def test_the_system_that_a_shipped_config_names_is_known_and_has_its_model_and_size(path):
    config = yaml.safe_load(path.read_text(encoding="utf-8"))
    if "paper" in config:
        system = get_system(config["paper"])
        assert config["data"]["image_size"] == [system.image_size] * 2
        assert system.model == config["model"]["name"]
        assert system.strategy in ("", config.get("training", {}).get("strategy"))
        assert (system.weights == "random") == (config["model"]["weights"] is None)


def test_the_table_of_bozickovic_is_whole():
    systems = [get_system(f"bozickovic/{base}_{strategy}") for base in BASES for strategy in STRATEGIES]
    figures = [figure for system in systems for figure in system.reported[0].figures]
    per_class = [figure for figure in figures if figure.of_class]
    assert len(per_class) == 12 * 4 * 3 and len(figures) == 12 * (1 + 4 * 3)
    # Sums of the printed columns, added up apart from the file, against a slip in a single number.
    sums = {"accuracy": 1052.21, "precision": 4208.84, "sensitivity": 4231.53, "f1": 42.09}
    for metric, expected in sums.items():
        column = [float(figure.printed.removesuffix("%")) for figure in figures if figure.metric == metric]
        assert sum(column) == pytest.approx(expected, abs=1e-6)


def test_accuracy_of_the_twelve_runs_of_bozickovic():
    table = """
        resnet50             87.75  87.41  89.97
        inception_v3         87.96  86.07  87.43
        inception_resnet_v2  87.41  85.40  87.96
        xception             89.48  87.86  87.51"""
    for base, *values in (line.split() for line in table.split("\n")[1:]):
        for strategy, value in zip(STRATEGIES, values, strict=True):
            assert printed(f"bozickovic/{base}_{strategy}", "five_folds")["", "accuracy"] == f"{value}%"


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("base", BASES)
def test_the_numbers_of_a_run_of_bozickovic_go_together(base, strategy):
    # F1 of mean precision and mean sensitivity is near the mean F1 of five folds; accuracy lies between the sensitivities.
    reported = get_system(f"bozickovic/{base}_{strategy}").reported[0]
    value = {(figure.of_class, figure.metric): figure.value for figure in reported.figures}
    for label in get_system(f"bozickovic/{base}_{strategy}").classes:
        precision, sensitivity = value[label, "precision"], value[label, "sensitivity"]
        assert value[label, "f1"] == pytest.approx(2 * precision * sensitivity / (precision + sensitivity), abs=0.008)
    sensitivities = [value[label, "sensitivity"] for label in get_system(f"bozickovic/{base}_{strategy}").classes]
    assert min(sensitivities) < value["", "accuracy"] < max(sensitivities)


def test_one_row_of_every_paper_as_printed():
    assert printed("bozickovic/resnet50_two_stage_dropout", "five_folds") == {
        ("", "accuracy"): "89.97%",
        **{("bacterial", key): text for key, text in zip(("precision", "sensitivity", "f1"), ("80.26%", "84.90%", "0.82"), strict=True)},
        **{("covid19", key): text for key, text in zip(("precision", "sensitivity", "f1"), ("97.78%", "99.31%", "0.99"), strict=True)},
        **{("normal", key): text for key, text in zip(("precision", "sensitivity", "f1"), ("99.26%", "95.19%", "0.97"), strict=True)},
        **{("viral", key): text for key, text in zip(("precision", "sensitivity", "f1"), ("82.57%", "81.42%", "0.82"), strict=True)},
    }
    macro = ("macro_precision", "macro_sensitivity", "macro_f1")
    for name, accuracy, values in (
        ("mini_vgg", "95%", ("0.95", "0.94", "0.95")),
        ("mini_vgg_batch_norm", "95%", ("0.95", "0.95", "0.95")),
        ("vgg16_features", "97%", ("0.97", "0.96", "0.96")),
    ):
        assert printed(f"laban/{name}", "held_out_quarter") == {("", "accuracy"): accuracy} | {
            ("", metric): value for metric, value in zip(macro, values, strict=True)
        }
    assert printed("chapin/cnn_94", "official_test") == {("", "accuracy"): "94.6%", ("pneumonia", "f1"): "95.7%"}
    assert printed("chapin/cnn_v2", "official_test") == {("", "accuracy"): "75.7%", ("pneumonia", "f1"): "76.0%"}


@pytest.mark.parametrize(
    "name, evaluation, accuracy, auroc, f1",
    [
        ("resnet152_binary", "validation_binary", "0.962", "0.956", "0.969"),
        ("densenet161_binary", "validation_binary", "0.965", "0.957", "0.972"),
        ("googlenet_binary", "validation_binary", "0.968", "0.965", "0.974"),
        ("googlenet_binary", "test_binary", "0.932", "0.980", "0.947"),
        ("googlenet_binary_imagenet", "validation_binary", "0.971", "0.969", "0.977"),
        ("resnet152_three", "validation_three", "0.892", "0.965", "0.883"),
        ("densenet161_three", "validation_three", "0.920", "0.973", "0.918"),
        ("densenet161_three", "test_three", "0.913", "0.980", "0.904"),
        ("googlenet_three", "validation_three", "0.911", "0.958", "0.904"),
        ("googlenet_three_imagenet", "validation_three", "0.898", "0.979", "0.893"),
    ],
)
def test_the_figures_of_zhou(name, evaluation, accuracy, auroc, f1):
    found = printed(f"zhou/{name}", evaluation)
    if "binary" in evaluation:
        assert found == {("", "accuracy"): accuracy, ("", "auroc"): auroc, ("pneumonia", "f1"): f1}
    else:
        assert found == {("", "accuracy"): accuracy, ("", "macro_auroc"): auroc, ("", "macro_f1"): f1}


OF_TWO_CLASSES = ("resnet152_binary", "densenet161_binary", "googlenet_binary", "googlenet_binary_imagenet")


@pytest.mark.parametrize("name", [*(f"zhou/{name}" for name in OF_TWO_CLASSES), "chapin/cnn_94"])
def test_the_f1_of_two_classes_can_only_be_that_of_pneumonia(name):
    """Of all confusion matrices that give the printed accuracy, some give the printed F1 of pneumonia and none that macro F1."""
    for reported in get_system(name).reported:
        value = {(figure.of_class, figure.metric): figure for figure in reported.figures}
        counts = reported.images_by_class or {"normal": 234, "pneumonia": 390}
        normal, sick = counts["normal"], counts["pneumonia"]
        of_pneumonia, macro = [], []
        for errors in range(normal + sick):
            accuracy = 1 - errors / (normal + sick)
            if not value["", "accuracy"].low <= accuracy <= value["", "accuracy"].high:
                continue
            for missed in range(max(0, errors - normal), min(errors, sick) + 1):
                pneumonia = 2 * (sick - missed) / (2 * (sick - missed) + errors)
                healthy = 2 * (normal - errors + missed) / (2 * (normal - errors + missed) + errors)
                of_pneumonia.append(pneumonia)
                macro.append((pneumonia + healthy) / 2)
        f1 = value["pneumonia", "f1"]
        assert any(f1.low <= found <= f1.high for found in of_pneumonia)
        assert not any(f1.low <= found <= f1.high for found in macro)


def test_counts_of_images_by_class_add_up():
    for name in list_systems():
        for reported in get_system(name).reported:
            assert not reported.images_by_class or sum(reported.images_by_class.values()) == reported.images
            assert set(reported.images_by_class) in (set(), set(get_system(name).classes))


def test_what_is_printed_stands_for_a_range_of_values():
    accuracy = get_system("bozickovic/resnet50_end_to_end").reported[0].figures[0]
    expected = ("accuracy", "", "87.75%", "0.8775", 0.8775, pytest.approx(0.87745), pytest.approx(0.87755))
    assert dataclasses.astuple(accuracy) == expected
    f1 = get_system("laban/mini_vgg").reported[0].figures[-1]
    assert (f1.value, f1.low, f1.high) == (0.95, pytest.approx(0.945), pytest.approx(0.955))
    # A trailing zero that the paper prints says more than none.
    test = {entry.evaluation: entry for entry in get_system("zhou/googlenet_binary").reported}["test_binary"]
    auroc = {figure.metric: figure for figure in test.figures}["auroc"]
    assert (auroc.printed, auroc.low, auroc.high) == ("0.980", pytest.approx(0.9795), pytest.approx(0.9805))


def test_a_printed_range_has_ends_and_no_value():
    accuracy = get_system("chapin/efficientnet_b0").reported[0].figures[0]
    assert accuracy.value is None and accuracy.shown == "0.50 to 0.84"
    assert (accuracy.low, accuracy.high) == (pytest.approx(0.495), pytest.approx(0.845))


@pytest.mark.parametrize("name", ["alexnet_binary", "vgg16_binary_scratch"])
def test_what_the_authors_gave_up_has_no_figures_and_says_so(name):
    system = get_system(f"zhou/{name}")
    assert system.reported == () and "print no figures" in system.note


@pytest.mark.parametrize(
    "name, message",
    [
        ("laban/minivgg", "Did you mean 'laban/mini_vgg'?"),
        ("mini_vgg", "Did you mean 'laban/mini_vgg'?"),
        ("bozickovic/resnet50", "Did you mean 'bozickovic/resnet50_two_stage'?"),
        ("chapin/something", "Those of chapin: chapin/cnn_94, chapin/cnn_v2, chapin/efficientnet_b0"),
        ("nobody/q", "Expected PAPER/SYSTEM with a paper of laban, bozickovic, zhou, chapin"),
    ],
)
def test_an_unknown_system_gets_a_suggestion(name, message):
    with pytest.raises(ValueError) as raised:
        get_system(name)
    assert message in str(raised.value) and repr(name) in str(raised.value)


def test_yardsticks_have_figures():
    rows = yardsticks().rows
    assert (yardsticks().images, yardsticks().classes) == (624, ("normal", "pneumonia"))
    assert [row.accuracy for row in rows] == ["0.83", "0.854", "0.864", "0.942", "0.928", "0.916", "0.946"]
    assert [row.auroc for row in rows] == ["", "0.944", "0.956", "", "0.968", "0.989", "0.991"]
