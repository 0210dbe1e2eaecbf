"""Crossed looks: a hand-made model that reads brightness is found, one that does not is not."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from cxr_keras.evaluation.crossed import crossed_differences, is_read

N = 80
RANDOM = np.random.default_rng(0)
SICK = np.arange(N) % 2 == 1
DISEASE = SICK + RANDOM.normal(0, 0.7, N)


def table(score):
    probability = 1 / (1 + np.exp(-4 * (score - 0.5)))
    names = [f"image {number}" for number in range(N)]
    labels = np.where(SICK, "sick", "well")
    return pd.DataFrame(
        {"image_id": names, "group_id": names, "label": labels, "fold": 0, "p_sick": probability, "p_well": 1 - probability}
    )


def test_a_score_that_moves_with_a_look_is_found_and_one_that_does_not_is_not():
    differences = crossed_differences(table(DISEASE), {"bright": table(DISEASE + 1.0), "coarse": table(DISEASE)}, draws=4000)
    assert set(differences) == {(look, label) for look in ("bright", "coarse") for label in ("sick", "well")}
    # Well ones that are brighter look sick; sick ones that are brighter only the more so.
    assert is_read(differences["bright", "well"]["macro_auroc"]) and differences["bright", "well"]["macro_auroc"].value < -0.2
    assert not is_read(differences["bright", "sick"]["macro_auroc"]) and differences["bright", "sick"]["macro_auroc"].value > 0
    assert all(differences["coarse", label]["macro_auroc"].value == 0 for label in ("sick", "well"))
    assert differences["bright", "well"]["balanced_accuracy"].value < -0.1


def test_the_crossed_auroc_is_that_of_one_class_changed():
    from sklearn.metrics import roc_auc_score

    changed = DISEASE + RANDOM.normal(0.3, 0.2, N)
    difference = crossed_differences(table(DISEASE), {"other": table(changed)}, draws=500)["other", "well"]["macro_auroc"]
    expected = roc_auc_score(SICK, np.where(SICK, DISEASE, changed)) - roc_auc_score(SICK, DISEASE)
    assert difference.value == pytest.approx(expected)


def test_other_images_are_refused():
    other = table(DISEASE).assign(image_id=[f"other {number}" for number in range(N)])
    with pytest.raises(ValueError, match="cannot be paired"):
        crossed_differences(table(DISEASE), {"other": other}, draws=500)
