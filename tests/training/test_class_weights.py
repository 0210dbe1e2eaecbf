import numpy as np
import pytest

from cxr_keras.training.class_weights import class_weights

CLASSES = ("normal", "pneumonia")


def test_balanced_follows_the_training_labels():
    weights = class_weights("balanced", CLASSES, training_labels=["normal"] * 10 + ["pneumonia"] * 27)
    assert weights[0] / weights[1] == pytest.approx(2.7)
    assert (10 * weights[0] + 27 * weights[1]) / 37 == pytest.approx(1)


def test_fixed_weights_follow_the_order_of_the_classes():
    assert np.array_equal(class_weights({"pneumonia": 1, "normal": 3}, CLASSES, training_labels=[]), [3, 1])


def test_none_is_none():
    assert class_weights("none", CLASSES, training_labels=[]) is None


def test_faults_name_the_class():
    with pytest.raises(ValueError, match=r"Missing: \['pneumonia'\]; unknown: \['sick'\]"):
        class_weights({"normal": 3, "sick": 1}, CLASSES, training_labels=[])
    with pytest.raises(ValueError, match="No training image of class pneumonia"):
        class_weights("balanced", CLASSES, training_labels=["normal"])
    with pytest.raises(ValueError, match="class_weights is 'balance'"):
        class_weights("balance", CLASSES, training_labels=["normal"])
