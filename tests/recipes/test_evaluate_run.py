import shutil

import pandas as pd
import pytest

from cxr_keras.data.manifest import write_manifest
from cxr_keras.data.phantom import generate_phantom
from cxr_keras.data.sources import build_manifest
from cxr_keras.recipes.evaluate_run import evaluate_run, open_finished
from cxr_keras.runs.files import read_json


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory):
    """The manifest of other phantoms, of men and women."""
    folder = tmp_path_factory.mktemp("elsewhere")
    generate_phantom(folder / "set", patients_per_class=5, image_size=64, labels="binary", seed=9)
    manifest = build_manifest([f"other=phantom:{folder / 'set'}"], labels="binary")
    manifest["sex"] = ["F", "M"] * (len(manifest) // 2) + ["F"] * (len(manifest) % 2)
    write_manifest(manifest, folder / "other.csv")
    return folder / "other.csv"


def test_a_run_is_scored_elsewhere_by_model_and_as_a_whole(cxr, tmp_path, elsewhere):
    code, _, errors = cxr("cv", "mini_vgg")
    assert code == 0, errors
    run = tmp_path / "runs" / "mini_vgg-cv"
    code, output, errors = cxr("evaluate", str(run), "--on", str(elsewhere), "--draws", "150", settings=())
    assert code == 0 and "150 bootstrap draws" in output, errors
    folder = run / "on-other"
    scores = read_json(folder / "metrics.json")
    locked = {point["name"]: point["locked"] for point in read_json(run / "metrics.json")["operating_points"]}
    # The guaranteed one has none: so few patients can promise nothing.
    assert {point["name"]: point["thresholds"].get("0") for point in scores["operating_points"]} == locked and locked["guaranteed"] is None
    calibration = read_json(run / "metrics.json")["calibration"]
    assert scores["calibration"]["locked"] == calibration["locked"] and set(calibration["temperatures"]) == {"0", "1"}
    assert len(pd.read_csv(folder / "calibrated_predictions.csv")) == len(pd.read_csv(folder / "predictions.csv"))
    assert (run / "calibrated_predictions.csv").exists() and (run / "figures" / "thresholds.svg").exists()
    assert set(scores["by_model"]) == {"fold-0", "fold-1"} and "Single models" in output
    assert "mean of 2, which is another operating point" in scores["operating_points"][1]["criterion"]
    assert "Single models at the locked thresholds" in output
    of_model = scores["by_model"]["fold-1"]["operating_points"]
    assert [point["locked"] for point in of_model] == list(locked.values()) and "mean of" not in of_model[1]["criterion"]
    assert {row["value"] for row in scores["subgroups"] if row["attribute"] == "sex"} == {"F", "M"}
    assert all([point["name"] for point in row["points"]] == ["0.5", "youden", "sensitive"] for row in scores["subgroups"])
    assert "Subgroups at the operating points" in output
    tables = [pd.read_csv(folder / "by_model" / f"fold-{fold}.csv")["p_normal"] for fold in (0, 1)]
    assert pd.read_csv(folder / "predictions.csv")["p_normal"].to_numpy() == pytest.approx(((tables[0] + tables[1]) / 2).to_numpy())
    ledger = pd.read_csv(tmp_path / "runs" / "test_readings.csv")
    assert len(ledger) == 1 and "official test" in ledger["split"][0]

    assert "PHANTOM" in output
    assert not any("promise" in point for point in scores["operating_points"])

    code, _, errors = cxr("evaluate", str(run), "--on", str(elsewhere), "--prevalence", "7", settings=())
    assert code == 2 and "the prevalence is 7" in errors
    manifest = pd.read_csv(elsewhere, dtype=str)
    manifest[1:].to_csv(elsewhere.parent / "fewer.csv", index=False)
    code, _, errors = cxr("evaluate", str(run), "--on", str(elsewhere.parent / "fewer.csv"), "--out", str(folder), settings=())
    assert code == 2 and "holds the scores of other images" in errors
    shutil.copytree(run, tmp_path / "another", ignore=shutil.ignore_patterns("on-other"))
    (folder / "by_model" / "fold-7.csv").touch()
    code, _, errors = cxr("evaluate", str(tmp_path / "another"), "--on", str(elsewhere), "--out", str(folder), settings=())
    assert code == 2 and f"holds the scores of the run {run}" in errors
    ledger = pd.read_csv(tmp_path / "runs" / "test_readings.csv")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(run)
        patch.setenv("CXR_CACHE", str(tmp_path / "cache"))
        evaluate_run(".", elsewhere, draws=100)
    again = pd.read_csv(tmp_path / "runs" / "test_readings.csv")
    assert len(again) == len(ledger) + 1 and list(again["run"].unique()) == ["runs/mini_vgg-cv"]
    assert {path.stem for path in (folder / "by_model").iterdir()} == {"fold-0", "fold-1"}

    code, _, errors = cxr("evaluate", str(run), "--on", str(run / "manifest.csv"), settings=())
    assert code == 2 and "belong to" in errors and "Traceback" not in errors
    (run / "fold-1" / "done.json").unlink()
    code, _, errors = cxr("evaluate", str(run), "--on", str(elsewhere), settings=())
    assert code == 2 and "not finished" in errors


def test_a_folder_of_several_runs_is_told_from_no_run(tmp_path):
    for seed in (0, 1):
        (tmp_path / "seeds" / f"seed-{seed}").mkdir(parents=True)
        (tmp_path / "seeds" / f"seed-{seed}" / "config.yaml").touch()
    with pytest.raises(ValueError, match="It holds .*seeds/seed-0, .*seeds/seed-1; give one of them"):
        open_finished(tmp_path / "seeds")
    with pytest.raises(ValueError, match="Give one that `cxr cv`"):
        open_finished(tmp_path / "absent")
