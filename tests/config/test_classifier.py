"""The section `classifier`, and that no setting beside it is silently without effect."""

import pytest

from cxr_keras.config.loader import load_config, read_config, to_yaml


@pytest.mark.parametrize(
    "setting",
    [
        "data.batch_size=16",
        "augmentation.horizontal_flip=true",
        "augmentation={mode: copies, rotation_degrees: 10}",
        "training.strategy=two_stage",
        "training.phases={all: {epochs: 3}}",
        "training.keep=best",
        "training.class_weights=balanced",
        "split.curves_on_test=true",
        "split.kind=official_halves",
        "cross_validation.protocol=bozickovic",
        "cross_validation.validation=0.2",
        "evaluation.batch_size=8",
        "evaluation.mistakes_shown=3",
        "evaluation.validation_appearance={noise: 3.0}",
    ],
)
def test_a_setting_without_effect_is_refused_with_the_reason(setting):
    key = setting.partition("=")[0]
    with pytest.raises(ValueError, match=rf"a classifier on stored features makes no use of .*{key}.* \(.+\)\. Leave them out"):
        load_config("vgg16_features", [setting])


def test_all_such_settings_are_named_at_once_and_networks_have_them():
    with pytest.raises(ValueError, match=r"data.batch_size .*; training.keep .*; evaluation.batch_size"):
        load_config("vgg16_features", ["data.batch_size=16", "training.keep=best", "evaluation.batch_size=8"])
    assert load_config("mini_vgg", ["evaluation.batch_size=8"]).classifier is None


@pytest.mark.parametrize(
    "setting", ["training.precision=mixed_bfloat16", "training.save_models=false", "split.validation=0.2", "split.kind=official",
                "evaluation.bootstrap_draws=100", "seeds=[0, 1]", "data.stored_size=[256, 256]"]
)  # fmt: skip
def test_settings_with_an_effect_are_taken(setting):
    load_config("vgg16_features", [setting])


def test_the_resolved_config_says_what_has_an_effect_and_loads_again(tmp_path):
    for sample in (False, True):
        config = load_config("vgg16_features", ["training.precision=mixed_bfloat16"], sample=sample)
        text = to_yaml(config)
        assert "batch_size" not in text and "augmentation" not in text and "epochs" not in text and "precision: mixed_bfloat16" in text
        (tmp_path / "config.yaml").write_text(text)
        assert read_config(tmp_path / "config.yaml") == config


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["classifier.grid=[]"], "expected one or more different values above 0"),
        (["classifier.grid=[1, 1]"], "expected one or more different values above 0"),
        (["classifier.kind=nearest_neighbours"], "numbers of neighbours are whole .grid=null"),
        (["classifier.kind=nearest_neighbours", "classifier.grid=null", "classifier.class_weights=balanced"], "no meaning for nearest"),
        (["classifier.kind=linear_svm", "classifier.choose_by=log_loss"], "only decision scores"),
        (["classifier.kind=linear_svm", "classifier.tolerance=0.1"], "tolerance belong to logistic_regression"),
        (["classifier.class_weights={normal: 0, pneumonia: -1}"], "class_weights has normal: 0, pneumonia: -1; expected numbers above 0"),
        (["classifier.kind=forest"], "classifier.kind"),
        (["classifier.layers=features"], "unknown key 'classifier.layers'. Did you mean 'layer'"),
    ],
)
def test_a_classifier_that_cannot_be_is_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        load_config("vgg16_features", settings)


def test_a_network_s_config_becomes_a_classifier_s_only_with_a_word_on_what_is_left_over():
    with pytest.raises(ValueError, match="data.batch_size .*training.class_weights .say it as classifier.class_weights"):
        load_config("mini_vgg", ["classifier.kind=logistic_regression"])
