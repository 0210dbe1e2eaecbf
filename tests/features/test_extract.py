"""Extraction: every row once, the same numbers however it was interrupted, memory that does not grow."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import h5py
import keras
import numpy as np
import pandas as pd
import pytest

import models_zoo
from cxr_keras.features import FeatureStore
from cxr_keras.features import extract as extract_module
from cxr_keras.features.extract import describe_model, extract_rows, layer_model
from cxr_keras.features.shards import INDEX_FILE
from cxr_keras.features.store import hold_store

SIDE = 16


def pictures(positions: np.ndarray) -> np.ndarray:
    """Grey noise that depends on the position alone."""
    return np.stack([np.random.default_rng(int(place)).integers(0, 256, (SIDE, SIDE, 1)) for place in positions]).astype(np.float32)


def batches_of(positions: np.ndarray) -> Iterator[np.ndarray]:
    return (pictures(positions[start : start + 32]) for start in range(0, len(positions), 32))


def table(count: int) -> pd.DataFrame:
    digests = [hashlib.sha256(str(number).encode()).hexdigest() for number in range(count)]
    ids = [f"image{number}" for number in range(count)]
    return pd.DataFrame({"image_id": ids, "label": "normal", "group_id": ids, "sha256": digests, "copy": 0})


def small_model(name: str = "mini_vgg", seed: int = 1, side: int = SIDE, precision: str = "float32") -> keras.Model:
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy(precision)
    keras.utils.set_random_seed(seed)
    try:
        return models_zoo.build(name, (side, side), 2)
    finally:
        keras.config.set_dtype_policy(policy)


@pytest.fixture(scope="module")
def model() -> keras.Model:
    return small_model()


@pytest.fixture
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extract_module, "_SHARD_ROWS", 32)


def extract(model: keras.Model, wanted: pd.DataFrame, root: Path, layer: str = "features", batches: Callable = batches_of) -> FeatureStore:
    settings = {"architecture": "mini_vgg", **describe_model(model, layer)}
    return extract_rows(model, wanted, batches, root=root, settings=settings, show_progress=False)


def files_of(store: FeatureStore) -> dict[str, dict[str, bytes | str]]:
    """Every data set and attribute of every file, as bytes."""
    contents: dict[str, dict[str, bytes | str]] = {}
    for path in store.folder.iterdir():
        if path.name != ".lock":
            with h5py.File(path) as file:
                contents[path.name] = {name: file[name][:].tobytes() for name in file} | {
                    f"@{key}": str(file.attrs[key]) for key in file.attrs
                }
    return contents


@pytest.mark.parametrize("layer", ["features", "embedding"])
def test_rows_are_what_the_network_gives(model: keras.Model, tmp_path: Path, layer: str) -> None:
    wanted = table(40)
    store = extract(model, wanted, tmp_path, layer)
    assert (len(store), store.reused, store.wanted) == (40, 0, 40)
    direct = layer_model(model, layer).predict(pictures(np.arange(40)), batch_size=40, verbose=0).reshape(40, -1)
    assert store.dimensions == direct.shape[1] == (2 * 2 * 128 if layer == "features" else 512)
    stored = store.read(store.rows_of(wanted))
    assert stored.dtype == np.float32
    np.testing.assert_allclose(stored, direct, rtol=1e-5, atol=1e-6)


def test_only_missing_rows_are_computed(model: keras.Model, tmp_path: Path) -> None:
    asked: list[int] = []

    def counted(positions: np.ndarray) -> Iterator[np.ndarray]:
        asked.extend(positions.tolist())
        return batches_of(positions)

    first = extract(model, table(40), tmp_path, batches=counted)
    assert sorted(asked) == list(range(40))
    asked.clear()
    again = extract(model, table(40).sample(frac=1, random_state=0), tmp_path, batches=counted)
    assert (again.reused, again.wanted, asked) == (40, 40, [])
    more = pd.concat([table(50), table(3).assign(image_id="other name of the same bytes")])
    grown = extract(model, more, tmp_path, batches=counted)
    assert (grown.reused, grown.wanted, len(grown)) == (40, 50, 50) and sorted(asked) == list(range(40, 50))
    np.testing.assert_array_equal(grown.read(np.arange(40)), first.read(np.arange(40)))
    whole = extract(model, table(50), tmp_path / "at once")
    # The late rows were computed in a batch of other pictures; a row does not depend on its neighbours.
    np.testing.assert_array_equal(grown.read(grown.rows_of(table(50))), whole.read(whole.rows_of(table(50))))


@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16"])
@pytest.mark.parametrize("name", ["mini_vgg", "mini_resnet", "efficientnet_b0"])
def test_a_row_does_not_depend_on_the_others_of_its_batch(name: str, precision: str) -> None:
    part = layer_model(small_model(name, side=32, precision=precision), "features")
    images = np.random.default_rng(0).integers(0, 256, (32, 32, 32, 1)).astype(np.float32)
    ids = pd.Series([str(number) for number in range(32)])

    def compute(chosen: np.ndarray | slice) -> np.ndarray:
        return extract_module._compute(part.predict_on_batch, images[chosen], ids[: len(images[chosen])], precision=precision)

    full = compute(slice(None))
    shuffled = np.random.default_rng(1).permutation(32)
    np.testing.assert_array_equal(compute(slice(5)), full[:5])
    np.testing.assert_array_equal(compute(shuffled), full[shuffled])


def test_stored_in_bfloat16_stays_near_float32(tmp_path: Path) -> None:
    stores = [extract(small_model(precision=precision), table(8), tmp_path) for precision in ("float32", "mixed_bfloat16")]
    exact, rounded = (store.read(store.rows_of(table(8))) for store in stores)
    assert stores[0].folder != stores[1].folder and rounded.dtype == np.float32
    assert 0 < np.abs(rounded - exact).max() < 0.05 * np.abs(exact).max()


def test_other_weights_or_layers_are_another_store(model: keras.Model) -> None:
    same, other = describe_model(small_model(), "features"), describe_model(small_model(seed=2), "features")
    described = describe_model(model, "features")
    assert described == same and described["precision"] == "float32"
    assert {name for name in other if other[name] != same[name]} == {"weights_sha256"}
    frozen = small_model()
    models_zoo.base_model(frozen).trainable = False
    assert describe_model(frozen, "features") == same
    other_base = models_zoo.build("mini_resnet", (SIDE, SIDE), 2, normalise_image=False, widths=[8])
    with_norm = models_zoo.build("mini_resnet", (SIDE, SIDE), 2, normalise_image=True, widths=[8])
    with_norm.set_weights(other_base.get_weights())
    without, with_it = (describe_model(each, "features") for each in (other_base, with_norm))
    assert without["layers_sha256"] != with_it["layers_sha256"]


def test_unnamed_layers_are_numbered_anew_and_still_the_same() -> None:
    """Keras counts unnamed layers on and on in a process; the store must be found again all the same."""
    first, second = (describe_model(small_model("inception_v3", side=75), "features") for _ in range(2))
    assert first == second


def test_what_cannot_be_stored_is_refused(model: keras.Model, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="expected one of features, pooled, embedding. Did you mean 'embedding'"):
        layer_model(model, "embeding")
    with pytest.raises(ValueError, match="no layer 'embedding'"):
        layer_model(models_zoo.base_model(model), "embedding")
    with pytest.raises(ValueError, match="no images"):
        extract(model, table(0), tmp_path)
    with pytest.raises(ValueError, match="a batch has 3 pictures where 32 were asked for"):
        extract(model, table(40), tmp_path, batches=lambda positions: iter([pictures(positions[:3])]))
    with pytest.raises(ValueError, match="a batch has 0 pictures where 8 were asked for"):
        extract(model, table(40), tmp_path, batches=lambda positions: iter([pictures(positions[:32])]))
    broken = small_model()
    broken.get_layer("block3_conv2").bias.assign(np.full(128, np.inf, np.float32))
    with pytest.raises(ValueError, match="features of 'image.*' are not finite in float32: check the weights"):
        extract(broken, table(3), tmp_path)
    assert not list(tmp_path.rglob("rows-*")) and not list(tmp_path.rglob("*partial*"))


def test_a_failure_keeps_the_finished_shards(model: keras.Model, tmp_path: Path, small_shards: None) -> None:
    whole = extract(model, table(100), tmp_path / "at once")
    assert len(whole.shards) == 4

    def failing(positions: np.ndarray) -> Iterator[np.ndarray]:
        for number, batch in enumerate(batches_of(positions)):
            if number == 2:
                raise OSError(28, "No space left on device")
            yield batch

    with pytest.raises(OSError, match="the same command continues") as stop:
        extract(model, table(100), tmp_path / "broken", batches=failing)
    assert stop.value.errno == 28
    continued = extract(model, table(100), tmp_path / "broken")
    assert (continued.reused, continued.wanted) == (64, 100)
    assert files_of(continued) == files_of(whole)


def test_a_removed_shard_comes_back_to_its_place(model: keras.Model, tmp_path: Path, small_shards: None) -> None:
    whole = extract(model, table(100), tmp_path)
    before = files_of(whole)
    damaged = whole.shards[1].path
    os.truncate(damaged, 1000)
    with pytest.raises(ValueError, match="rows-000001.h5 is damaged .*Remove that file; the same command"):
        extract(model, table(100), tmp_path)
    damaged.unlink()
    assert extract(model, table(100), tmp_path).reused == 68
    assert files_of(whole) == before
    (whole.folder / INDEX_FILE).unlink()
    assert extract(model, table(100), tmp_path).reused == 100
    assert files_of(whole) == before


def test_stored_rows_are_read_while_another_process_adds_some(model: keras.Model, tmp_path: Path) -> None:
    store = extract(model, table(5), tmp_path)
    (store.folder / INDEX_FILE).unlink()
    with hold_store(store.folder):  # a second opening of the same file is as good as a second process
        assert extract(model, table(5), tmp_path).reused == 5
        assert not (store.folder / INDEX_FILE).exists()
    assert extract(model, table(5), tmp_path).reused == 5 and (store.folder / INDEX_FILE).exists()


SCRIPT = """
import importlib.util, pathlib, sys, threading, time
specification = importlib.util.spec_from_file_location("shared", sys.argv[1])
shared = importlib.util.module_from_spec(specification)
specification.loader.exec_module(shared)
root, role = pathlib.Path(sys.argv[2]), sys.argv[3]
"""

INTERRUPTED = (
    SCRIPT
    + """
shared.extract_module._SHARD_ROWS = 32
model, count = shared.small_model(), 0
def batches_of(positions):
    global count
    for batch in shared.batches_of(positions):
        if role == "killed" and count == 2:
            print("ready to be killed", flush=True)
            time.sleep(600)
        count += 1
        yield batch
wanted = shared.table(100)
settings = {"architecture": "mini_vgg", **shared.describe_model(model, "features")}
store = shared.extract_rows(model, wanted, batches_of, root=root, settings=settings, show_progress=role == "waiting")
print(store.reused, store.wanted, count, flush=True)
"""
)


def start(script: str, *arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", script, __file__, *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


def test_two_processes_at_once_and_a_kill(model: keras.Model, tmp_path: Path, small_shards: None) -> None:
    """The first is killed in its third shard while the second waits: the second goes on, and the files equal an unbroken run's."""
    first = start(INTERRUPTED, tmp_path / "cache", "killed")
    processes = [first]
    try:
        assert "ready" in first.stdout.readline()
        second = start(INTERRUPTED, tmp_path / "cache", "waiting")
        processes.append(second)
        while "another process is computing these features" not in (line := second.stderr.readline()):
            assert line, "the second process ended without waiting"
        assert list((tmp_path / "cache").rglob(".*.partial.h5"))
        first.kill()
        output, _ = second.communicate(timeout=120)
    finally:
        for process in processes:
            process.kill()
            process.communicate()
    assert output.split() == ["64", "100", "2"]
    whole, continued = extract(model, table(100), tmp_path / "unbroken"), extract(model, table(100), tmp_path / "cache")
    assert continued.reused == 100
    assert files_of(continued) == files_of(whole)


# Rows of 64 kB: the larger set holds 118 MB more, far above 10 % of the 340 MB that the smaller takes.
MEMORY = (
    SCRIPT
    + """
import keras
import numpy as np
image = keras.Input((16, 16, 1))
x = keras.layers.Conv2D(64, 3, padding="same")(image)
model = keras.Model(image, keras.layers.Identity(name="features")(x))
peak = 0
def sample():
    global peak
    while True:
        lines = pathlib.Path("/proc/self/status").read_text().splitlines()
        peak = max(peak, next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")))
        time.sleep(0.005)
def run(count):
    store = shared.extract(model, shared.table(count), root)
    rows = store.rows_of(shared.table(count))
    rows = np.random.default_rng(0).permutation(rows)
    total = sum(float(store.read(rows[start : start + 64]).sum()) for start in range(0, len(rows), 64))
    assert store.dimensions == 16384 and np.isfinite(total)
run(64)
threading.Thread(target=sample, daemon=True).start()
run(int(role))
print(peak)
"""
)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads Linux's account of memory")
def test_memory_does_not_grow_with_the_images(tmp_path: Path) -> None:
    peaks = []
    for count in (200, 2000):
        process = start(MEMORY, tmp_path / str(count), count)
        output, errors = process.communicate(timeout=240)
        assert process.returncode == 0, errors
        peaks.append(int(output.split()[-1]) / 1024)
    assert peaks[1] < 1.1 * peaks[0], f"peak anonymous memory {peaks[0]:.0f} MB at 200 images, {peaks[1]:.0f} MB at 2,000"
