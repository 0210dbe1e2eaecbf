"""Comparing finished runs: beside the papers, with each other, and what is refused. The runs are written here, nothing is trained."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import yaml

from cxr_keras.config.loader import load_config, to_yaml
from cxr_keras.evaluation import class_names, read_predictions, score_predictions
from cxr_keras.recipes.compare import COLUMNS, compare
from cxr_keras.recipes.finished_runs import read_runs
from cxr_keras.recipes.over_seeds import ensemble_predictions, over_seeds
from cxr_keras.runs.files import write_json, write_text

CLASSES = {
    "binary": ("normal", "pneumonia"),
    "three": ("bacterial", "normal", "viral"),
    "four": ("bacterial", "covid19", "normal", "viral"),
}


def predictions(labels: str, *, n: int, images: int = 0, noise_seed: int = 0, noise: float = 1.0, folds: int = 1) -> pd.DataFrame:
    """Predictions of n images; `images` makes the images, `noise_seed` one network's errors."""
    classes = CLASSES[labels]
    shared, own = np.random.default_rng(images), np.random.default_rng([images, noise_seed, 1])
    truth = shared.integers(len(classes), size=n)
    groups = shared.integers(n, size=n)
    logits = 3 * np.eye(len(classes))[truth] + shared.normal(size=(n, len(classes))) + noise * own.normal(size=(n, len(classes)))
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    table = pd.DataFrame(
        {
            "image_id": [f"kermany/set{images}-{index:04d}" for index in range(n)],
            "group_id": [f"kermany/set{images}-p{group}" for group in groups],
            "fold": groups % folds,
            "label": [classes[index] for index in truth],
        }
    )
    return table.assign(**{f"p_{name}": probabilities[:, index] for index, name in enumerate(classes)})


def write_run(folder, config="mini_vgg", *overrides, verb="train", epochs=30, source="kermany", validation=None, **settings):
    """Write what `cxr train` or `cxr cv` leaves of a finished run, weights and figures left out."""
    own = [] if any(item.startswith("data.sources") for item in overrides) else [f"data.sources=[{source}:/somewhere]"]
    settings_of_run = load_config(config, [*own, *overrides])
    table = predictions(settings_of_run.data.labels, **({"n": 120} | settings))
    folder.mkdir(parents=True)
    write_text(folder / "config.yaml", to_yaml(settings_of_run))
    write_json(folder / "run.json", {"verb": verb, "data": "digest", "settings": {}})
    manifest = table[["image_id"]].assign(source=source, sha256=[f"{source}{name}" for name in table["image_id"]], patients_known="yes")
    manifest.to_csv(folder / "manifest.csv", index=False)
    table.to_csv(folder / "predictions.csv", index=False)
    phases = [{"phase": "all", "epochs_run": epochs, "epochs_kept": epochs}]
    for name in ["split"] if verb == "train" else [f"fold-{fold}" for fold in range(settings_of_run.cross_validation.folds)]:
        write_json(folder / name / "done.json", {"phases": phases})
    if validation is not None:
        validation.to_csv(folder / "split" / "validation_predictions.csv", index=False)
    height, width = settings_of_run.data.image_size
    provenance = {
        "data": f"{source} {len(table)}",
        "pixels": f"{height}x{width}",
        "epochs": f"all {epochs}",
        "seeds": "0",
        "weights": "random",
    }
    scores = score_predictions(table, draws=100)
    write_json(folder / "metrics.json", scores | {"provenance": provenance | {"training": "1.0 min on 2 cores", "commit": "abc"}})
    return folder


def rows_of(table: pd.DataFrame, kind: str) -> pd.DataFrame:
    return table[table["kind"] == kind]


def test_a_run_beside_its_paper(tmp_path, capsys):
    run = write_run(tmp_path / "laban")
    table = compare([run])
    rows = rows_of(table, "paper")
    assert list(rows["score"]) == ["accuracy", "macro_precision", "macro_sensitivity", "macro_f1"]
    assert set(rows["system"]) == {"laban/mini_vgg"} and set(rows["comparable"]) == {"no"}
    assert set(rows["reasons"]) == {"split by patient, the paper's by image; 120 images scored, the paper 1,464"}
    own = score_predictions(predictions("binary", n=120), draws=100)["scores"]
    assert rows.set_index("score")["ours"].to_dict() == pytest.approx({name: own[name]["value"] for name in rows["score"]})
    assert (rows["difference"] - (rows["ours"] - rows["paper"])).abs().max() < 1e-12
    provenance = ["data", "pixels", "n", "patients", "epochs", "seeds", "weights"]
    assert rows[provenance].drop_duplicates().to_numpy().tolist()[0][:3] == ["kermany 120", "64x64", 120]
    assert rows[provenance].notna().all(axis=None)
    output = capsys.readouterr().out
    assert "laban beside laban/mini_vgg (held out quarter)" in output and "Comparable: no." in output and "PHANTOM" not in output
    assert pd.read_csv(tmp_path / "comparison" / "comparison.csv").shape == (len(table), len(COLUMNS))
    assert "| accuracy |" in (tmp_path / "comparison" / "comparison.md").read_text()
    assert (tmp_path / "comparison" / "comparison.html").read_text().startswith("<!doctype html>")


def test_what_a_paper_leaves_open_is_said(tmp_path, capsys):
    compare([write_run(tmp_path / "run", "cnn_94", n=624)])
    assert "The paper does not state, and this project chose: optimizer, learning rate" in " ".join(capsys.readouterr().out.split())


def test_bozickovic_is_met_by_means_over_folds_with_the_pooled_interval_beside(tmp_path):
    run = write_run(tmp_path / "run", "resnet50", "cross_validation.protocol=bozickovic", verb="cv", folds=5, n=300, source="kermany")
    rows = rows_of(compare([run], out=tmp_path / "out"), "paper")
    assert len(rows) == 13
    scores = score_predictions(predictions("four", n=300, folds=5), draws=100)
    accuracy = rows.iloc[0]
    assert accuracy["ours"] == pytest.approx(scores["folds"]["scores"]["accuracy"]["mean"])
    assert accuracy["pooled"] == pytest.approx(scores["scores"]["accuracy"]["value"]) and accuracy["low"] < accuracy["pooled"]
    viral = rows[(rows["class"] == "viral") & (rows["score"] == "precision")].iloc[0]
    assert viral["ours"] == pytest.approx(scores["folds"]["per_class"]["viral"]["precision"]["mean"]) and viral["paper"] == 0.8185
    assert "optimistic" not in accuracy["reasons"]
    assert "The figures of both are optimistic" in (tmp_path / "out" / "comparison.md").read_text()
    assert "other images: kermany, the paper's kermany + radiography" in accuracy["reasons"]


def test_zhou_validation_figures_stand_beside_the_half_that_chose_the_epoch(tmp_path):
    chose = predictions("binary", n=90, images=5, noise=0.2)
    run = write_run(tmp_path / "run", "googlenet_binary", epochs=74, n=80, validation=chose)
    rows = rows_of(compare([run], out=tmp_path / "out"), "paper")
    assert rows.groupby("evaluation", sort=False)["n"].first().to_dict() == {"validation_binary": 90, "test_binary": 80}
    validated = rows[(rows["evaluation"] == "validation_binary") & (rows["score"] == "f1")].iloc[0]
    assert validated["class"] == "pneumonia"
    assert validated["ours"] == pytest.approx(score_predictions(chose, draws=0)["per_class"]["pneumonia"]["f1"]["value"])
    assert "chose the epoch, and flatter" in (tmp_path / "out" / "comparison.md").read_text()


def test_settings_unlike_the_shipped_config_are_named_and_those_with_a_reason_of_their_own_are_not_named_twice(tmp_path):
    overrides = ("data.batch_size=7", "data.image_size=[32,32]", "training.phases.all.epochs=3", "training.phases.all.learning_rate=0.1")
    overrides += ("model.weights=/weights/other.h5", "training.class_weights=none", "split.test=0.2", "cross_validation.folds=3")
    rows = rows_of(compare([write_run(tmp_path / "run", "mini_vgg", *overrides, epochs=3)], out=tmp_path / "out"), "paper")
    reasons = rows["reasons"].iloc[0]
    for reason in (
        "weights of the file other.h5, the paper's random weights",
        "32x32 pixels, the paper's 64x64",
        "3 epochs, fewer than the paper's 30",
    ):
        assert reason in reasons
    assert reasons.endswith(
        "settings unlike the shipped config: data.batch_size 7 (24), split.test 0.2 (0.25), "
        "training.class_weights none (normal=3 pneumonia=1), training.phases.all.optimizer.learning_rate 0.1 (0.05)"
    )


def test_weights_named_as_imagenet_count_as_imagenet(tmp_path):
    for number, name in enumerate(("googlenet_imagenet.keras", "resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5", "run/model.keras")):
        run = write_run(tmp_path / str(number), "resnet50", f"model.weights=/w/{name}", verb="cv", folds=5)
        expected = "imagenet" if "run" not in name else "model.keras"
        assert read_runs([run])[0].conditions.weights == expected


def test_a_system_without_figures_says_so(tmp_path, capsys):
    table = compare([write_run(tmp_path / "run", "alexnet_binary", validation=predictions("binary", n=50))])
    assert rows_of(table, "paper").empty
    assert "print no figures" in " ".join(capsys.readouterr().out.split())


def test_a_run_of_other_classes_than_its_paper_is_not_compared(tmp_path, capsys):
    table = compare([write_run(tmp_path / "run", "mini_vgg", "data.labels=three", "training.class_weights=none")])
    assert rows_of(table, "paper").empty
    assert "classes bacterial, normal, viral, the paper's normal, pneumonia" in capsys.readouterr().out


def test_configs_from_before_the_field_paper_are_read_and_may_be_given_a_paper(tmp_path, capsys):
    run = write_run(tmp_path / "old")
    settings = yaml.safe_load((run / "config.yaml").read_text())
    del settings["paper"]
    (run / "config.yaml").write_text(yaml.safe_dump(settings))
    assert rows_of(compare([run]), "paper").empty
    assert "old: the config names no system of a paper" in capsys.readouterr().out
    assert len(rows_of(compare([run], paper="laban/mini_vgg"), "paper")) == 4


def test_two_seeds_on_the_same_images_are_a_tie_and_a_worse_network_is_not(tmp_path, capsys):
    first = write_run(tmp_path / "seed-0", n=300, noise_seed=1)
    other = write_run(tmp_path / "seed-1", "mini_vgg", "seed=1", "split_seed=0", n=300, noise_seed=2)
    worse = write_run(tmp_path / "worse", n=300, noise=8.0)
    rows = rows_of(compare([first, other, worse]), "paired")
    assert set(rows["against"]) == {"seed-0"} and len(rows) == 8
    assert set(rows.loc[rows["run"] == "seed-1", "verdict"]) == {"tie"}
    assert set(rows.loc[rows["run"] == "worse", "verdict"]) == {"lower"}
    assert (rows["p_holm"] >= rows["p"]).all() and rows[["data", "n", "epochs", "weights"]].notna().all(axis=None)
    assert "seed-1 against seed-0" in capsys.readouterr().out
    every = rows_of(compare([first, other, worse], all_pairs=True), "paired")
    assert every[["run", "against"]].drop_duplicates().to_numpy().tolist() == [
        ["seed-1", "seed-0"],
        ["worse", "seed-0"],
        ["worse", "seed-1"],
    ]


def test_images_that_most_runs_miss_are_listed_with_their_paths(tmp_path, capsys):
    runs = [write_run(tmp_path / f"seed-{seed}", noise_seed=seed, noise=2.0, n=300) for seed in range(3)]
    manifest = pd.read_csv(runs[0] / "manifest.csv").assign(path=lambda table: "/images/" + table["image_id"] + ".jpeg")
    manifest.to_csv(runs[0] / "manifest.csv", index=False)
    compare(runs, out=tmp_path / "out")
    missed = pd.read_csv(tmp_path / "out" / "wrong_together.csv")
    tables = [pd.read_csv(run / "predictions.csv").set_index("image_id") for run in runs]
    wrong = sum((table["p_pneumonia"] > table["p_normal"]).map({True: "pneumonia", False: "normal"}) != table["label"] for table in tables)
    by_most = missed[missed["wrong"] > 1.5]
    assert len(by_most) > 5 and set(by_most["image_id"]) == set(wrong.index[wrong >= 2])
    assert (missed["path"] == "/images/" + missed["image_id"] + ".jpeg").all() and missed["wrong"].is_monotonic_decreasing
    printed = capsys.readouterr().out
    assert "Wrong together" in printed and f"{len(by_most)} of 300 images are missed by most of 3 runs" in printed
    assert "wrong_together.csv" in printed and "Wrong together" in (tmp_path / "out" / "comparison.html").read_text()


def test_label_errors_that_were_not_looked_for_are_said(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("cxr_keras.recipes.wrong_together.label_errors_can_be_found", lambda: False)
    for verb, folds, told in (("cv", 5, "label-errors"), ("train", 1, "out-of-fold predictions")):
        runs = [write_run(tmp_path / f"{verb}-{seed}", verb=verb, folds=folds, noise_seed=seed, noise=2.0) for seed in range(3)]
        compare(runs, out=tmp_path / "out")
        assert told in capsys.readouterr().out
        assert set(pd.read_csv(tmp_path / "out" / "wrong_together.csv")["likely_label_error"]) == {"not looked for"}


def test_labels_that_look_wrong_are_marked_on_out_of_fold_predictions(tmp_path):
    pytest.importorskip("cleanlab")
    compare([write_run(tmp_path / f"{seed}", verb="cv", folds=5, noise_seed=seed, n=300) for seed in range(2)], out=tmp_path / "out")
    assert set(pd.read_csv(tmp_path / "out" / "wrong_together.csv")["likely_label_error"]) <= {"yes", "no"}


def test_one_run_alone_misses_nothing_together(tmp_path, capsys):
    compare([write_run(tmp_path / "one")], out=tmp_path / "out")
    assert "Wrong together" not in capsys.readouterr().out and not (tmp_path / "out" / "wrong_together.csv").exists()


def test_runs_on_other_images_are_not_paired_and_the_shared_images_are_counted(tmp_path, capsys):
    first, other = write_run(tmp_path / "a", n=120), write_run(tmp_path / "b", n=100)
    table = compare([first, other, write_run(tmp_path / "c", images=3)])
    assert rows_of(table, "paired").empty
    assert list(rows_of(table, "unpaired")["reasons"]) == ["100 images are in both, of 120 and 100", "0 images are in both, of 120 and 120"]
    output = capsys.readouterr().out
    assert "b and a are not paired: 100 images are in both, of 120 and 100" in output
    gaps = rows_of(table, "gap")
    assert list(gaps["against"].unique()) == ["c"]  # b shares patients, so the two cannot be resampled apart
    assert "Why a and c differ" in output and "Why a and b differ" not in output
    parts = gaps[gaps["against"] == "c"].set_index("score")["pooled"]
    assert parts["accuracy, gap"] == pytest.approx(parts["accuracy, first"] - parts["accuracy, second"])


def test_the_same_names_of_other_files_are_other_images(tmp_path):
    first, other = write_run(tmp_path / "a"), write_run(tmp_path / "b")
    manifest = pd.read_csv(other / "manifest.csv", dtype=str)
    manifest.loc[:4, "sha256"] = "else"
    manifest.to_csv(other / "manifest.csv", index=False)
    assert list(rows_of(compare([first, other]), "unpaired")["reasons"]) == [
        "120 images of the same names are in both, but 5 of them are other files"
    ]


def test_other_classes_are_an_error(tmp_path):
    runs = [write_run(tmp_path / "two"), write_run(tmp_path / "four", "resnet50", verb="cv", folds=5)]
    with pytest.raises(ValueError, match="different classes apart"):
        compare(runs)
    assert not (tmp_path / "comparison").exists()


def test_phantoms_stand_apart_under_their_name(tmp_path, capsys):
    real = write_run(tmp_path / "real")
    drawn = [write_run(tmp_path / name, source="phantom", noise_seed=number) for number, name in enumerate(("drawn", "drawn too"))]
    table = compare([drawn[0], real, drawn[1]])
    assert table.groupby("run")["phantom"].unique().map(list).to_dict() == {"real": [False], "drawn": [True], "drawn too": [True]}
    assert set(rows_of(table, "paired")["run"]) == {"drawn too"} and rows_of(table, "unpaired").empty
    output = capsys.readouterr().out
    before, after = output.split("## PHANTOM: drawn images, no X-rays")
    assert "real beside laban" in before and "drawn" not in before and "nothing about medicine" in after
    assert "## drawn beside laban/mini_vgg (held out quarter) (PHANTOM)" in after and "(PHANTOM)" not in before
    reasons = rows_of(table, "paper").groupby("run")["reasons"].first()
    assert reasons["drawn"].startswith("drawn phantoms, no X-rays") and "phantom" not in reasons["real"]


def test_figures_of_others_stand_under_a_run_on_the_official_test_folder_only(tmp_path, capsys):
    table = compare([write_run(tmp_path / "official", "cnn_94", n=624)], out=tmp_path / "a")
    assert set(rows_of(table, "yardstick")["n"]) == {624} and len(rows_of(table, "yardstick")) == 7 + 5
    assert "Google AutoML Vision" in capsys.readouterr().out
    others = {
        "grouped": write_run(tmp_path / "grouped", n=624),
        "fewer": write_run(tmp_path / "fewer", "cnn_94", n=150),
        "elsewhere": write_run(tmp_path / "elsewhere", "cnn_94", n=624, source="radiography"),
    }
    for name, run in others.items():
        assert rows_of(compare([run], out=tmp_path / name / "out"), "yardstick").empty, name


def test_a_folder_of_seeds_stands_for_its_runs(tmp_path):
    for seed in (0, 1):
        write_run(tmp_path / "mini_vgg-train" / f"seed-{seed}", n=200, noise_seed=seed)
    table = compare([tmp_path / "mini_vgg-train"])
    assert list(rows_of(table, "run")["run"].unique()) == ["seed-0", "seed-1"]
    assert (tmp_path / "comparison" / "comparison.csv").exists()


def write_seeds(folder, *, noise):
    """Two seeds of one recipe with what sums them up, as `seeds: [0, 1]` leaves them."""
    runs = [write_run(folder / f"seed-{seed}", n=300, noise=noise, noise_seed=seed) for seed in (0, 1)]
    scores = [json.loads((run / "metrics.json").read_text())["scores"] for run in runs]
    ensemble = ensemble_predictions([read_predictions(run / "predictions.csv") for run in runs])
    ensemble.to_csv(folder / "ensemble_predictions.csv", index=False)
    summary = {"seeds": {"0": scores[0], "1": scores[1]}, "over_seeds": over_seeds(scores), "ensemble": None}
    write_json(folder / "seeds.json", summary | {"ensemble": score_predictions(ensemble, draws=100)["scores"]})
    return folder


def test_seeds_are_repeats_of_one_recipe_and_their_ensembles_are_compared(tmp_path, capsys):
    good, bad = write_seeds(tmp_path / "good", noise=0.5), write_seeds(tmp_path / "bad", noise=2.0)
    table = compare([good, bad], draws=400)
    paired = rows_of(table, "paired")
    assert set(paired["run"]) == {"bad, ensemble of 2 seeds"} and set(paired["against"]) == {"good, ensemble of 2 seeds"}
    seeds = rows_of(table, "seeds").query("score == 'accuracy'").set_index("run")
    own = [run.scores["scores"]["accuracy"]["value"] for run in read_runs([good])]
    assert seeds.loc["good", "pooled"] == pytest.approx(np.mean(own)) and seeds.loc["good", "sd"] == pytest.approx(np.std(own, ddof=1))
    assert set(rows_of(table, "paper")["run"]) == {"good/seed-0", "good/seed-1", "bad/seed-0", "bad/seed-1"}
    output = capsys.readouterr().out
    assert "## good beside laban/mini_vgg" in output and "mean ± sd of 2 seeds" in output and "good/seed-0 beside" not in output
    assert rows_of(compare([good / "seed-0", good / "seed-1"], draws=200), "paired")["verdict"].notna().all()
    summary = json.loads((bad / "seeds.json").read_text())
    write_json(bad / "seeds.json", summary | {"ensemble": None})
    (bad / "ensemble_predictions.csv").unlink()
    assert rows_of(compare([good, bad], draws=400), "paired").empty
    assert "so there is no ensemble, and nothing is tested against other runs" in " ".join(capsys.readouterr().out.split())


def test_an_earlier_comparison_leaves_nothing_behind(tmp_path):
    runs = [write_run(tmp_path / name, noise_seed=number) for number, name in enumerate("ab")]
    compare(runs, out=tmp_path / "out", draws=200)
    assert (tmp_path / "out" / "wrong_together.csv").exists()
    compare(runs[:1], out=tmp_path / "out")
    assert not (tmp_path / "out" / "wrong_together.csv").exists()


def test_a_system_for_runs_that_name_their_own_is_refused(tmp_path):
    run = write_run(tmp_path / "run", "cnn_94")
    with pytest.raises(ValueError, match="is for runs whose config names no system, and these name their own: run chapin"):
        compare([run], paper="laban/mini_vgg")


def test_runs_of_the_same_name_are_told_apart_by_their_folders(tmp_path):
    runs = [write_run(tmp_path / name / "seed-0") for name in ("a", "b")]
    assert [run.name for run in read_runs(runs)] == ["a/seed-0", "b/seed-0"]


def test_names_of_directories_are_escaped(tmp_path):
    compare([write_run(tmp_path / "<script>alert(1)|"), write_run(tmp_path / "b")], out=tmp_path / "out")
    page = (tmp_path / "out" / "comparison.html").read_text()
    assert "<script" not in page and "&lt;script&gt;alert(1)|" in page
    assert "<script" not in (tmp_path / "out" / "comparison.md").read_text()


def unfinished(tmp_path):
    run = write_run(tmp_path / "my run", "resnet50", verb="cv", folds=5)
    for name in ("metrics.json", "predictions.csv", "fold-4/done.json"):
        (run / name).unlink()
    return run


def without_provenance(tmp_path):
    run = write_run(tmp_path / "run")
    write_json(run / "metrics.json", score_predictions(predictions("binary", n=120), draws=0))
    return run


def of_other_predictions(tmp_path):
    run = write_run(tmp_path / "run")
    predictions("binary", n=90).to_csv(run / "predictions.csv", index=False)
    return run


def of_an_unknown_system(tmp_path):
    return write_run(tmp_path / "run", "mini_vgg", "paper=laban/mini_vg")


def a_file(tmp_path):
    return write_run(tmp_path / "run") / "config.yaml"


def a_folder(tmp_path):
    (tmp_path / "run").mkdir()
    return tmp_path / "run"


def misspelt(tmp_path):
    write_run(tmp_path / "resnet50-cv")
    return tmp_path / "resnet50-vc"


@pytest.mark.parametrize(
    "make, messages",
    [
        (unfinished, ("is not finished, 4 of 5 folds done: it holds no metrics.json and no predictions.csv", "config.yaml' --run '")),
        (without_provenance, ("lacks provenance", "cxr train")),
        (of_other_predictions, ("metrics.json is of 120 images, predictions.csv holds 90",)),
        (of_an_unknown_system, ("names `paper: laban/mini_vg`", "Did you mean 'laban/mini_vgg'?")),
        (a_file, ("is a file; give the run directory that it lies in",)),
        (a_folder, ("is no run directory: it holds no config.yaml",)),
        (misspelt, ("Did you mean", "resnet50-cv?")),
    ],
)
def test_what_is_no_finished_run_is_refused_with_what_to_do(make, messages, tmp_path):
    with pytest.raises(ValueError) as raised:
        compare([make(tmp_path)])
    assert all(message in str(raised.value) for message in messages), str(raised.value)


def test_the_command_that_finishes_a_run_is_given(tmp_path):
    with pytest.raises(ValueError) as raised:
        compare([unfinished(tmp_path)])
    assert str(raised.value).endswith(f"Finish it first: cxr cv '{tmp_path}/my run/config.yaml' --run '{tmp_path}/my run'")


def test_all_faults_are_told_together_and_a_run_given_twice_is_one(tmp_path):
    run = write_run(tmp_path / "run")
    with pytest.raises(ValueError, match=r"These runs cannot be compared:\n  - There is no .*none.*\n  - .*run is given more than once"):
        compare([run, tmp_path / "none", tmp_path / "run" / ".." / "run"])


def test_conditions_are_read_from_settings_manifest_and_folds(tmp_path):
    run = write_run(
        tmp_path / "run", "resnet50", "cross_validation.protocol=bozickovic", "data.permute_labels=true", verb="cv", folds=5, epochs=20
    )
    write_json(run / "fold-3" / "done.json", {"phases": [{"phase": "head", "epochs_run": 4}, {"phase": "all", "epochs_run": 5}]})
    conditions = read_runs([run])[0].conditions
    expected = {
        **{"classes": CLASSES["four"], "phantom": False, "permuted_labels": True, "patients_known": True, "part": "folds"},
        **{"sources": ("kermany",), "image_size": (224, 224), "model": "resnet50", "strategy": "two_stage", "weights": "imagenet"},
        **{"epochs": 9, "patience": 15, "optimistic": True, "changed": ()},
    }
    assert {key: value for key, value in dataclasses.asdict(conditions).items() if key in expected} == expected


def test_unknown_patients_of_the_manifest_count(tmp_path):
    run = write_run(tmp_path / "run")
    pd.read_csv(run / "manifest.csv", dtype=str).assign(patients_known="no").to_csv(run / "manifest.csv", index=False)
    assert read_runs([run])[0].conditions.patients_known is False
    assert class_names(read_runs([run])[0].predictions) == CLASSES["binary"]


def test_comparing_loads_no_backend():
    code = "import sys, cxr_keras.recipes.compare; print([m for m in ('tensorflow', 'keras', 'models_zoo') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"


def test_too_few_draws_for_the_correction_are_refused(tmp_path):
    runs = [write_run(tmp_path / name, noise_seed=number) for number, name in enumerate("ab")]
    with pytest.raises(ValueError, match="draws is 100: none of 4 differences could be told apart"):
        compare(runs, draws=100)
    assert len(rows_of(compare(runs, draws=200), "paired")) == 4


def test_folders_of_seeds_with_one_last_name_are_told_apart(tmp_path):
    new, old = (write_seeds(tmp_path / when / "cnn", noise=noise) for when, noise in (("new", 0.5), ("old", 2.0)))
    paired = rows_of(compare([new, old], draws=400), "paired")
    assert set(paired["run"]) == {"old/cnn, ensemble of 2 seeds"} and set(paired["against"]) == {"new/cnn, ensemble of 2 seeds"}
    assert (paired["ours"] != paired["theirs"]).any()


def test_seeds_that_were_not_summed_up_are_refused(tmp_path):
    folder = write_seeds(tmp_path / "cnn", noise=0.5)
    write_run(folder / "seed-2", n=300, noise=0.5, noise_seed=2)
    with pytest.raises(ValueError, match="sums up seed-0, seed-1, and the folder holds seed-0, seed-1, seed-2"):
        compare([folder])
