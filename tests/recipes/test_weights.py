import shutil

import keras
import numpy as np
import pandas as pd
import pytest

import models_zoo
from cxr_keras.config.loader import load_config, shipped_configs, to_yaml
from cxr_keras.config.schema import ModelSection
from cxr_keras.data.manifest import write_manifest
from cxr_keras.recipes.weights import check_model, lineage_of, model_of, weights_of_fold


def run_directory(folder, parts, *, model=False):
    """A run directory with one fold; `parts` maps image_id to part, and the patient is the image_id's first letter."""
    rows = [
        {
            "image_id": image,
            "path": f"/nowhere/{image}",
            "label": "normal",
            "patient_id": image[0],
            "group_id": image[0],
            "source": "test",
            "split": "",
            "sha256": image.encode().hex().zfill(64),
            "width": 10,
            "height": 10,
        }
        for image in sorted(parts)
    ]
    write_manifest(pd.DataFrame(rows), folder / "manifest.csv")
    fold = folder / "fold-0"
    fold.mkdir()
    pd.DataFrame({"image_id": list(parts), "part": list(parts.values())}).to_csv(fold / "parts.csv", index=False)
    if model:
        models_zoo.build("mini_vgg", (16, 16), 2).save(fold / "model.keras")
    return fold


def test_weights_that_saw_a_held_out_patient_are_refused(tmp_path):
    (tmp_path / "old").mkdir()
    (tmp_path / "new").mkdir()
    run_directory(tmp_path / "old", {"a1": "train", "a2": "train", "b1": "test", "c1": "train"}, model=True)
    fold = run_directory(tmp_path / "new", {"a1": "train", "a2": "train", "b1": "train", "c1": "test"})
    model = ModelSection(name="mini_vgg", weights=str(tmp_path / "old" / "fold-{fold}" / "model.keras"))
    with pytest.raises(ValueError, match="1 images that fold 0 holds out"):
        weights_of_fold(model, fold=0, folder=fold)


def test_weights_of_the_same_folds_are_taken_and_start_the_base(tmp_path):
    parts = {"a1": "train", "b1": "test", "c1": "train"}
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
    old = run_directory(tmp_path / "old", parts, model=True)
    fold = run_directory(tmp_path / "new", parts)
    path = weights_of_fold(ModelSection(name="mini_vgg", weights=str(old.parent / "fold-{fold}/model.keras")), fold=0, folder=fold)
    taken, trained = models_zoo.build("mini_vgg", (16, 16), 3, weights=path), keras.saving.load_model(path)
    name = "block1_conv1"
    assert np.array_equal(np.array(taken.get_layer(name).kernel), np.array(trained.get_layer(name).kernel))


@pytest.mark.parametrize("new", [{"a1": "train", "b1": "test", "c1": "validation"}, {"a1": "validation", "b1": "test", "c1": "train"}])
def test_a_validation_part_may_choose_twice_but_not_be_trained_on(tmp_path, new):
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
    old = run_directory(tmp_path / "old", {"a1": "train", "b1": "test", "c1": "validation"}, model=True)
    fold = run_directory(tmp_path / "new", new)
    section = ModelSection(name="mini_vgg", weights=str(old / "model.keras"))
    if new["c1"] == "validation":
        assert weights_of_fold(section, fold=0, folder=fold) == old / "model.keras"
        return
    with pytest.raises(ValueError, match="1 images that fold 0 holds out"):
        weights_of_fold(section, fold=0, folder=fold)


def test_weights_are_followed_back_to_what_they_began_with(tmp_path, capsys):
    for name in ("first", "second", "classifier", "new"):
        (tmp_path / name).mkdir()
    first = run_directory(tmp_path / "first", {"a1": "train", "b1": "train", "c1": "test"}, model=True)
    second = run_directory(tmp_path / "second", {"b1": "train", "c1": "test"}, model=True)
    kept = run_directory(tmp_path / "classifier", {"b1": "train", "c1": "test"}) / "base" / "model.keras"
    kept.parent.mkdir()
    (second / "model.keras").rename(kept)
    (first / "model.keras").rename(second / "model.keras")
    for run, weights in (("first", None), ("second", tmp_path / "first/fold-{fold}/model.keras"), ("classifier", second / "model.keras")):
        config = load_config("mini_vgg", [] if weights is None else [f"model.weights={weights}"])
        (tmp_path / run / "config.yaml").write_text(to_yaml(config))
    (first / "model.keras").touch()
    fold = run_directory(tmp_path / "new", {"a1": "test", "b1": "train", "c1": "train"})
    for path in (second / "model.keras", kept):
        assert lineage_of(path).folds[-1] == first and lineage_of(path).unknown is None
        with pytest.raises(ValueError, match=r"1 images that fold 0 holds out \(in .*first/fold-0\)"):
            weights_of_fold(ModelSection(name="mini_vgg", weights=str(path)), fold=0, folder=fold)
    shutil.rmtree(tmp_path / "first")
    assert lineage_of(kept) == ((second,), tmp_path / "first" / "fold-0" / "model.keras")
    weights_of_fold(ModelSection(name="mini_vgg", weights=str(kept)), fold=0, folder=fold)
    assert "first/fold-0/model.keras: the images they were trained on are not recorded" in capsys.readouterr().err


def test_unrecorded_weights_are_named(tmp_path, capsys):
    (tmp_path / "new").mkdir()
    fold = run_directory(tmp_path / "new", {"a1": "train", "b1": "test"})
    models_zoo.build("mini_vgg", (16, 16), 2).save(tmp_path / "found.keras")
    weights_of_fold(ModelSection(name="mini_vgg", weights=str(tmp_path / "found.keras")), fold=0, folder=fold)
    assert "not recorded" in capsys.readouterr().err


def test_every_fold_needs_its_file(tmp_path):
    models_zoo.build("mini_vgg", (16, 16), 2).save(tmp_path / "0.keras")
    with pytest.raises(ValueError, match="1.keras"):
        check_model(ModelSection(name="mini_vgg", weights=str(tmp_path / "{fold}.keras")), image_size=(16, 16), folds=range(2))


def test_a_value_that_a_parameter_cannot_have_is_refused():
    with pytest.raises(ValueError, match="normalisation: got 'foo', expected 'batch' or 'local_response' or 'none'"):
        check_model(ModelSection(name="googlenet", params={"normalisation": "foo"}), image_size=(64, 64), folds=range(1))


def test_the_dropout_of_a_strategy_is_checked_with_the_parameters():
    config = load_config("resnet50_two_stage_dropout")
    assert model_of(config).params == {"dropout": 0.5, "dense": [256]} and config.model.params == {"dense": [256]}
    assert model_of(load_config("resnet50_two_stage_dropout", ["model.params.dropout=0.1"])).params["dropout"] == 0.1
    other = load_config("resnet50_two_stage_dropout", ["model.name=mini_vgg", "model.params={}", "model.weights=null"])
    with pytest.raises(ValueError, match="'dropout' is unknown. Did you mean 'conv_dropout'"):
        check_model(model_of(other), image_size=(64, 64), folds=range(1))


def test_small_images_are_refused():
    with pytest.raises(ValueError, match=r"resnet50 needs images of 32 pixels or more; data.image_size is \[16, 16\]"):
        check_model(ModelSection(name="resnet50"), image_size=(16, 16), folds=range(1))


@pytest.mark.parametrize("name", shipped_configs())
def test_every_shipped_config_names_a_model_that_takes_its_images(name):
    for sample in (False, True):
        config = load_config(name, ["model.weights=null"], sample=sample)
        check_model(config.model, image_size=config.data.image_size, folds=range(1))
