import numpy as np
import pandas as pd
import pytest

from cxr_keras.evaluation import wrong_together as module
from cxr_keras.evaluation.wrong_together import describe_together, likely_label_errors, missed_by_most

CLASSES = ("bacterial", "normal", "viral")


def table(probabilities, labels):
    n = len(labels)
    made = pd.DataFrame({"image_id": [f"i{k}" for k in range(n)], "group_id": [f"g{k}" for k in range(n)], "fold": 0, "label": labels})
    return made.assign(**{f"p_{name}": np.asarray(probabilities, float)[:, k] for k, name in enumerate(CLASSES)})


LABELS = ["bacterial", "normal", "viral"]
RIGHT = table([[0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.1, 0.1, 0.8]], LABELS)
ONE_WRONG = table([[0.8, 0.1, 0.1], [0.7, 0.2, 0.1], [0.1, 0.1, 0.8]], LABELS)
TWO_WRONG = table([[0.8, 0.1, 0.1], [0.5, 0.3, 0.2], [0.1, 0.6, 0.3]], LABELS)


def test_counts_and_means_by_hand():
    described = describe_together({"a": RIGHT, "b": ONE_WRONG, "c": TWO_WRONG})
    assert described["wrong"].tolist() == [0, 2, 1] and set(described["models"]) == {3}
    assert missed_by_most(described).tolist() == [False, True, False]
    row = described.iloc[1]
    assert (row["label"], row["named_instead"]) == ("normal", "bacterial")
    assert row["p_label"] == pytest.approx((0.8 + 0.2 + 0.3) / 3) and row["p_named"] == pytest.approx((0.1 + 0.7 + 0.5) / 3)


def test_half_is_not_most():
    assert not missed_by_most(describe_together({"a": RIGHT, "b": ONE_WRONG})).any()


def test_tables_are_joined_by_image():
    shuffled = ONE_WRONG.iloc[[2, 0, 1]]
    columns_moved = TWO_WRONG[["image_id", "group_id", "fold", "label", "p_viral", "p_bacterial", "p_normal"]]
    plain = describe_together({"a": RIGHT, "b": ONE_WRONG, "c": TWO_WRONG})
    pd.testing.assert_frame_equal(describe_together({"a": RIGHT, "b": shuffled, "c": columns_moved}), plain)


def test_faults():
    with pytest.raises(ValueError, match="takes two or more"):
        describe_together({"a": RIGHT})
    with pytest.raises(ValueError, match="b cannot be set beside a: 2 images are in both, of 3 and 2"):
        describe_together({"a": RIGHT, "b": ONE_WRONG.iloc[:2]})
    with pytest.raises(ValueError, match="carry other labels"):
        describe_together({"a": RIGHT, "b": ONE_WRONG.assign(label="viral")})


def noisy(n=600, *, flipped=24, models=3):
    """Predictions of networks that know the truth, and labels of which some are another class."""
    random = np.random.default_rng(0)
    truth = random.integers(3, size=n)
    labels = truth.copy()
    labels[:flipped] = (labels[:flipped] + 1) % 3
    tables = {}
    for number in range(models):
        logits = random.normal(size=(n, 3)) + 4 * np.eye(3)[truth]
        tables[f"m{number}"] = table(np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True), np.array(CLASSES)[labels])
    return tables


def test_flipped_labels_are_found():
    pytest.importorskip("cleanlab")
    found = likely_label_errors(noisy())
    flipped = {f"i{k}" for k in range(24)}
    assert len(flipped & set(found["image_id"])) >= 20 and len(set(found["image_id"]) - flipped) <= 6
    assert found["label_quality"].is_monotonic_increasing and found["label_quality"].between(0, 1).all()


def test_an_absent_class_is_refused():
    pytest.importorskip("cleanlab")
    tables = {name: made[made["label"] != "viral"] for name, made in noisy().items()}
    with pytest.raises(ValueError, match="no image is labelled viral"):
        likely_label_errors(tables)


def test_without_the_library_the_extra_is_named(monkeypatch):
    monkeypatch.setattr(module, "label_errors_can_be_found", lambda: False)
    with pytest.raises(ValueError, match=r"pip install 'cxr-keras\[label-errors\]'"):
        likely_label_errors(noisy())
