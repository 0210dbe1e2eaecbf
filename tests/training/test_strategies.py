import pytest

from cxr_keras.training.strategies import STRATEGIES, get_strategy, phases_of


def test_bozickovic_strategies_have_the_papers_optimizers():
    head, everything = get_strategy("two_stage").phases
    assert (head.train, head.optimizer.learning_rate, head.optimizer.epsilon) == ("head", 1e-3, 1e-7)
    assert (everything.train, everything.optimizer.learning_rate, everything.optimizer.epsilon) == ("all", 1e-5, 0.1)
    assert get_strategy("two_stage_dropout").phases == get_strategy("two_stage").phases
    assert get_strategy("two_stage_dropout").head_dropout == 0.5
    assert get_strategy("end_to_end").phases == (everything,)


def test_overrides_reach_phase_and_optimizer():
    head, everything = phases_of("two_stage", {"all": {"epochs": 3, "learning_rate": 0.1, "optimizer": "sgd"}})
    assert head == get_strategy("two_stage").phases[0]
    assert (everything.epochs, everything.optimizer.learning_rate, everything.optimizer.name) == (3, 0.1, "sgd")


@pytest.mark.parametrize("name", STRATEGIES)
def test_strategies_are_named_as_they_are_listed(name):
    assert get_strategy(name).name == name
    assert len({phase.name for phase in get_strategy(name).phases}) == len(get_strategy(name).phases)


def test_unknown_names_get_a_suggestion():
    with pytest.raises(ValueError, match="Did you mean 'two_stage'"):
        get_strategy("two_stages")
    with pytest.raises(ValueError, match="has no phase 'heads'. Its phases: head, all"):
        phases_of("two_stage", {"heads": {}})
    with pytest.raises(ValueError, match="Did you mean 'learning_rate'"):
        phases_of("two_stage", {"all": {"learning_rat": 1}})
    with pytest.raises(ValueError, match="epochs of phase 'all' is -1"):
        phases_of("end_to_end", {"all": {"epochs": -1}})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"learning_rate": 0}, "'all': learning_rate is 0.0; it must be above 0"),
        ({"learning_rate": -1.0}, "learning_rate is -1.0"),
        ({"epsilon": 0.0}, "epsilon is 0.0"),
        ({"optimizer": "sgd", "momentum": 1}, "momentum is 1.0; it must be 0 or more and below 1"),
        ({"average": 1.5}, "average is 1.5.*such as 0.999"),
        ({"momentum": 0.9}, "momentum is of sgd, and the optimizer is adam"),
        ({"optimizer": "sgd", "epsilon": 0.1}, "epsilon is of adam, and the optimizer is sgd"),
    ],
)
def test_impossible_and_idle_values_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        phases_of("end_to_end", {"all": settings})


def test_whole_numbers_become_what_keras_takes():
    (phase,) = phases_of("end_to_end", {"all": {"optimizer": "sgd", "momentum": 0, "learning_rate": 1}})
    assert isinstance(phase.optimizer.momentum, float) and isinstance(phase.optimizer.learning_rate, float)


def test_statistics_of_a_frozen_base_stay():
    with pytest.raises(ValueError, match="phase 'head': batch_norm=recalibrated would move the statistics of the base"):
        phases_of("two_stage", {"head": {"batch_norm": "recalibrated"}})
