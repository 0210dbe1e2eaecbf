import os
import re

import pytest

from cxr_keras.cli import app as application
from cxr_keras.data.phantom import generate_phantom


def test_help_and_listings(cxr):
    code, output, _ = cxr("--help")
    assert code == 0 and "Cross-validate a config" in output
    code, output, _ = cxr("configs")
    assert code == 0 and "resnet50_end_to_end" in output and "24.06" in output
    assert "accuracy 87.75% (optimistic)" in " ".join(output.split()) and "accuracy 94.6%" in output
    assert "N normal, P pneumonia, B bacterial, V viral, C COVID-19" in output


def test_configs_are_listed_shown_and_copied_once(cxr, tmp_path):
    code, output, _ = cxr("configs", "show", "cnn_94")
    assert code == 0 and "paper: chapin/cnn_94" in output and "accuracy: 94.6%" in output
    code, _, errors = cxr("configs", "copy", "cnn_94")
    assert code == 0 and (tmp_path / "cnn_94.yaml").read_text().startswith("#")
    code, _, errors = cxr("configs", "copy", "cnn_94")
    assert code == 2 and "exists and is left as it is" in errors
    code, _, errors = cxr("configs", "copy", "cnn94")
    assert code == 2 and "Did you mean 'cnn_94'" in errors


def test_a_model_is_shown_with_its_shapes(cxr):
    code, output, _ = cxr("models", "show", "mini_vgg")
    assert code == 0 and "4,482,274 trainable" in output and "features: (8, 8, 128)" in output
    assert 'model.params.batch_norm="none"   (one of "none", "after_relu")' in output
    code, _, errors = cxr("models", "show", "mini_vg")
    assert code == 2 and "Did you mean 'mini_vgg'" in errors


def test_a_model_is_shown_with_parameters_put_over_it(cxr):
    code, output, _ = cxr("models", "show", "mini_vgg", "model.params.batch_norm=after_relu", "--image-size", "32")
    assert code == 0 and "features: (4, 4, 128)" in output
    assert 'model.params.batch_norm="after_relu"   (default "none"; one of "none", "after_relu")' in output
    code, output, _ = cxr("models", "show", "mini_vgg_batch_norm")
    assert code == 0 and "mini_vgg: " in output and "4,484,194 trainable" in output
    code, _, errors = cxr("models", "show", "googlenet", "model.params.wide_kernel=7")
    assert code == 2 and "wide_kernel: got 7, expected 3 or 5" in errors
    code, _, errors = cxr("models", "show", "googlenet", "data.batch_size=7")
    assert code == 2 and "expected model.params.NAME=VALUE" in errors


def test_a_plan_says_what_a_run_needs_and_writes_nothing(cxr, tmp_path):
    generate_phantom(tmp_path / "set", patients_per_class=6, image_size=64, labels="binary")
    settings = (f"data.sources=[phantom:{tmp_path / 'set'}]", "data.image_size=[16, 16]", "data.resize=stretch", "seeds=[0, 1]")
    before = sorted(tmp_path.rglob("*"))
    code, output, _ = cxr("plan", "mini_vgg", *settings)
    assert code == 0 and sorted(tmp_path.rglob("*")) == before
    assert "10 one after another" in output and "550,114 trainable" in output and "at most 30" in output
    assert output.index("Plan of `cxr cv mini_vgg`") < output.index("550,114 trainable") < output.index("3 steps")


PARTS = ("split.curves_on_test=false", "cross_validation.validation=0.2")  # the epoch is chosen on a part kept for it


def test_the_plan_of_a_grid_has_a_row_a_cell_and_their_total(cxr, tmp_path):
    generate_phantom(tmp_path / "set", patients_per_class=6, image_size=64, labels="binary")
    settings = (f"data.sources=[phantom:{tmp_path / 'set'}]", "model.params={}", "data.image_size=[24, 24]", *PARTS)
    axes = ("models=mini_vgg,mini_resnet", "strategies=from_scratch,end_to_end")
    code, output, errors = cxr("plan", "--grid", "mini_vgg", *settings, *axes)
    assert code == 0, errors
    assert "\nmini_vgg, from_scratch " in output and "\nmini_resnet, end_to_end " in output and "\nall 4 runs " in output
    assert errors.count("timing: mini_resnet, prediction") == 1  # shared by both strategies
    axes = ("models=mini_resnet", "strategies=end_to_end,two_stage,two_stage_dropout")
    code, output, errors = cxr("plan", "--grid", "mini_vgg", *settings, *axes)
    assert code == 0, errors
    trained = re.findall(r"^mini_resnet, (\w+) +(\d+,[\d,]+) *$", output, re.MULTILINE)
    assert len(trained) == 3 and len({count for _, count in trained}) == 1  # what one strategy freezes, the next one trains
    code, _, errors = cxr("plan", "--grid", "mini_vgg", *axes)
    assert code == 2 and "names no images" in errors


@pytest.mark.parametrize(
    "refused",
    [
        ("data.sources=[kermany:/no/such]",),
        ("--sample", "model.params.batch_norm=foo"),
        ("--sample", "model.weights=missing.keras"),
    ],
)
def test_a_refused_command_leaves_no_folder(cxr, tmp_path, refused):
    for verb in ("cv", "train"):
        code, _, errors = cxr(verb, "mini_vgg", *refused, "--run", "runs/own")
        assert code == 2 and "Traceback" not in errors
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "arguments, message",
    [
        (("cv", "resnet5"), "Did you mean 'resnet50'"),
        (("cv", "mini_vgg"), "names no images"),
        (("cv", "--grid"), "names no images"),
        (("cv", "--grid", "models=resnet50", "models=xception"), "put all names into one: models=resnet50,xception"),
        (("cv", "--grid", "model=resnet50"), "with --grid say models=resnet50"),
        (("cv", "--grid", "strategy=two_stage"), "with --grid say strategies=two_stage"),
        (("cv", "--grid", "models=resnet50,", "xception"), "no spaces after the comma"),
        (("plan", "--grid", "models=resnet50", "models=xception"), "put all names into one"),
        (("cv", "mini_vgg", "data.sources=[kermany:/no/such]"), "/no/such does not exist"),
        (("cv", "mini_vgg", "data.sources=[kermny:/no/such]"), "Did you mean"),
        (("cv", "resnet50", "--sample", "model.name=resnet51"), "Did you mean 'resnet50'"),
        (("cv", "resnet50", "--sample", "model.weights=/no/such.h5"), "there is no such file"),
        (("cv", "resnet50", "--sample", "model.params.dens=[3]"), "Did you mean 'dense'"),
        (("train", "mini_vgg", "data.batch_size=many"), "It came as 'many'"),
        (("evaluate", "none.csv"), "No predictions at none.csv"),
        (("compare", "no/run"), "There is no no/run. Give the directory of a finished run"),
        (("compare", ".", "--paper", "laban/minivgg"), "Did you mean 'laban/mini_vgg'?"),
        (("data", "check", "none.csv"), "none.csv"),
        (("data", "build", "--source", "kermany:/no/such", "--out", "m.csv", "--patients", "no"), "expected known or one_per_image"),
    ],
)
def test_mistakes_get_a_message_and_no_traceback(arguments, message, cxr):
    code, _, errors = cxr(*arguments)
    assert code == 2 and message in errors and "cxr: " in errors
    assert "Traceback" not in errors


def test_a_full_disk_is_said_and_nothing_is_lost(tmp_path, monkeypatch, capsys):
    def full():
        raise OSError(28, os.strerror(28), str(tmp_path / "predictions.csv"))

    monkeypatch.setattr(application, "app", full)
    with pytest.raises(SystemExit) as ended:
        application.main()
    assert ended.value.code == 3
    assert "no space left on the device" in capsys.readouterr().err


def test_data_verbs_build_and_check(cxr, tmp_path):
    generate_phantom(tmp_path / "p", patients_per_class=3, image_size=64, labels="binary")
    code, output, errors = cxr("data", "build", "--source", f"phantom:{tmp_path / 'p'}", "--out", "m.csv")
    assert code == 0, errors
    assert "phantom" in output and (tmp_path / "m.csv").exists()
    assert cxr("data", "check", "m.csv")[0] == 0
    first = next((tmp_path / "p" / "images").glob("*.jpeg"))
    first.write_bytes(b"")
    code, output, _ = cxr("data", "check", "m.csv")
    assert code == 1 and first.name in (tmp_path / "bad_files.csv").read_text() and "empty" in output
