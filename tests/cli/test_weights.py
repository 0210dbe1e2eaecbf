"""`cxr weights convert`."""

import keras
import pytest

import models_zoo
from cxr_keras.weights import convert


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("googlenet", "none.pth", "--out", "model.keras"), "none.pth: there is no such file"),
        (("googlenet", "none.pth", "--out", "model.h5"), "--out model.h5: expected a file ending in .keras"),
        (("resnet50", "none.pth", "--out", "model.keras"), "only to googlenet, densenet161, alexnet"),
        (("googlnet", "none.pth", "--out", "model.keras"), "Did you mean 'googlenet'"),
        (("googlenet", "none.bin", "--out", "model.keras"), "expected a checkpoint ending in .safetensors"),
    ],
)
def test_mistakes_get_a_message_and_no_file(arguments, message, cxr, tmp_path):
    code, _, errors = cxr("weights", "convert", *arguments)
    assert code == 2 and message in errors and "Traceback" not in errors
    assert not list(tmp_path.iterdir())


def test_the_model_is_written_whole_and_loads(cxr, tmp_path, monkeypatch):
    model = models_zoo.build("mini_vgg", (8, 8), 3)
    monkeypatch.setattr(convert, "convert_checkpoint", lambda architecture, checkpoint: model)
    code, output, errors = cxr("weights", "convert", "googlenet", "model.pth", "--out", "folder/model.keras")
    assert code == 0, errors
    assert [path.name for path in (tmp_path / "folder").iterdir()] == ["model.keras"]
    assert f"{model.count_params():,} weights of model.pth" in output and "model.weights=folder/model.keras" in output
    assert keras.models.load_model(tmp_path / "folder" / "model.keras").name == "mini_vgg"
