"""An audit from a finished run to its files, and the images that it must not touch."""

from __future__ import annotations

import pandas as pd
import pytest

from cxr_keras.data.looks import LOOKS
from cxr_keras.recipes.audit import audit
from cxr_keras.recipes.report import report
from cxr_keras.runs.files import read_json, write_text

SMALL = ("data.image_size=[16, 16]", "data.batch_size=8", "training.phases.all.epochs=1", "evaluation.bootstrap_draws=100",
         "evaluation.mistakes_shown=0")  # fmt: skip


def test_a_run_is_audited_on_images_that_its_model_did_not_train_on(cxr, tmp_path):
    code, _, errors = cxr("train", "mini_vgg", "split.validation=0.3", "split.curves_on_test=false", "--run", "one", settings=SMALL)
    assert code == 0, errors
    caches = sorted((tmp_path / "cache" / "pixels").iterdir())
    code, output, errors = cxr("audit", "one", settings=())
    assert code == 0, errors
    assert sorted((tmp_path / "cache" / "pixels").iterdir()) == caches
    assert "One class with another look" in output and "data phantom" in output and "PHANTOM" in output + errors
    told = read_json(tmp_path / "one" / "audit" / "audit.json")
    parts = pd.read_csv(tmp_path / "one" / "split" / "parts.csv")
    assert told["images"] == (parts["part"] == "validation").sum()
    assert [(row["look"], row["class"]) for row in told["looks"]] == [
        (look.name, label) for look in LOOKS for label in ("normal", "pneumonia")
    ]
    assert (tmp_path / "one" / "audit" / "audit.png").stat().st_size and (tmp_path / "one" / "audit" / "summary.md").stat().st_size
    page = report([tmp_path / "one"], mistakes=0).read_text()
    assert "Audit of looks." in page and 'alt="One class with another look"' in page and "Not tested yet:" in page
    predictions = pd.read_csv(tmp_path / "one" / "audit" / "predictions.csv")
    assert len(predictions) == told["images"] * (len(LOOKS) + 1)
    own = pd.read_csv(tmp_path / "one" / "split" / "validation_predictions.csv").set_index("image_id")["p_pneumonia"]
    plain = predictions[predictions["look"] == "as it is"].set_index("image_id")["p_pneumonia"]
    assert plain.to_numpy() == pytest.approx(own.loc[plain.index].to_numpy(), abs=1e-6)

    for path, old, new in ((tmp_path / "one" / "config.yaml", "kind: grouped", "kind: official"),
                           (tmp_path / "one" / "split" / "parts.csv", "validation", "train")):  # fmt: skip
        assert old in path.read_text()
        write_text(path, path.read_text().replace(old, new))
    with pytest.raises(ValueError, match="All that this run held out are official test images"):
        audit(tmp_path / "one")


@pytest.mark.slow  # the other test runs the whole of it on a split
def test_folds_are_audited_each_by_its_own_model(cxr, tmp_path):
    code, _, errors = cxr("cv", "mini_vgg", "cross_validation.folds=2", "--run", "folds", settings=SMALL)
    assert code == 0, errors
    told = audit(tmp_path / "folds", out=tmp_path / "elsewhere", draws=400)
    assert told["images"] == len(pd.read_csv(tmp_path / "folds" / "predictions.csv"))
    assert (tmp_path / "elsewhere" / "audit.json").exists() and not (tmp_path / "folds" / "audit").exists()
