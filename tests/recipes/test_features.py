"""From a config and its images to a store that other runs find again."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pandas as pd
import pytest

import cxr_keras.recipes.data as recipes_data
import models_zoo
from cxr_keras.config.loader import load_config
from cxr_keras.config.schema import RunConfig
from cxr_keras.data.check import check_images
from cxr_keras.data.examples import examples_of
from cxr_keras.data.labels import class_order
from cxr_keras.data.pipeline import training_dataset
from cxr_keras.data.sources import build_manifest
from cxr_keras.recipes.batches import augmentation_of, expanded, open_cache
from cxr_keras.recipes.features import extract_features, positions_of
from cxr_keras.recipes.store_features import store_features
from cxr_keras.runs.files import file_sha256

COPIES = ("augmentation.mode=copies", "augmentation.expand_to=1.0", "augmentation.rotation_degrees=10")


@pytest.fixture
def config_of(phantom: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., RunConfig]:
    monkeypatch.setenv("CXR_CACHE", str(tmp_path / "cache"))
    return lambda *overrides: load_config("mini_vgg", [f"data.sources=[phantom:{phantom}]", "data.image_size=[16, 16]", *overrides])


@pytest.fixture(scope="module")
def manifest(phantom: Path) -> pd.DataFrame:
    return build_manifest([f"phantom:{phantom}"], show_progress=False)


def base_of(config: RunConfig) -> keras.Model:
    keras.utils.set_random_seed(config.seed * 1009)
    return models_zoo.build_base(config.model.name, config.data.image_size, **config.model.params)


def test_a_config_becomes_a_store_that_other_heads_share(
    config_of: Callable[..., RunConfig], manifest: pd.DataFrame, capsys: pytest.CaptureFixture[str]
) -> None:
    config = config_of()
    store = extract_features(config, manifest, layer="features", show_progress=True)
    total = manifest["sha256"].nunique()
    assert f"features: reused 0 of {total}" in capsys.readouterr().err
    cache = open_cache(manifest, config, show_progress=False)
    direct = base_of(config).predict(cache.images[cache.rows_of(manifest)].astype(np.float32), verbose=0)
    stored = store.read(store.rows_of(manifest))
    np.testing.assert_allclose(stored, direct.reshape(len(manifest), -1), rtol=1e-5, atol=1e-6)
    for change in ("evaluation.bootstrap_draws=100", "model.params.dense_dropout=0.1", "data.labels=as_given"):
        again = extract_features(config_of(change), manifest, layer="features", show_progress=True)
        assert again.folder == store.folder
        assert f"features: reused {total} of {total}" in capsys.readouterr().err
    for change in ("seed=5", "data.resize=pad", "training.precision=mixed_bfloat16", "model.params.batch_norm=after_relu"):
        other = extract_features(config_of(change), manifest, layer="features", show_progress=False)
        assert other.folder != store.folder and other.reused == 0
    embedding = extract_features(config, manifest, layer="embedding", show_progress=False)
    assert embedding.dimensions == 512 and embedding.folder != store.folder
    assert keras.config.dtype_policy().name == "float32"


def test_identical_files_share_a_row(
    config_of: Callable[..., RunConfig], manifest: pd.DataFrame, capsys: pytest.CaptureFixture[str]
) -> None:
    twice = pd.concat([manifest, manifest[:3].assign(image_id=["x", "y", "z"])], ignore_index=True)
    store = extract_features(config_of(), twice, layer="features", show_progress=True)
    rows = store.rows_of(twice)
    assert (rows[-3:] == rows[:3]).all() and len(store) == store.wanted == manifest["sha256"].nunique()
    assert "3 images are identical files and share a row" in capsys.readouterr().err


def test_copies_are_those_of_training_and_originals_are_shared(config_of: Callable[..., RunConfig], manifest: pd.DataFrame) -> None:
    config = config_of(*COPIES)
    classes = class_order(manifest["label"])
    kept = (manifest["label"] != classes[0]) | (np.arange(len(manifest)) % 3 == 0)
    manifest = manifest[kept].reset_index(drop=True)
    plain = extract_features(config_of(), manifest, layer="features", show_progress=False)
    cache = open_cache(manifest, config, show_progress=False)
    everything = examples_of(manifest, cache, classes)
    training = [expanded(everything.take(np.arange(len(manifest)) % 2 == half), config, classes) for half in (0, 1)]
    copies = sum(int((part.copies > 0).sum()) for part in training)
    assert copies > 4
    store = extract_features(config, manifest, layer="features", show_progress=False, training=training)
    assert store.folder == plain.folder
    assert (store.reused, store.wanted) == (plain.wanted, plain.wanted + copies)
    np.testing.assert_array_equal(store.read(store.rows_of(manifest)), plain.read(plain.rows_of(manifest)))
    alone = extract_features(config, manifest, layer="features", show_progress=False, training=training[1:])
    assert alone.reused == alone.wanted < store.wanted
    other = extract_features(config_of(*COPIES, "augmentation.rotation_degrees=9"), manifest, layer="features", show_progress=False,
                             training=training[1:])  # fmt: skip
    assert other.reused == plain.wanted, "copies that are varied otherwise are other pictures"

    part = training[1]
    positions = positions_of(part, everything)
    assert (everything.keys[positions] == part.keys).all()
    stored = store.read(store.rows_of(manifest.iloc[positions], part.copies))
    shown = training_dataset(
        cache.images, part, batch_size=len(part), seed=config.seed, fold=0, first_epoch=7, augmentation=augmentation_of(config, classes)
    )
    trained_on = base_of(config).predict(next(iter(shown))[0], verbose=0).reshape(len(part), -1)
    distances = np.abs(stored[:, None] - trained_on[None]).max(axis=2)
    assert distances.min(axis=0).max() < 1e-5 and distances.min(axis=1).max() < 1e-5
    assert len(np.unique(stored, axis=0)) == len(part)


def test_strange_examples_and_layers_are_refused(config_of: Callable[..., RunConfig], manifest: pd.DataFrame) -> None:
    config = config_of(*COPIES)
    classes = class_order(manifest["label"])
    cache = open_cache(manifest, config, show_progress=False)
    everything = examples_of(manifest, cache, classes)
    with pytest.raises(ValueError, match="2 of 10 examples are of images that the manifest does not have"):
        positions_of(everything.take(np.arange(10)), everything.take(np.arange(2, 20)))
    with pytest.raises(ValueError, match="expected one of features, pooled, embedding"):
        extract_features(config, manifest, layer="logits", show_progress=False)


def test_a_full_disk_and_a_missing_engine_are_told_before_images_are_decoded(
    config_of: Callable[..., RunConfig], manifest: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    config = config_of()
    other = load_config("vgg16_features", ["model.weights=null", "classifier.engine=openvino"])
    with pytest.raises(ValueError, match="openvino needs OpenVINO. Install it with"):
        extract_features(other, manifest, layer="features", show_progress=False)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=0))
    with pytest.raises(OSError, match="the features need .* GB and 0.00 GB are free"):
        extract_features(config, manifest, layer="features", show_progress=False)
    assert not list(tmp_path.rglob("pixels.npy"))


def test_weights_that_saw_some_images_need_the_model_of_a_fold(
    config_of: Callable[..., RunConfig], manifest: pd.DataFrame, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match="a fold may hold out"):
        extract_features(config_of("model.weights=runs/x/fold-{fold}/model.keras"), manifest, layer="features", show_progress=False)
    config = config_of()
    keras.utils.set_random_seed(9)
    model = models_zoo.build("mini_vgg", (16, 16), 2, **config.model.params)
    model.save(tmp_path / "model.keras")
    free = extract_features(config_of(f"model.weights={tmp_path}/model.keras"), manifest, layer="features", show_progress=False)
    given = extract_features(config, manifest, layer="features", show_progress=False, model=model)
    assert given.folder == free.folder and given.reused == given.wanted
    (tmp_path / "parts.csv").write_text("image_id,part\n")
    with pytest.raises(ValueError, match="a fold may hold out"):
        extract_features(config_of(f"model.weights={tmp_path}/model.keras"), manifest, layer="features", show_progress=False)


def test_files_that_were_good_are_checked_once_and_bad_ones_until_they_are_mended(
    config_of: Callable[..., RunConfig], manifest: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked: list[int] = []

    def check(images: pd.DataFrame) -> pd.DataFrame:
        checked.append(len(images))
        return check_images(images)

    monkeypatch.setattr(recipes_data, "check_images", check)
    broken = tmp_path / "broken.jpeg"
    broken.write_bytes(Path(manifest["path"].iloc[0]).read_bytes()[:300])
    bad = manifest.assign(path=manifest["path"].mask(manifest.index == 0, str(broken)))
    bad["sha256"] = bad["sha256"].mask(bad.index == 0, file_sha256(broken))
    bad.to_csv(tmp_path / "bad.csv", index=False)
    manifest.to_csv(tmp_path / "good.csv", index=False)
    good_config, bad_config = (config_of(f"data.manifest={tmp_path / name}") for name in ("good.csv", "bad.csv"))
    for _ in range(2):
        assert len(store_features(good_config)) == manifest["sha256"].nunique()
        with pytest.raises(ValueError, match=r"1 of \d+ files are no usable images(.|\n)*broken\.jpeg"):
            store_features(bad_config)
    assert len(checked) == 3
    assert sorted(len(pd.read_csv(path)) for path in (tmp_path / "cache" / "checked").rglob("bad_files.csv")) == [0, 1]
