"""What users write for weights, and what they get to read."""

from __future__ import annotations

import pytest

from cxr_keras.config.loader import load_config
from cxr_keras.weights import resolve_weights


def test_none_and_imagenet_pass():
    assert resolve_weights(None, architecture="mini_vgg") is None
    assert resolve_weights("imagenet", architecture="resnet50") == "imagenet"


def test_file_becomes_an_absolute_path(vgg16_file, monkeypatch):
    monkeypatch.chdir(vgg16_file.parent)
    assert resolve_weights("vgg16_notop.h5", architecture="vgg16") == vgg16_file
    monkeypatch.setenv("HOME", str(vgg16_file.parent))
    assert resolve_weights("~/vgg16_notop.h5", architecture="vgg16") == vgg16_file


def test_imagenet_for_an_architecture_without():
    with pytest.raises(ValueError, match=r"'imagenet': mini_vgg has none to fetch. Give a file, or take one of .*resnet50.*weights=null"):
        resolve_weights("imagenet", architecture="mini_vgg")
    with pytest.raises(
        ValueError, match=r"googlenet has none to fetch. Convert torchvision's: `cxr weights convert googlenet CHECKPOINT --out"
    ):
        resolve_weights("imagenet", architecture="googlenet")


def test_unknown_architecture():
    with pytest.raises(ValueError, match="unknown model 'vgg61'. Did you mean 'vgg16'?"):
        resolve_weights(None, architecture="vgg61")


@pytest.mark.parametrize(
    ("value", "meant"),
    [("imagnet", "Did you mean imagenet"), ("ImageNet", "Did you mean imagenet"), ("None", "Did you mean null")],
)
def test_words_that_are_no_files(value, meant, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=f"weights '{value}': there is no such file. {meant}"):
        resolve_weights(value, architecture="resnet50")


def test_missing_file_suggests_its_neighbour(vgg16_file):
    with pytest.raises(ValueError, match=r"there is no such file\. Did you mean vgg16_notop\.h5\?"):
        resolve_weights(vgg16_file.with_name("vgg16_no_top.h5"), architecture="vgg16")


def test_a_missing_file_of_imagenet_weights_leads_to_the_converter(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    remedy = "no such file.*`cxr weights convert googlenet CHECKPOINT --out googlenet_imagenet.keras`.*weights=googlenet_imagenet.keras"
    with pytest.raises(ValueError, match=remedy):
        resolve_weights(load_config("googlenet_binary_imagenet").model.weights, architecture="googlenet")
    with pytest.raises(ValueError) as caught:
        resolve_weights("own.keras", architecture="googlenet")
    assert "convert" not in str(caught.value)


def test_missing_folder_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"The folder .*nowhere does not exist either"):
        resolve_weights(tmp_path / "nowhere" / "weights.h5", architecture="vgg16")


def test_folder_empty_text_and_wrong_ending(tmp_path):
    with pytest.raises(ValueError, match="this is a folder, expected a file ending in"):
        resolve_weights(tmp_path, architecture="vgg16")
    with pytest.raises(ValueError, match="expected null, 'imagenet' or the path of a file"):
        resolve_weights("", architecture="vgg16")
    (tmp_path / "model.pth").write_bytes(b"")
    with pytest.raises(ValueError, match=r"expected a file ending in \.h5, \.weights\.h5, \.keras, got '\.pth'"):
        resolve_weights(tmp_path / "model.pth", architecture="vgg16")


def test_file_of_another_shape(vgg16_file):
    with pytest.raises(ValueError, match="do not fit the base of mini_vgg"):
        resolve_weights(vgg16_file, architecture="mini_vgg")
