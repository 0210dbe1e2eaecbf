"""What a run refuses before it reads an image."""

import pytest

from cxr_keras.config.loader import load_config
from cxr_keras.recipes.grid import cells_of
from cxr_keras.recipes.run import open_run


@pytest.mark.parametrize(
    ("name", "verb", "overrides", "key"),
    [
        ("googlenet_binary", "train", ["split.kind=grouped"], "split.validation=0.15"),
        ("resnet50", "train", ["split.validation=0"], "split.validation=0.15"),
        ("resnet50", "cv", ["cross_validation.validation=0"], "cross_validation.validation=0.15"),
    ],
)
def test_an_epoch_cannot_be_chosen_without_a_validation_part(tmp_path, name, verb, overrides, key):
    with pytest.raises(ValueError, match=key):
        open_run(load_config(name, overrides), tmp_path / "run", verb=verb)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("name", "overrides", "message"),
    [
        ("resnet50", ["cross_validation.protocol=bozickovic", "model.weights='a-{fold}.h5'"], "begins with a split that is no fold"),
        ("cnn_94", ["augmentation.appearance={noise: 3}"], "would give the class away"),
        ("cnn_94", ["training.phases.all.average=0.99"], "batch_norm to recalibrated"),
        ("resnet50", ["training.phases.all={average: 0.9, batch_norm: recalibrated}"], "choose one of them"),
        ("mini_vgg", ["evaluation.validation_appearance={noise: 3}"], "would alter the test images"),
        ("mini_vgg", ["model.params.auxiliary=true"], "auxiliary outputs are not saved"),
        ("resnet50", ["training.save_optimizer=true", "training.phases.all.epochs=0"], "the last phase trains the head alone"),
        ("cnn_94", ["training.class_weights={normal: 0, pneumonia: 1}"], "class_weights has normal: 0; expected numbers above 0"),
        ("cnn_94", ["training.phases.all.learning_rate=0"], "learning_rate is 0.0; it must be above 0"),
        ("cnn_94", ["seeds=[0, 3000000000]"], "seeds.1"),
    ],
)
def test_settings_that_contradict_each_other(name, overrides, message):
    with pytest.raises(ValueError, match=message):
        load_config(name, overrides)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("training.class_weights={normal: 1, sick: 2}", "unknown: .'sick'."),
        ("augmentation.classes=[covid19]", "augmentation.classes names covid19"),
    ],
)
def test_classes_that_the_images_do_not_have_are_refused_before_images_are_decoded(phantom, tmp_path, override, message):
    config = load_config("cnn_94", [f"data.sources=[phantom:{phantom}]", override])
    with pytest.raises(ValueError, match=message):
        open_run(config, tmp_path / "run", verb="train")
    assert not (tmp_path / "run").exists()


def test_a_prevalence_is_of_two_classes(phantom, tmp_path):
    config = load_config(
        "cnn_94",
        [f"data.sources=[phantom:{phantom}]", "data.label_map={pneumonia: skip}", "data.labels=as_given", "evaluation.prevalence=0.1"],
    )
    with pytest.raises(ValueError, match="a prevalence is of two classes"):
        open_run(config, tmp_path / "run", verb="train")


def test_every_cell_of_a_grid_is_checked_before_the_first_runs(phantom):
    config = load_config("resnet50", [f"data.sources=[phantom:{phantom}]", "model.weights=null", "data.image_size=[64, 64]"])
    with pytest.raises(ValueError, match="efficientnet_b0 has layers in its base that draw at random"):
        cells_of(config, models=["efficientnet_b0"], strategies=["end_to_end", "two_stage"])


def test_a_section_that_is_empty_takes_the_samples(tmp_path):
    (tmp_path / "mine.yaml").write_text("name: mine\ntraining:\nmodel: {name: mini_vgg}\ndata: {}\n")
    assert load_config(str(tmp_path / "mine.yaml"), [], sample=True).training.phases["all"]["epochs"] > 0
    (tmp_path / "mine.yaml").write_text("name: mine\nmodel:\ndata: {}\n")
    with pytest.raises(ValueError, match="model"):
        load_config(str(tmp_path / "mine.yaml"), [], sample=True)
