from pathlib import Path

import pytest

from cxr_keras.config.loader import load_config
from cxr_keras.data.phantom import generate_phantom
from cxr_keras.recipes.data import manifest_of


@pytest.fixture(autouse=True)
def few_patients(monkeypatch, tmp_path):
    """Phantoms are drawn into a working folder of their own, few and small."""
    monkeypatch.chdir(tmp_path)
    few = {"patients_per_class": 3, "image_size": 32}
    monkeypatch.setattr("cxr_keras.recipes.data.generate_phantom", lambda folder, labels: generate_phantom(folder, labels=labels, **few))


@pytest.mark.parametrize("order", [("resnet50", "mini_vgg", "googlenet_three"), ("mini_vgg", "googlenet_three", "resnet50")])
def test_samples_of_all_label_schemes_go_one_after_another_in_one_folder(order):
    counts = {name: manifest_of(load_config(name, sample=True).data, seed=0)["label"].nunique() for name in order}
    assert counts == {"resnet50": 4, "mini_vgg": 2, "googlenet_three": 3}
    assert manifest_of(load_config(order[0], sample=True).data, seed=0)["label"].nunique() == counts[order[0]]


def test_phantoms_of_another_scheme_are_refused_with_the_folder_and_a_way_out():
    config = load_config("resnet50", ["data.sources=[phantom:data/drawn]"])
    manifest_of(config.data, seed=0)
    other = load_config("mini_vgg", ["data.sources=[phantom:data/drawn]"])
    with pytest.raises(ValueError, match="data/drawn holds phantoms drawn for data.labels=four.*sources=.phantom:data/drawn_binary."):
        manifest_of(other.data, seed=0)
    mapped = load_config("mini_vgg", ["data.sources=[phantom:data/drawn]", "data.label_map={covid19: skip}"])
    assert set(manifest_of(mapped.data, seed=0)["label"]) == {"normal", "pneumonia"}


def test_phantoms_of_a_finer_scheme_serve_a_coarser_one():
    manifest_of(load_config("googlenet_three", ["data.sources=[phantom:drawn]"]).data, seed=0)
    assert set(manifest_of(load_config("mini_vgg", ["data.sources=[phantom:drawn]"]).data, seed=0)["label"]) == {"normal", "pneumonia"}
    given = load_config("mini_vgg", ["data.sources=[phantom:all]", "data.labels=as_given"])
    assert manifest_of(given.data, seed=0)["label"].nunique() == 4 and Path("all").is_dir()
