"""Thumbnail baseline: it finds brightness, finds nothing in noise, and refuses folds that leak."""

from __future__ import annotations

import numpy as np
import pytest

from cxr_keras.evaluation.baselines import thumbnail_baseline


def example(brighter: int, *, patients: int = 60, classes=("normal", "viral", "covid19")):
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(patients), 2)
    codes = (groups * 7) % len(classes)
    images = rng.integers(0, 100, (len(groups), 32, 48, 1))
    images[:, :8] += (brighter * codes)[:, None, None, None]
    return images.astype(np.uint8), np.array(classes)[codes], groups


def test_brightness_of_a_field_is_found():
    result = thumbnail_baseline(*example(30))
    assert result["macro_auroc"] > 0.9
    assert set(result["auroc"]) == {"normal", "viral", "covid19"}
    assert result["macro_auroc"] == pytest.approx(np.mean(list(result["auroc"].values())))
    assert (result["n_images"], result["n_folds"], result["thumbnail_size"]) == (120, 5, 8)


def test_noise_tells_nothing():
    assert 0.3 < thumbnail_baseline(*example(0), seed=1)["macro_auroc"] < 0.65


def test_two_classes_give_one_auroc():
    result = thumbnail_baseline(*example(30, classes=("normal", "pneumonia")), size=4, folds=3)
    assert list(result["auroc"]) == ["pneumonia"] and result["macro_auroc"] > 0.95


def test_given_folds_are_used_and_repeatable():
    images, labels, groups = example(4)
    folds = groups % 4
    result = thumbnail_baseline(images, labels, groups, fold_ids=folds)
    assert result["n_folds"] == 4
    assert result == thumbnail_baseline(images[..., 0], labels.tolist(), groups.tolist(), fold_ids=folds, seed=9)
    assert result["macro_auroc"] != thumbnail_baseline(images, labels, groups)["macro_auroc"]


def test_faults_are_refused():
    images, labels, groups = example(4)
    with pytest.raises(ValueError, match="more than one fold"):
        thumbnail_baseline(images, labels, groups, fold_ids=np.arange(len(groups)) % 2)
    with pytest.raises(ValueError, match="equally many"):
        thumbnail_baseline(images[:-1], labels, groups)
    with pytest.raises(ValueError, match="two or more"):
        thumbnail_baseline(images, np.full(len(labels), "normal"), groups)
    with pytest.raises(ValueError, match="one fold only"):
        thumbnail_baseline(images, labels, groups, fold_ids=np.zeros(len(groups)))
    with pytest.raises(ValueError, match="outside fold"):
        thumbnail_baseline(images, labels, groups, fold_ids=(labels == "viral").astype(int))
    with pytest.raises(ValueError, match="expected"):
        thumbnail_baseline(np.zeros((4, 8, 8, 3), np.uint8), labels[:4], groups[:4])
