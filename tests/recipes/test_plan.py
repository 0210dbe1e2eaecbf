import pytest

from cxr_keras.config.loader import load_config
from cxr_keras.recipes.plan import fitting_verb, plan_run
from cxr_keras.training.measure import Timing


@pytest.fixture
def small(phantom, monkeypatch):
    """A config on few small images; every step takes two seconds."""
    monkeypatch.setattr("cxr_keras.recipes.plan.time_training", lambda *_, **options: Timing(2.0, 1))
    monkeypatch.setattr("cxr_keras.recipes.plan.time_prediction", lambda *_, **options: Timing(0.0, 3))
    sizes = [f"data.sources=[phantom:{phantom}]", "data.image_size=[16, 16]", "data.resize=stretch", "data.batch_size=8"]
    return lambda *overrides, name="mini_vgg": load_config(name, [*sizes, *overrides])


def test_the_verb_is_the_one_that_the_split_is_made_for(small, capsys):
    assert fitting_verb(load_config("mini_vgg")) == "cv"
    assert fitting_verb(load_config("resnet152_binary")) == "train"
    official = small("split.kind=official", "split.curves_on_test=false")
    assert plan_run(official)["jobs"] == 1
    assert "Plan of `cxr train mini_vgg`, as split.kind is official; --cv plans folds instead" in capsys.readouterr().out
    assert plan_run(official, verb="cv")["jobs"] == 5
    assert "Plan of `cxr cv mini_vgg`. " in capsys.readouterr().out


def test_time_is_steps_by_epochs_by_jobs_and_the_steps_timed_are_told(small, capsys):
    answer = plan_run(small("seeds=[0, 1]", "cross_validation.folds=2"))
    steps = -(-answer["images"]["training"] // 8)
    assert answer["jobs"] == 4 and answer["seconds_per_job"] == 2.0 * steps * 30 and answer["seconds"] == 4 * answer["seconds_per_job"]
    output, errors = capsys.readouterr()
    assert "1 step" in output and "timing: mini_vgg, prediction, 8 images at a time" in errors


def test_parameters_and_disk_are_printed_before_anything_is_timed(small, monkeypatch, capsys):
    def stop(*_, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("cxr_keras.recipes.plan.time_prediction", stop)
    with pytest.raises(KeyboardInterrupt):
        plan_run(small())
    output, errors = capsys.readouterr()
    assert "550,114 trainable" in output and "MB models" in output and "timing: mini_vgg" in errors
