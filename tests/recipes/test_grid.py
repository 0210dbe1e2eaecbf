import pandas as pd
import pytest

from cxr_keras.cli.grid import GRID_SAMPLE, grid_arguments
from cxr_keras.config.loader import load_config
from cxr_keras.recipes.grid import MODELS, PAPER_STRATEGIES, cell_config, cells_of, paper_layout, run_grid
from cxr_keras.recipes.weights import check_model
from cxr_keras.runs.files import read_json


def test_every_cell_of_the_paper_equals_its_shipped_config():
    base = load_config("resnet50")
    for model in MODELS:
        for strategy in PAPER_STRATEGIES:
            shipped = load_config(model if strategy == "two_stage" else f"{model}_{strategy}")
            cell = cell_config(base, model=model, strategy=strategy)
            own = {"name", "description"}
            assert cell.model_dump(exclude=own) == shipped.model_dump(exclude=own)


def test_weights_of_a_cell_may_be_named_after_its_model():
    base = load_config("resnet50", ["model.weights=bases/{model}_notop.h5"])
    assert cell_config(base, model="xception", strategy="two_stage").model.weights == "bases/xception_notop.h5"
    with pytest.raises(ValueError, match="bases/inception_v3_notop.h5.*no such file"):
        cells_of(with_images(base), models=["inception_v3"], strategies=["two_stage"])
    cells = cells_of(with_images(base), models=["inception_v3"], strategies=["two_stage"], weights_needed=False)
    assert list(cells) == [("inception_v3", "two_stage")]


def with_images(config):
    return config.model_copy(update={"data": config.data.model_copy(update={"sources": ("kermany:/no/such",)})})


def test_axes_are_taken_out_of_the_arguments():
    axes, rest = grid_arguments(["models=[resnet50, xception]", "seed=1", "strategies=two_stage"], sample=False)
    assert axes == {"models": ["resnet50", "xception"], "strategies": ["two_stage"]} and rest == ["resnet50", "seed=1"]
    assert grid_arguments(["mini_vgg", "seed=1"], sample=True) == ({}, ["mini_vgg", *GRID_SAMPLE, "seed=1"])


def test_the_sample_fits_every_cell_of_the_paper():
    sample = load_config("resnet50", GRID_SAMPLE, sample=True)
    for model in MODELS:
        cell = cell_config(sample, model=model, strategy="two_stage")
        check_model(cell.model, image_size=cell.data.image_size, folds=range(1))


def test_the_layout_is_that_of_the_papers_table():
    spread = {"mean": 0.8412, "standard_deviation": 0.1, "undefined_folds": 0}
    none = {"mean": None, "standard_deviation": None, "undefined_folds": 5}
    of_class = {"precision": none, "sensitivity": spread, "f1": spread}
    scores = {
        "classes": ["bacterial", "viral"],
        "folds": {"scores": {"accuracy": spread}, "per_class": {"bacterial": of_class, "viral": of_class}},
    }
    table = paper_layout({("resnet50", "two_stage"): scores}, models=["resnet50"], strategies=["two_stage"])
    assert table.rows[0] == ("resnet50", "bacterial", "84.12", "n/a", "84.12", "0.84")
    assert table.rows[1] == ("", "viral", "", "n/a", "84.12", "0.84")


@pytest.mark.parametrize(
    ("axes", "message"),
    [
        ({"models": ["resnet5"]}, "Did you mean 'resnet50'"),
        ({"strategies": ["two_stage", "two_stage"]}, "different names"),
        ({"models": ["resnet50", "mini_vgg"], "strategies": ["two_stages"]}, "Did you mean 'two_stage'"),
    ],
)
def test_wrong_names_are_refused_before_anything_runs(tmp_path, axes, message):
    with pytest.raises(ValueError, match=message):
        run_grid(load_config("resnet50"), tmp_path / "grid", **axes)
    assert not (tmp_path / "grid").exists()


def test_a_small_grid_shares_its_folds_and_prints_both_tables(cxr, tmp_path):
    axes = ["models=mini_vgg", "strategies=from_scratch,end_to_end"]
    phases = [
        "training.phases={all: {epochs: 1, patience: null}}",
        "training.keep=last",
        "data.labels=binary",
        "augmentation.mode=each_epoch",
    ]
    settings = [
        "model.params={}",
        "model.weights=null",
        "cross_validation.validation=0",
        "augmentation.classes=all",
        "training.strategy=end_to_end",
    ]
    code, output, errors = cxr("cv", "resnet50", "--grid", *axes, *phases, *settings)
    assert code == 0, errors
    assert "layout of Table II" in output and output.count("PHANTOM") >= 2
    run = tmp_path / "runs" / "resnet50-grid-cv"
    folds = [read_json(run / f"mini_vgg_{strategy}" / "folds.json")["folds"] for strategy in ("from_scratch", "end_to_end")]
    assert folds[0] == folds[1]
    assert set(read_json(run / "grid.json")) == {"mini_vgg_from_scratch", "mini_vgg_end_to_end"}
    tables = [pd.read_csv(run / f"mini_vgg_{strategy}" / "predictions.csv") for strategy in ("from_scratch", "end_to_end")]
    assert set(tables[0]["image_id"]) == set(tables[1]["image_id"])
