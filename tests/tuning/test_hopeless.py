from cxr_keras.tuning.hopeless import is_hopeless

COMPLETE = [(0.9, 0.8, 0.7), (0.8, 0.8, 0.8), (0.7, 0.6, 0.9), (0.6, 0.6, 0.6)]


def test_behind_the_median_over_the_same_folds():
    # Means over the first fold .9 .8 .7 .6, median .75; over two .85 .8 .65 .6, median .725.
    assert is_hopeless([0.74], COMPLETE, higher_is_better=True, complete_first=4)
    assert not is_hopeless([0.76], COMPLETE, higher_is_better=True, complete_first=4)
    assert not is_hopeless([0.5, 0.96], COMPLETE, higher_is_better=True, complete_first=4)
    assert is_hopeless([0.5, 0.94], COMPLETE, higher_is_better=True, complete_first=4)


def test_a_loss_counts_the_other_way():
    assert is_hopeless([0.76], COMPLETE, higher_is_better=False, complete_first=4)
    assert not is_hopeless([0.74], COMPLETE, higher_is_better=False, complete_first=4)


def test_nothing_is_hopeless_before_enough_are_complete():
    assert not is_hopeless([0.0], COMPLETE[:3], higher_is_better=True, complete_first=4)
