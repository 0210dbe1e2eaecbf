import subprocess
import sys

import pytest

from cxr_keras.runs.directory import hold_run_directory, open_run_directory, refuse_foreign_files


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


def test_a_setting_that_an_earlier_version_did_not_know_is_no_difference_at_its_default(tmp_path):
    open_it(tmp_path)
    arguments = {"verb": "cv", "config_yaml": "", "data_digest": "d", "defaults": {"a.b": 5, "new.key": "none"}}
    assert open_run_directory(tmp_path, settings={"a.b": 1, "new.key": "none"}, **arguments)
    with pytest.raises(ValueError, match="new.key: None there, 'mirrored' now"):
        open_run_directory(tmp_path, settings={"a.b": 1, "new.key": "mirrored"}, **arguments)
    with pytest.raises(ValueError, match="a.b: 1 there, 5 now"):
        open_run_directory(tmp_path, settings={"a.b": 5, "new.key": "none"}, **arguments)


def test_a_run_killed_between_its_first_files_begins_again(tmp_path):
    (tmp_path / "config.yaml").write_text("name: a\n")
    (tmp_path / ".state.0a1b2c3d.partial.npz").write_bytes(b"half")
    with hold_run_directory(tmp_path):
        assert not list(tmp_path.glob(".*.partial*"))
        continued = open_run_directory(tmp_path, verb="cv", config_yaml="name: a\n", settings={"name": "a"}, data_digest="d")
    assert not continued and (tmp_path / "run.json").exists()


def test_a_refused_run_leaves_no_folder(tmp_path):
    with pytest.raises(ValueError, match="refused"), hold_run_directory(tmp_path / "runs" / "new"):
        raise ValueError("refused")
    assert not (tmp_path / "runs").exists()


def test_what_was_there_or_was_written_stays_when_a_run_is_refused(tmp_path):
    (tmp_path / "mine").mkdir()
    for folder, written in ((tmp_path / "mine", False), (tmp_path / "runs" / "begun", True)):
        with pytest.raises(ValueError, match="refused"), hold_run_directory(folder):
            if written:
                (folder / "bad_files.csv").touch()
            raise ValueError("refused")
        assert folder.is_dir()
    assert (tmp_path / "runs" / "begun" / "bad_files.csv").exists()


def test_a_folder_that_another_verb_was_filling_is_left(tmp_path):
    (tmp_path / ".check.partial").mkdir()
    (tmp_path / ".check.partial" / "trust.csv").touch()
    with hold_run_directory(tmp_path):
        assert (tmp_path / ".check.partial" / "trust.csv").exists()


def test_a_folder_of_something_else_is_refused(tmp_path):
    (tmp_path / "thesis.doc").write_text("")
    with pytest.raises(ValueError, match=r"no run \(thesis.doc\)"):
        open_it(tmp_path)


def test_two_processes_do_not_share_a_run_directory(tmp_path):
    code = (
        "import sys, time; from pathlib import Path; from cxr_keras.runs.directory import hold_run_directory\n"
        "with hold_run_directory(Path(sys.argv[1])):\n"
        "    print('held', flush=True)\n"
        "    time.sleep(60)\n"
    )
    other = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    try:
        assert other.stdout.readline() == "held\n"
        with pytest.raises(ValueError, match="Another process is working.*another directory with --run"), hold_run_directory(tmp_path):
            pass
        with pytest.raises(ValueError, match="another directory with --out"), hold_run_directory(tmp_path, option="--out"):
            pass
    finally:
        other.kill()
        other.communicate()
    with hold_run_directory(tmp_path):  # a killed holder leaves no lock behind
        pass


def test_what_is_not_a_run_is_left_alone(tmp_path):
    (tmp_path / ".mine.partial.csv").write_text("a\n")
    (tmp_path / "file").write_text("a\n")
    with hold_run_directory(tmp_path):
        assert (tmp_path / ".mine.partial.csv").exists()
        with pytest.raises(ValueError, match="holds files that are no run"):
            refuse_foreign_files(tmp_path)
    with (
        pytest.raises(ValueError, match="file is a file, and a folder is written to. Name another with --run"),
        hold_run_directory(tmp_path / "file"),
    ):
        pass
