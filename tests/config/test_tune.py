import re
from pathlib import Path

import pytest
import yaml

from cxr_keras.config.loader import load_config
from cxr_keras.recipes.trial import with_settings
from cxr_keras.recipes.tune import check_search

RATE = "training.phases.all.learning_rate"


def searched(space, *overrides):
    return load_config("mini_vgg", [f"tune={{space: {space}}}", *overrides])


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ("{}", "expected at least one setting"),
        (f"{{{RATE}: {{low: 0.1, high: 0.01}}}}", "low and a larger high; got low 0.1 and high 0.01"),
        (f"{{{RATE}: {{low: 0, high: 1, scale: log}}}}", "a log scale begins above 0"),
        (f"{{{RATE}: {{low: 0.1, values: [1]}}}}", "not both"),
        (f"{{{RATE}: [0.1, 0.1]}}", "expected different ones"),
        ("{data.batch_size: {low: 8, high: 64, step: 0.5}}", "step must be too"),
        ("{split.test: [0.1, 0.2]}", "split.test cannot be varied"),
        ("{data.labels: [binary, three]}", "data.labels would change what a trial is scored on"),
        (f"{{{RATE}: {{values: [1, 2], when: {{training.strategy: [two_stage]}}}}}}", "training.strategy is not in the space"),
        (f"{{{RATE}: {{values: [1, 2], lowest: 1}}}}", "unknown key"),
    ],
)
def test_an_impossible_space_is_refused(space, message):
    with pytest.raises(ValueError, match=message):
        searched(space)


def test_hyperband_refuses_what_it_decides_itself():
    with pytest.raises(ValueError, match="hyperband has as many trials.*hyperband sets the epochs itself"):
        load_config("mini_vgg", ["tune={search: hyperband, trials: 5, space: {training.phases.all.epochs: [1, 2]}}"])


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ("{training.phases.all.speed: [1, 2]}", "speed"),
        ("{training.phases.head.epochs: [1, 2]}", "head"),
        ("{model.params.depth: [1, 2]}", "depth"),
        ("{model.params.conv_dropout: {low: 0.0, high: 0.5}, data.image_size: [[64, 64], [4, 4]]}", "must be 8 to 4096 pixels"),
        (f"{{{RATE}.deep: [1, 2]}}", "reaches below 'learning_rate'"),
        ("{model.name: [mini_vgg, no_such]}", "no_such"),
    ],
)
def test_a_value_that_is_impossible_by_itself_is_refused_before_anything_starts(space, message):
    with pytest.raises(ValueError, match=message):
        check_search(searched(space))


def test_a_setting_is_tried_with_what_enables_it():
    check_search(
        searched(
            "{training.strategy: [from_scratch, two_stage], "
            "training.phases.head.epochs: {low: 2, high: 4, when: {training.strategy: [two_stage]}}}",
            "split.curves_on_test=false",
            "split.validation=0.1",
            "cross_validation.validation=0.1",
            "training.frozen_base=in_loop",
        )
    )


def test_the_example_of_the_documentation_can_be_searched():
    text = (Path(__file__).parents[2] / "docs" / "tune.md").read_text()
    [example] = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    section = yaml.safe_load(example)["tune"]
    told = ("split.validation=0.1", "cross_validation.validation=0.1", "training.frozen_base=in_loop")
    assert all(setting.partition("=")[0] in text for setting in told)
    check_search(load_config("efficientnet_b0", [f"tune={section}", *told]))


def test_what_no_search_can_do_is_refused():
    with pytest.raises(ValueError, match="has no section `tune`"):
        check_search(load_config("cnn_94"))
    with pytest.raises(ValueError, match="give seed instead of seeds"):
        check_search(searched(f"{{{RATE}: [0.1, 0.2]}}", "seeds=[0, 1]"))
    with pytest.raises(ValueError, match="cross_validation.protocol=plain"):
        check_search(searched(f"{{{RATE}: [0.1, 0.2]}}", "cross_validation.protocol=bozickovic"))
    with pytest.raises(ValueError, match="split.validation=0.15"):
        check_search(
            searched(f"{{{RATE}: [0.1, 0.2]}}", "training.keep=best", "split.curves_on_test=false", "cross_validation.validation=0.1")
        )


def test_settings_of_a_trial_stand_in_its_config():
    config = searched(f"{{{RATE}: [0.1, 0.2], model.params.conv_dropout: [0.0, 0.5]}}")
    made = with_settings(config, {RATE: 0.2, "model.params.conv_dropout": 0.5}, origin="a trial", epochs=1 / 3)
    assert made.training.phases["all"]["learning_rate"] == 0.2 and made.model.params["conv_dropout"] == 0.5
    assert made.training.phases["all"]["epochs"] == 10 and made.tune is None
    assert config.training.phases["all"]["learning_rate"] == 0.05
