import multiprocessing

import pytest

from cxr_keras.runs.directory import hold_run_directory, open_run_directory


def open_it(path, settings=None, data="d", verb="cv"):
    return open_run_directory(path, verb=verb, config_yaml="a: 1\n", settings=settings or {"a.b": 1}, data_digest=data)


def test_the_same_run_continues(tmp_path):
    assert open_it(tmp_path / "run") is False
    assert open_it(tmp_path / "run") is True
    assert (tmp_path / "run" / "config.yaml").read_text() == "a: 1\n"


@pytest.mark.parametrize(
    "change, message",
    [
        ({"settings": {"a.b": 2}}, "a.b: 1 there, 2 now"),
        ({"data": "other"}, "images or labels differ"),
        ({"verb": "train"}, "made by `cxr cv`, this is `cxr train`"),
    ],
)
def test_another_run_is_refused_with_the_difference(tmp_path, change, message):
    open_it(tmp_path)
    with pytest.raises(ValueError, match=message):
        open_it(tmp_path, **change)


def test_a_folder_of_something_else_is_refused(tmp_path):
    (tmp_path / "thesis.doc").write_text("")
    with pytest.raises(ValueError, match=r"no run \(thesis.doc\)"):
        open_it(tmp_path)


def hold(path, held, release):
    with hold_run_directory(path):
        held.set()
        release.wait(20)


def test_two_processes_do_not_share_a_run_directory(tmp_path):
    context = multiprocessing.get_context("spawn")
    held, release = context.Event(), context.Event()
    other = context.Process(target=hold, args=(tmp_path, held, release))
    other.start()
    try:
        assert held.wait(20)
        with pytest.raises(ValueError, match="Another process is working"), hold_run_directory(tmp_path):
            pass
        other.kill()  # a killed holder leaves no lock behind
        other.join()
        with hold_run_directory(tmp_path):
            pass
    finally:
        release.set()
        other.join()
