import itertools

import keras
import numpy as np
import pytest

from cxr_keras.training.schedules import cosine_rate, make_optimizer, paper_epoch_rate
from cxr_keras.training.strategies import Optimizer


def test_paper_decay_ends_where_the_paper_says():
    rates = [paper_epoch_rate(0.05, 30, epoch) for epoch in range(30)]
    assert rates[0] == rates[1] == 0.05
    assert rates[2] == pytest.approx(0.05 / (1 + 0.05 / 30))
    assert rates[-1] == pytest.approx(0.0257, abs=1e-4)
    assert paper_epoch_rate(0.05, 30, 30) == pytest.approx(0.0245, abs=1e-4)


def test_cosine_falls_from_the_first_rate_to_almost_nothing():
    rates = [cosine_rate(0.1, 10, epoch) for epoch in range(11)]
    assert rates[0] == 0.1 and rates[5] == pytest.approx(0.05) and rates[10] == pytest.approx(0.0, abs=1e-12)
    assert all(a > b for a, b in itertools.pairwise(rates))


def test_keras_batch_decay_is_the_formula_of_older_keras():
    optimizer = make_optimizer(Optimizer("sgd", learning_rate=0.05, decay="keras_batch"), epochs=30)
    variable = keras.Variable([1.0])
    optimizer.build([variable])
    batches = 30 * 183  # 4,392 images in batches of 24
    optimizer.iterations.assign(batches)
    rate = float(keras.ops.convert_to_numpy(optimizer.learning_rate))
    assert rate == pytest.approx(0.05 / (1 + 0.05 / 30 * batches), rel=1e-5)
    assert rate == pytest.approx(0.0049, abs=1e-4)


def test_adam_takes_its_epsilon():
    assert make_optimizer(Optimizer("adam", epsilon=0.1), epochs=1).epsilon == 0.1
    assert np.isclose(float(make_optimizer(Optimizer("sgd", momentum=0.9), epochs=1).momentum), 0.9)


def test_an_unknown_optimizer_is_refused():
    with pytest.raises(ValueError, match="adam, sgd"):
        make_optimizer(Optimizer("sdg"), epochs=1)
