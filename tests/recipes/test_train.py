import pandas as pd

from cxr_keras.runs.files import file_sha256, read_json


def test_the_official_test_labels_are_read_once_and_noted(cxr, tmp_path):
    settings = ["split.kind=official", "split.curves_on_test=false", "split.validation=0.2"]
    for _ in range(2):
        code, _, errors = cxr("train", "mini_vgg", *settings)
        assert code == 0, errors
    ledger = pd.read_csv(tmp_path / "runs" / "test_readings.csv")
    assert len(ledger) == 1 and ledger["run"][0] == "runs/mini_vgg-train"
    run = tmp_path / "runs" / "mini_vgg-train"
    assert "Official test labels were read; this was reading 1" in (run / "report.html").read_text()
    parts = pd.read_csv(run / "split" / "parts.csv").set_index("image_id")["part"]
    predictions = pd.read_csv(run / "predictions.csv")
    assert set(predictions["image_id"]) == set(parts.index[parts == "test"])
    assert set(pd.read_csv(run / "split" / "validation_predictions.csv")["image_id"]) == set(parts.index[parts == "validation"])
    assert {"val_loss", "val_auroc"} <= set(pd.read_csv(run / "split" / "history.csv").columns)


def test_bad_files_stop_the_run_or_are_skipped_and_counted(cxr, phantom, tmp_path):
    manifest = pd.read_csv(phantom / "manifest.csv")
    manifest["path"] = [str(phantom / path) for path in manifest["path"]]
    broken = tmp_path / "broken.jpeg"
    broken.write_bytes((phantom / "images").joinpath(manifest["path"][0]).read_bytes()[:500])
    manifest.loc[0, "path"] = str(broken)
    manifest.loc[0, "sha256"] = file_sha256(broken)
    manifest.to_csv(tmp_path / "m.csv", index=False)

    code, _, errors = cxr("train", "mini_vgg", f"data.manifest={tmp_path / 'm.csv'}")
    assert code == 2 and "broken.jpeg" in errors and "on_bad_files=skip" in errors and "Traceback" not in errors
    code, output, errors = cxr("train", "mini_vgg", f"data.manifest={tmp_path / 'm.csv'}", "data.on_bad_files=skip")
    assert code == 0, errors
    assert "bad files skipped" in output
    run = tmp_path / "runs" / "mini_vgg-train"
    assert len(pd.read_csv(run / "manifest.csv")) == len(manifest) - 1
    assert len(pd.read_csv(run / "bad_files.csv")) == 1
    assert read_json(run / "metrics.json")["provenance"]["bad files skipped"] == "1"
