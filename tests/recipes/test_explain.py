"""`cxr explain` on a small cross-validated run on phantoms; the run is made once for the module."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import h5py
import keras
import numpy as np
import pandas as pd
import pytest

from cxr_keras.cli import app as application
from cxr_keras.data.manifest import read_manifest
from cxr_keras.evaluation import read_ledger
from cxr_keras.recipes import explain_check, explain_curves
from cxr_keras.recipes.explain import explain
from cxr_keras.recipes.explain_check import check_maps
from cxr_keras.recipes.explain_check_tables import curve_table, trust_table, verdict_of
from cxr_keras.recipes.explain_curves import spread_over_models
from cxr_keras.recipes.explain_embeddings import embed
from cxr_keras.recipes.explain_folder import folder_for, new_folder
from cxr_keras.recipes.explain_images import EVERY_MODEL, choose_images, given_images, held_out_images, with_calls
from cxr_keras.recipes.explain_maps import columns_to_explain, map_images, method_maker
from cxr_keras.recipes.explain_montage import montage
from cxr_keras.recipes.report import report

SETTINGS = (
    "data.image_size=[16, 16]",
    "data.resize=stretch",
    "data.batch_size=8",
    "model.name=mini_resnet",
    "model.params={widths: [4, 6], blocks: 1}",
    "training.phases={all: {epochs: 1}}",
    "training.save_optimizer=false",
    "cross_validation.folds=2",
    "evaluation.bootstrap_draws=100",
)


@pytest.fixture(scope="module")
def finished(phantom, tmp_path_factory):
    folder = tmp_path_factory.mktemp("explained")
    line = [sys.executable, "-m", "cxr_keras.cli.app", "cv", "mini_vgg", f"data.sources=[phantom:{phantom}]", *SETTINGS, "--run", "run"]
    done = subprocess.run(
        line, cwd=folder, env=os.environ | {"CXR_CACHE": str(folder / "cache")}, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def run(finished, tmp_path, monkeypatch):
    monkeypatch.setenv("CXR_CACHE", str(finished / "cache"))
    shutil.copytree(finished / "run", tmp_path / "run")
    return tmp_path / "run"


def test_a_sample_gives_pictures_maps_and_a_table_that_join_by_image_id(run):
    table = explain(run, sample=2, seed=3)
    folder = run / "explanations" / "hires_cam"
    assert sorted(table["label"]) == ["normal", "normal", "pneumonia", "pneumonia"]
    assert {path.name for path in folder.iterdir()} == {"explanation.json", "images", "maps.csv", "maps.h5", "montage.png"}
    written = pd.read_csv(folder / "maps.csv")
    assert written["image_id"].tolist() == table["image_id"].tolist() and all((folder / name).is_file() for name in written["picture"])
    with h5py.File(folder / "maps.h5") as file:
        assert file["image_id"].asstr()[:].tolist() == table["image_id"].tolist() and file["maps"].shape[0] == 4
    predictions = pd.read_csv(run / "predictions.csv").set_index("image_id").loc[table["image_id"]]
    assert (table["model"].to_numpy() == "fold-" + predictions["fold"].astype(str).to_numpy()).all()
    assert json.loads((folder / "explanation.json").read_text())["largest_difference_from_predictions"] < 1e-4
    again = explain(run, sample=2, seed=3, out=run.parent / "again")
    assert again["image_id"].tolist() == table["image_id"].tolist()
    assert set(explain(run, sample=2, seed=4, pictures=False, out=run.parent / "other")["image_id"]) != set(table["image_id"])


def test_every_image_is_mapped_by_the_model_that_did_not_train_on_it(run):
    table = explain(run, every=True, method="cam")
    assert set(table["image_id"]) == set(pd.read_csv(run / "predictions.csv")["image_id"]) and not table["image_id"].duplicated().any()
    for fold in (0, 1):
        parts = pd.read_csv(run / f"fold-{fold}" / "parts.csv").set_index("image_id")["part"]
        assert (parts[table.loc[table["model"] == f"fold-{fold}", "image_id"]] == "test").all()
    folder = run / "explanations" / "cam-all"
    assert not (folder / "images").exists() and not (folder / "montage.png").exists()
    chosen = held_out_images(run)
    columns = columns_to_explain(chosen.table, chosen.classes, class_name="pneumonia")
    batches = list(map_images(chosen, method_maker("cam", layer=None), columns))
    bias = {
        name: keras.models.load_model(path, compile=False).get_layer("logits").get_weights()[1][1] for name, path in chosen.models.items()
    }
    for batch in batches:
        shift = batch.rows["model"].map(bias).to_numpy()
        np.testing.assert_allclose(batch.maps.mean(axis=(1, 2)) + shift, batch.logits, rtol=1e-3, atol=1e-4)


def test_what_lies_there_is_not_replaced_unasked(run):
    explain(run, sample=1, pictures=False)
    with pytest.raises(ValueError, match="holds explanations already and is left as it is.*--overwrite"):
        explain(run, sample=1, pictures=False)
    assert len(explain(run, sample=2, pictures=False, overwrite=True)) == 4
    foreign = run.parent / "mine"
    foreign.mkdir()
    (foreign / "notes.txt").write_text("kept")
    with pytest.raises(ValueError, match="holds no explanations"):
        explain(run, sample=1, out=foreign, overwrite=True)
    assert (foreign / "notes.txt").read_text() == "kept"


def test_a_failure_leaves_what_was_there(run, monkeypatch):
    explain(run, sample=1, pictures=False)
    before = (run / "explanations" / "hires_cam" / "maps.csv").read_text()
    monkeypatch.setattr("cxr_keras.recipes.explain.share_outside", lambda maps: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        explain(run, sample=2, pictures=False, overwrite=True)
    assert (run / "explanations" / "hires_cam" / "maps.csv").read_text() == before


def test_images_from_elsewhere_get_the_mean_of_the_models_and_own_ones_their_fold(run, phantom, tmp_path):
    own = pd.read_csv(run / "predictions.csv").iloc[0]
    path = pd.read_csv(run / "manifest.csv").set_index("image_id").loc[own["image_id"], "path"]
    stranger = tmp_path / "stranger.png"
    cv2.imwrite(str(stranger), np.random.default_rng(0).integers(0, 255, (64, 64), np.uint8))
    found = given_images(run, [Path(path), stranger]).table.set_index("image_id")
    drawn = given_images(run, [Path(path), stranger], draw=lambda table: table[table["image_id"] == "stranger"]).table
    assert drawn["image_id"].tolist() == ["stranger"] and drawn["probability"].item() == found.loc["stranger", "probability"]
    assert found.loc[Path(path).stem, "model"] == f"fold-{own['fold']}" and found.loc["stranger", "model"] == EVERY_MODEL
    table = explain(run, images=[stranger], class_name="pneumonia")
    assert table["label"].tolist() == [""] and (run / "explanations" / "hires_cam-pneumonia-given" / table["picture"][0]).is_file()
    chosen = given_images(run, [stranger])
    mean = next(map_images(chosen, method_maker("grad_cam", layer=None), np.array([1])))
    models = [keras.models.load_model(file, compile=False) for file in chosen.models.values()]
    own_maps = [method_maker("grad_cam", layer=None)(model)(mean.images, np.array([1])).maps for model in models]
    np.testing.assert_allclose(mean.maps, np.mean(own_maps, axis=0), rtol=1e-4, atol=1e-7)
    with pytest.raises(ValueError, match="--which wrong needs labels"):
        explain(run, images=[stranger], which="wrong")
    with pytest.raises(ValueError, match="is no file"):
        explain(run, images=[tmp_path / "none.png"])


def test_dicom_files_are_explained_and_bad_files_named(run, tmp_path):
    specification = importlib.util.spec_from_file_location("dicom_files", Path(__file__).parents[1] / "pixels" / "dicom_files.py")
    dicom_files = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(dicom_files)
    stored = np.random.default_rng(0).integers(0, 4096, (64, 48), np.uint16)
    (tmp_path / "a.dcm").write_bytes(dicom_files.encoded(dicom_files.radiograph(stored, BitsStored=12)))
    table = explain(run, images=[tmp_path / "a.dcm"])
    assert (run / "explanations" / "hires_cam-given" / table["picture"].item()).is_file()
    (tmp_path / "empty.png").touch()
    (tmp_path / "cut.png").write_bytes(cv2.imencode(".png", np.eye(64, dtype=np.uint8))[1].tobytes()[:-9])
    with pytest.raises(ValueError, match=r"empty.png: empty file; .*cut.png: truncated.* Expected whole JPEG, PNG or DICOM"):
        given_images(run, [tmp_path / "empty.png", tmp_path / "cut.png", tmp_path / "a.dcm"])


def test_official_test_images_that_the_user_gives_are_noted(run, phantom, tmp_path):
    manifest = read_manifest(run / "manifest.csv")
    assert (manifest["split"] == "test").any()
    explain(run, sample=1, pictures=False)  # what cross-validation held out is no official reading
    assert not (tmp_path / "test_readings.csv").exists()
    explain(run, images=[run / "manifest.csv"], every=True, pictures=False)
    ledger = read_ledger(tmp_path / "test_readings.csv")
    assert ledger["n_images"].tolist() == [str((manifest["split"] == "test").sum())] and "no scores" in ledger["split"][0]
    montage(run, len(manifest), images=[run / "manifest.csv"])
    assert len(read_ledger(tmp_path / "test_readings.csv")) == 2


def test_the_folder_of_the_user_is_not_pulled_away(tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    with pytest.raises(ValueError, match=r"\. is the folder that you are in.*Give a folder inside it"):
        folder_for(tmp_path, Path("."), name="check", overwrite=False)
    monkeypatch.chdir(tmp_path)
    with new_folder(folder_for(tmp_path, Path("here/there/.."), name="check", overwrite=False), {}) as writing:
        (writing / "a.csv").touch()
        with pytest.raises(ValueError, match="Another process is working.*with --out"), new_folder(Path("here"), {}):
            pass
    assert {path.name for path in (tmp_path / "here").iterdir()} == {"a.csv", "explanation.json"}


def test_a_model_that_did_not_make_the_predictions_is_refused(run):
    predictions = pd.read_csv(run / "predictions.csv")
    predictions[["p_normal", "p_pneumonia"]] = [0.99, 0.01]
    predictions.to_csv(run / "predictions.csv", index=False)
    with pytest.raises(ValueError, match="not the model that predicted"):
        explain(run, sample=1)


def test_choice_by_outcome_and_class():
    table = pd.DataFrame({"image_id": list("abcdef"), "label": ["n", "n", "n", "p", "p", "p"], "predicted": ["n", "p", "n", "p", "n", "p"]})
    assert set(choose_images(table, sample=9, per_class=True, which="wrong", seed=0)["image_id"]) == {"b", "e"}
    assert set(choose_images(table, sample=9, per_class=True, which="correct", seed=0)["image_id"]) == {"a", "c", "d", "f"}
    assert choose_images(table, sample=1, per_class=True, which="any", seed=0)["label"].tolist() == ["n", "p"]
    shuffled = table.sample(frac=1, random_state=1)
    drawn = [choose_images(each, sample=3, per_class=False, which="any", seed=5)["image_id"].tolist() for each in (table, shuffled)]
    assert drawn[0] == drawn[1]
    with pytest.raises(ValueError, match="none of them is wrongly predicted"):
        choose_images(table.assign(predicted=table["label"]), sample=1, per_class=True, which="wrong", seed=0)
    with pytest.raises(ValueError, match="expected any, correct or wrong"):
        choose_images(table, sample=1, per_class=True, which="mistakes", seed=0)


def test_the_montage_shows_what_the_reloaded_models_say(run):
    shown = montage(run, 7)
    predictions = pd.read_csv(run / "predictions.csv").set_index("image_id").loc[shown["image_id"]]
    called = predictions[["p_normal", "p_pneumonia"]].idxmax(axis=1).str.removeprefix("p_").tolist()
    assert shown["predicted"].tolist() == called and (run / "explanations" / "montage" / "montage.png").is_file()


def test_a_picture_says_which_threshold_decided():
    table = pd.DataFrame({"fold": [0, 1], "p_normal": [0.7, 0.7], "p_pneumonia": [0.3, 0.3]})
    point = {"name": "guaranteed", "thresholds": {"0": 0.1}, "locked": 0.4}
    called = with_calls(table, ("normal", "pneumonia"), point=point)
    assert called["predicted"].tolist() == ["pneumonia", "normal"] and called["probability"].tolist() == [0.3, 0.7]
    assert called["decided"].tolist() == ["≥ 0.100, guaranteed", "pneumonia < 0.400, guaranteed"]
    assert with_calls(table, ("normal", "pneumonia"), point=None)["decided"].tolist() == ["", ""]


def test_embeddings_keep_every_image_of_one_model(run):
    table = embed(run, fold=1)
    predictions = pd.read_csv(run / "predictions.csv")
    assert set(table["image_id"]) == set(predictions.loc[predictions["fold"] == 1, "image_id"])
    folder = run / "explanations" / "embeddings-fold-1"
    assert np.isfinite(pd.read_csv(folder / "embeddings.csv")[["pixels_pca_1", "embedding_tsne_2"]]).all(axis=None)
    found = json.loads((folder / "separation.json").read_text())
    assert set(found) == {"pixels", "embedding"}
    assert all(1 >= first >= second >= 0 for first, second in (each["pca_shares_of_variance"] for each in found.values()))
    with pytest.raises(ValueError, match="--fold 5: .* has 0, 1"):
        embed(run, fold=5)


def test_the_check_writes_figures_with_their_chance_levels(run, capsys, monkeypatch):
    monkeypatch.setattr(explain_check, "RANDOM_NETWORKS", 1)
    monkeypatch.setattr(explain_curves, "IMAGES_OF_OCCLUSION", 2)
    table = check_maps(run, sample=12)
    assert table[["method", "weights"]].to_numpy().tolist() == [
        [name, weights] for name in ("cam", "grad_cam", "hires_cam", "activation") for weights in ("trained", "random")
    ]
    assert table["hit_rate"].between(0, 1).all() and (table["hit_rate_low"] <= table["hit_rate"]).all()
    output = capsys.readouterr().out
    assert "chance: another patient's lesion" in output and "hires_cam: maps find the lesion" in output
    by_image = pd.read_csv(run / "explanations" / "check" / "trust_by_image.csv")
    known = by_image[by_image["weights"] == "trained"].groupby("method")["energy_inside"].count()
    trained = table[table["weights"] == "trained"].set_index("method")
    assert (trained["maps_with_evidence"] <= trained["maps"]).all() and (trained["maps"] == trained["images"]).all()
    assert (known[trained.index] <= trained["maps_with_evidence"]).all()  # an image with a marker alone has no lesion
    folder = run / "explanations" / "check"
    written = {"trust.csv", "trust.md", "trust_by_image.csv", "curves.csv", "curves.png", "cascade.csv"}
    assert written <= {path.name for path in folder.iterdir()}
    assert {"cam_deletion", "activation_insertion", "occlusion_deletion", "random_insertion"} <= set(pd.read_csv(folder / "curves.csv"))
    assert pd.read_csv(folder / "cascade.csv")["randomised_down_to"].iloc[0] == "logits"
    page = report([run], mistakes=0).read_text()
    assert "What the network looks at (PHANTOM)" in page and "Maps of 12 held-out images were checked." in page
    assert "hires_cam: maps find the lesion" in page and 'alt="Deletion and insertion"' in page and "cxr audit RUN" in page


def test_maps_that_say_nothing_are_counted():
    counted = {"weights": "trained", "images": 5, "maps": 5, "share_outside_thorax_box": None}
    table = pd.DataFrame([counted | {"method": "grad_cam", "maps_with_evidence": 3}, counted | {"method": "cam", "maps_with_evidence": 5}])
    shown = trust_table(table, masks=False, grid=(4, 4))
    assert "3 of 5" in shown.rows[0] and "corner cell 0.36, so with such coarse maps" in shown.note
    verdict = verdict_of(table, pd.DataFrame())
    assert verdict[1].startswith("grad_cam: nothing speaks for the label's class in 2 of 5 maps") and len(verdict) == 2


def test_the_verdict_says_what_random_weights_and_covered_pixels_tell():
    known = {"share_outside_thorax_box": 0.1, "images": 5, "maps": 5, "maps_with_evidence": 5, "weights": "random"}
    table = pd.DataFrame([known | {"method": name, "rank_correlation_unsigned": u} for name, u in (("a", 0.8), ("b", 0.4), ("c", 0.1))])
    better = {"deletion": 0.2, "deletion_difference": -0.3, "deletion_low": -0.4, "deletion_high": -0.2, "insertion": 0.5}
    curve = better | {"images": 9, "tried": 9, "insertion_difference": 0.0, "insertion_low": -0.1, "insertion_high": 0.1}
    silent = {"method": "none", "images": 0, "tried": 9}
    curves = pd.DataFrame([curve | {"method": "a"}, curve | {"method": "b", "deletion_low": 0.1, "deletion_high": 0.4}, silent])
    verdict = verdict_of(table, curves)
    assert "a: with random weights the maps keep much of their order" in verdict[1] and "in part only" in verdict[2]
    assert verdict[3] == "c: the maps depend on what the network learned (rank correlation without sign 0.10)."
    assert verdict[4:] == ["a: deletion is better than in random order.", "b: deletion is worse than in random order."]
    same = table.assign(rank_correlation_unsigned=0.1)
    assert verdict_of(same, pd.DataFrame())[1].startswith("a, b, c: the maps depend on what the network learned (")
    rows = curve_table(curves).rows
    assert rows[0] == ("a", "9 of 9", "0.200", "-0.300 [-0.400, -0.200]", "0.500", "+0.000 [-0.100, +0.100]")
    assert rows[2][1:] == ("0 of 9", "n/a", "n/a", "n/a", "n/a")


def test_curves_leave_out_no_model():
    table = pd.DataFrame({"model": ["a"] * 5 + ["b"] * 2 + ["c"]})
    assert spread_over_models(table, 5).tolist() == [0, 1, 5, 6, 7]
    assert spread_over_models(table, 99).tolist() == list(range(8))


def test_without_masks_the_check_says_what_it_cannot_say(run, capsys, monkeypatch):
    monkeypatch.setattr(explain_check, "RANDOM_NETWORKS", 1)
    monkeypatch.setattr(explain_curves, "IMAGES_OF_OCCLUSION", 2)
    monkeypatch.setattr(explain_check, "CHECKED", ("grad_cam",))
    manifest = pd.read_csv(run / "manifest.csv").drop(columns=["mask_path", "pattern"])
    manifest.to_csv(run / "manifest.csv", index=False)
    table = check_maps(run, sample=6)
    assert "hit_rate" not in table and table["rank_correlation"].notna().all()
    assert "Without masks nothing here says" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments, message",
    [
        (("--method", "gradcam"), "Did you mean 'grad_cam'"),
        (("--class", "pneumona"), "Did you mean 'pneumonia'"),
        (("--layer", "featurs"), "'features'"),
        (("--method", "cam", "--layer", "features"), "cam takes no layer"),
        (("--point", "youdn"), "has no such operating point. It has 0.5"),
        (("--all", "--sample", "3"), "give one of the two"),
        (("--check", "--montage", "3"), "one at a time"),
        (("--check", "--which", "wrong"), "--which would change nothing with --check"),
        (("--fold", "1"), "--fold would change nothing for maps"),
        (("--images", "none.csv"), "none.csv does not exist"),
    ],
)
def test_mistakes_get_a_message_and_leave_nothing(arguments, message, run, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["cxr", "explain", str(run), *arguments])
    with pytest.raises(SystemExit) as ended:
        application.main()
    assert ended.value.code == 2 and message in capsys.readouterr().err
    assert not list((run / "explanations").glob("*"))
