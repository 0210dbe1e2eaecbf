"""Order is kept, errors come through, the progress bar is optional."""

import pytest

from cxr_keras.data.parallel import default_workers, map_in_threads


def test_results_keep_the_order_of_the_items(capsys):
    assert map_in_threads(lambda number: number * 2, range(50), workers=4, description="x", show_progress=False) == list(range(0, 100, 2))
    assert capsys.readouterr().err == ""
    assert map_in_threads(str, [1], workers=None, description="counting") == ["1"]
    assert "counting: 1 images" in capsys.readouterr().err


def test_an_error_stops_the_work():
    done = []

    def work(number: int) -> None:
        done.append(number)
        if number == 3:
            raise ValueError("bad item")

    with pytest.raises(ValueError, match="bad item"):
        map_in_threads(work, range(10_000), workers=1, description="x", show_progress=False)
    assert len(done) < 10_000


def test_workers_are_positive():
    assert default_workers() >= 1
    with pytest.raises(ValueError, match="workers is -1"):
        map_in_threads(str, [1], workers=-1, description="x")
