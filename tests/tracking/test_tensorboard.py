import subprocess
import sys

import numpy as np
import pytest
from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import masked_crc32c
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

from cxr_keras.tracking.events import PATTERN, masked_crc
from cxr_keras.tracking.tensorboard import TensorBoard


@pytest.fixture
def tensorboard(tmp_path):
    (tmp_path / "fold-0").mkdir()
    return TensorBoard(tmp_path)


@pytest.mark.parametrize("data", [b"", b"\0", b"123456789", bytes(range(256))])
def test_the_checksum_is_that_of_tensorboard(data):
    assert int.from_bytes(masked_crc(data), "little") == masked_crc32c(data)


def test_an_epoch_is_on_disk_when_it_is_told(tensorboard, history, events_in, tmp_path):
    rows = history(3)
    tensorboard.begin_fold(tmp_path / "fold-0", rows[:1], ended=1000.0)
    for row in rows[1:]:
        tensorboard.epoch_done(row)
        scalars = events_in(tmp_path / "fold-0").Scalars("epoch/loss")
        assert [(scalar.step, scalar.value) for scalar in scalars] == [(n, np.float32(1 / n)) for n in range(1, row["epoch"] + 1)]
    assert scalars[0].wall_time == 1000.0
    assert events_in(tmp_path / "fold-0").Tags()["scalars"] == [
        f"epoch/{name}" for name in ("learning_rate", "loss", "accuracy", "val_loss", "seconds")
    ]


def test_after_a_kill_no_epoch_is_there_twice_or_missing(tensorboard, history, events_in, tmp_path):
    folder, rows = tmp_path / "fold-0", history(5)
    tensorboard.begin_fold(folder, [], ended=0.0)
    for row in rows[:4]:
        tensorboard.epoch_done(row)
    watching = events_in(folder)
    [file] = folder.glob(PATTERN)
    file.write_bytes(file.read_bytes()[:-7])  # killed within a record
    again = TensorBoard(tmp_path)  # goes on after the last state, which is older than the last epoch
    again.begin_fold(folder, rows[:2], ended=1000.0)
    for row in rows[2:]:
        again.epoch_done(row)
    assert len(list(folder.glob(PATTERN))) == 1
    for reader in (events_in(folder), watching.Reload()):
        assert [scalar.step for scalar in reader.Scalars("epoch/loss")] == [1, 2, 3, 4, 5]


def test_the_end_of_a_run_has_scores_figures_and_hyperparameters(tensorboard, run_results, events_in, tmp_path):
    for _ in range(2):  # the same command again
        results = run_results(tmp_path)
        tensorboard.end_run(results)
    for name in ("fold-0", "fold-1"):
        events = events_in(tmp_path / name)
        assert [scalar.step for scalar in events.Scalars("epoch/loss")] == [1, 2, 3]
        assert [(scalar.step, scalar.value) for scalar in events.Scalars("test/accuracy")] == [(3, 0.75)]
    events = events_in(tmp_path / "results")
    assert events.Scalars("test/macro_auroc")[0].value == np.float32(0.9)
    [picture] = events.Images("figures/roc")
    assert (picture.width, picture.height) == (30, 20) and picture.encoded_image_string == (tmp_path / "roc.png").read_bytes()
    content = [events.SummaryMetadata(f"_hparams_/session_{end}_info").plugin_data.content for end in ("start", "end")]
    start, end = (HParamsPluginData.FromString(part) for part in content)
    assert {name: value.WhichOneof("kind") for name, value in start.session_start_info.hparams.items()} == {
        "model.name": "string_value", "seed": "number_value", "flip": "bool_value"
    }  # fmt: skip
    assert end.session_end_info.end_time_secs - start.session_start_info.start_time_secs == pytest.approx(6, abs=1)


def test_writing_loads_no_backend():
    code = "import sys, cxr_keras.tracking.tensorboard; print([m for m in ('tensorflow', 'keras', 'pandas') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
