import numpy as np
import pytest

from cxr_keras.training import measure


@pytest.mark.parametrize(("long_step", "calls", "timed"), [(10.0, 4, 3), (-1.0, 2, 1)])
def test_timing_stops_after_a_step_that_takes_long(monkeypatch, long_step, calls, timed):
    monkeypatch.setattr(measure, "LONG_STEP", long_step)
    seen = []
    timing = measure.time_prediction(lambda images: seen.append(images.shape), (4, 4, 1), batch_size=5)
    assert seen == [(5, 4, 4, 1)] * calls and timing.steps == timed and 0 <= timing.seconds < 1


def test_prediction_is_timed_on_grey_noise():
    seen = []
    measure.time_prediction(seen.append, (8, 8, 1), batch_size=2)
    assert seen[0].dtype == np.float32 and 0 <= seen[0].min() < seen[0].max() <= 255
