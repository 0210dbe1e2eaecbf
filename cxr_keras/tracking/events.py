"""Event files of TensorBoard, written without TensorFlow.

TensorBoard's own writer opens files by `tf.io.gfile`, which loads TensorFlow where it is installed, and writes from a thread; so only its
message types are used here. A file is a sequence of records: length (8 bytes), its masked CRC-32C (4), the message, its masked CRC-32C (4),
all little-endian.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from tensorboard.compat.proto import event_pb2, summary_pb2, tensor_pb2, tensor_shape_pb2, types_pb2
from tensorboard.plugins.hparams import api_pb2, plugin_data_pb2

from cxr_keras.runs.files import write_atomically

PATTERN = "events.out.tfevents.*.cxr"
"""Names of the event files of this package; TensorBoard reads every file with `tfevents` in its name, in the order of the names."""

CASTAGNOLI = 0x82F63B78
"""The polynomial of CRC-32C, reversed."""


def _crc_table() -> tuple[int, ...]:
    table = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (CASTAGNOLI if value & 1 else 0)
        table.append(value)
    return tuple(table)


_TABLE = _crc_table()


def masked_crc(data: bytes) -> bytes:
    """CRC-32C of `data`, rotated and offset as in TFRecord files, little-endian."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = _TABLE[(crc ^ byte) & 0xFF] ^ crc >> 8
    crc ^= 0xFFFFFFFF
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def record(event: event_pb2.Event) -> bytes:
    """One event as it stands in the file."""
    data = event.SerializeToString()
    length = struct.pack("<Q", len(data))
    return length + masked_crc(length) + data + masked_crc(data)


def replace_events(folder: Path, events: Iterable[event_pb2.Event]) -> Path:
    """Put one new event file into `folder` in place of the earlier ones of this package.

    It gets a later name, because a TensorBoard that runs holds the old file open, and begins by telling it to forget what it read there.

    Returns:
        The file, whole; further records may be appended.
    """
    earlier = sorted(folder.glob(PATTERN))
    now = time.time_ns()
    path = folder / f"events.out.tfevents.{now // 10**9:010d}.{now % 10**9:09d}.cxr"
    begin = event_pb2.Event(wall_time=now / 1e9, file_version="brain.Event:2")
    forget = event_pb2.Event(wall_time=now / 1e9, step=0, session_log=event_pb2.SessionLog(status=event_pb2.SessionLog.START))
    with write_atomically(path) as temporary:
        temporary.write_bytes(b"".join(record(event) for event in (begin, forget, *events)))
    for old in earlier:
        old.unlink(missing_ok=True)
    return path


def scalars(values: Mapping[str, float], *, step: int, when: float) -> event_pb2.Event:
    """One event with all numbers of a step."""
    parts = [summary_pb2.Summary.Value(tag=tag, simple_value=value) for tag, value in values.items()]
    return event_pb2.Event(wall_time=when, step=step, summary=summary_pb2.Summary(value=parts))


def image(tag: str, path: Path, *, when: float) -> event_pb2.Event:
    """An event with a PNG file as it is."""
    data = path.read_bytes()
    # Width and height stand at a fixed place of every PNG, in its first chunk.
    width, height = struct.unpack(">II", data[16:24])
    picture = summary_pb2.Summary.Image(width=width, height=height, colorspace=4, encoded_image_string=data)
    return event_pb2.Event(wall_time=when, step=0, summary=summary_pb2.Summary(value=[summary_pb2.Summary.Value(tag=tag, image=picture)]))


def hyperparameters(values: Mapping[str, bool | float | str], *, started: float, ended: float) -> list[event_pb2.Event]:
    """The two events that make the scalars beside them a session of the HParams tab.

    Without a description of the whole experiment, which only one run could hold, TensorBoard gathers names and values over all runs and
    marks what differs between them.
    """
    start = plugin_data_pb2.SessionStartInfo(start_time_secs=started)
    for name, value in values.items():
        if isinstance(value, bool):
            start.hparams[name].bool_value = value
        elif isinstance(value, str):
            start.hparams[name].string_value = value
        else:
            start.hparams[name].number_value = value
    end = plugin_data_pb2.SessionEndInfo(status=api_pb2.STATUS_SUCCESS, end_time_secs=ended)
    return [
        _metadata("_hparams_/session_start_info", plugin_data_pb2.HParamsPluginData(session_start_info=start), when=ended),
        _metadata("_hparams_/session_end_info", plugin_data_pb2.HParamsPluginData(session_end_info=end), when=ended),
    ]


def _metadata(tag: str, content: plugin_data_pb2.HParamsPluginData, *, when: float) -> event_pb2.Event:
    """An event that holds only metadata of the HParams plugin, beside an empty tensor."""
    plugin = summary_pb2.SummaryMetadata.PluginData(plugin_name="hparams", content=content.SerializeToString())
    nothing = tensor_pb2.TensorProto(
        dtype=types_pb2.DT_FLOAT, tensor_shape=tensor_shape_pb2.TensorShapeProto(dim=[tensor_shape_pb2.TensorShapeProto.Dim(size=0)])
    )
    value = summary_pb2.Summary.Value(tag=tag, tensor=nothing, metadata=summary_pb2.SummaryMetadata(plugin_data=plugin))
    return event_pb2.Event(wall_time=when, step=0, summary=summary_pb2.Summary(value=[value]))
