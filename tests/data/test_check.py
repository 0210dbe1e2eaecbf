"""Every kind of bad file is found, with its reason, and no good one."""

import io
import struct
import zlib

import cv2
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from cxr_keras.data.check import BAD_COLUMNS, check_images, write_bad_files
from cxr_keras.data.inspect_image import read_header
from cxr_keras.data.strict_decode import StrictDecoder
from cxr_keras.runs.files import file_sha256


def _encode(suffix: str, image: np.ndarray, *options: int) -> bytes:
    done, contents = cv2.imencode(suffix, image, list(options))
    assert done
    return contents.tobytes()


NOISE = np.random.default_rng(0).integers(0, 256, (64, 80), dtype=np.uint8)
JPEG, PNG = _encode(".jpeg", NOISE), _encode(".png", NOISE)
RESTART = _encode(".jpeg", NOISE, cv2.IMWRITE_JPEG_RST_INTERVAL, 2)
HALF = len(JPEG) // 2
SIXTEEN_BITS = _encode(".png", (NOISE.astype(np.uint16) % 4) + 40_000)
IHDR = struct.pack(">IIBBBBB", 10_000, 6_000, 8, 0, 0, 0, 0)
HUGE = b"\x89PNG\r\n\x1a\n" + b"".join(
    struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
    for name, body in ((b"IHDR", IHDR), (b"IEND", b""))
)

GOOD = {
    "grey.jpeg": JPEG,
    "grey.png": PNG,
    "progressive.jpeg": _encode(".jpeg", NOISE, cv2.IMWRITE_JPEG_PROGRESSIVE, 1),
    "restart.jpeg": RESTART,
    "colour.jpeg": _encode(".jpeg", np.dstack([NOISE] * 3)),
    "alpha.png": _encode(".png", np.dstack([NOISE] * 3 + [np.full_like(NOISE, 255)])),
    "sixteen_bits.png": SIXTEEN_BITS,
    "padded.jpeg": JPEG + bytes(100),
    "smallest.png": _encode(".png", NOISE[:32, :32]),
}
BAD = {
    "empty.jpeg": (b"", "empty file"),
    "text.jpeg": (b"<html>404</html>", "neither JPEG, PNG nor DICOM"),
    "cut.jpeg": (JPEG[:HALF], "truncated: JPEG ends without its end marker"),
    "no_end_marker.jpeg": (JPEG[:-2], "truncated: JPEG"),
    "cut_but_closed.jpeg": (JPEG[:HALF] + b"\xff\xd9", "damaged: Corrupt JPEG data"),
    "hole.jpeg": (RESTART[:HALF] + bytes(400) + RESTART[HALF + 400 :], "damaged: Corrupt JPEG data"),
    "header_only.jpeg": (JPEG[:20], "truncated: JPEG"),
    "cut.png": (PNG[: len(PNG) // 2], "truncated: PNG ends before its IEND chunk"),
    "flipped.png": (PNG[:200] + bytes([PNG[200] ^ 1]) + PNG[201:], "damaged: checksum of PNG chunk IDAT is wrong"),
    "tiny.png": (_encode(".png", NOISE[:31, :60]), "tiny: 60x31 pixels, at least 32 a side"),
    "constant.jpeg": (_encode(".jpeg", np.full((64, 64), 7, np.uint8)), "constant: every pixel is 7"),
    "huge.png": (HUGE, "huge: 10000x6000 pixels, at most 50,000,000"),
    "no_pixels.png": (HUGE.replace(IHDR, struct.pack(">IIBBBBB", 99, 99, 8, 0, 0, 0, 0)), "damaged: checksum"),
}


def _cmyk() -> bytes:
    """OpenCV reads this, the decoder of the pipeline does not."""
    buffer = io.BytesIO()
    Image.fromarray(np.dstack([NOISE] * 4), "CMYK").save(buffer, "JPEG")
    return buffer.getvalue()


BAD["cmyk.jpeg"] = (_cmyk(), "unsupported: JPEG of 4 colours")


def _manifest(folder, contents: dict[str, bytes]) -> pd.DataFrame:
    for name, body in contents.items():
        (folder / name).write_bytes(body)
    names = list(contents)
    return pd.DataFrame(
        {"image_id": names, "path": [str(folder / name) for name in names], "sha256": [file_sha256(folder / name) for name in names]}
    )


def test_what_passes_can_be_decoded_and_what_fails_early_cannot():
    """The check and the decoder of the pipeline agree, except on damage that the decoder fills with grey without a word."""
    from cxr_keras.pixels.decode import decode_gray

    for contents in GOOD.values():
        header = read_header(contents)
        assert decode_gray(contents).shape == (header.height, header.width, 1)
    for name, (contents, _) in BAD.items():
        if name != "huge.png" and read_header(contents).fault:
            with pytest.raises(ValueError):
                decode_gray(contents)


def test_good_files_pass(tmp_path):
    bad = check_images(_manifest(tmp_path, GOOD), workers=1, show_progress=False)
    assert bad.empty and list(bad.columns) == BAD_COLUMNS


def test_each_bad_file_is_found_with_its_reason_in_one_order(tmp_path):
    manifest = _manifest(tmp_path, {**GOOD, **{name: body for name, (body, _) in BAD.items()}})
    bad = check_images(manifest, workers=2, show_progress=False)
    assert list(bad["image_id"]) == sorted(BAD)
    for name, reason in zip(bad["image_id"], bad["reason"], strict=True):
        assert reason.startswith(BAD[name][1]), name
    again = check_images(manifest.sample(frac=1, random_state=3), workers=1, show_progress=False)
    assert again.equals(bad)


def test_missing_and_changed_files(tmp_path):
    manifest = _manifest(tmp_path, {"a.png": PNG, "b.png": PNG, "c.jpeg": JPEG})
    (tmp_path / "a.png").unlink()
    (tmp_path / "b.png").write_bytes(_encode(".png", NOISE + 1))
    (tmp_path / "c.jpeg").write_bytes(JPEG[:HALF])
    bad = check_images(manifest, show_progress=False).set_index("image_id")["reason"]
    assert bad["a.png"] == "missing: no such file"
    assert bad["b.png"] == "changed: its bytes are not those the manifest was built from"
    assert bad["c.jpeg"].startswith("changed: ") and "; truncated: " in bad["c.jpeg"]


def test_table_is_written_also_when_empty(tmp_path):
    bad = check_images(_manifest(tmp_path, GOOD), show_progress=False)
    write_bad_files(bad, tmp_path / "bad_files.csv")
    assert (tmp_path / "bad_files.csv").read_text() == "image_id,path,reason\n"


def test_no_worker_is_refused(tmp_path):
    with pytest.raises(ValueError, match="workers is 0; expected 1 or more"):
        check_images(_manifest(tmp_path, {"a.png": PNG}), workers=0, show_progress=False)


def test_a_decoder_that_dies_costs_one_file(tmp_path):
    manifest = _manifest(tmp_path, {"a.png": PNG, "b.png": PNG})
    with StrictDecoder() as decoder:
        assert decoder.fault_of(manifest["path"][0]) == ""
        decoder._process.kill()
        assert decoder.fault_of(manifest["path"][0]).startswith("unreadable: the decoder died on it (exit status -9)")
        assert decoder.fault_of(manifest["path"][1]) == ""


@pytest.mark.parametrize(
    ("name", "kind", "size"),
    [
        ("progressive.jpeg", "jpeg", (80, 64)),
        ("restart.jpeg", "jpeg", (80, 64)),
        ("sixteen_bits.png", "png", (80, 64)),
        ("padded.jpeg", "jpeg", (80, 64)),
    ],
)
def test_header_gives_format_and_size(name, kind, size):
    header = read_header(GOOD[name])
    assert (header.kind, (header.width, header.height), header.fault) == (kind, size, "")


def test_every_cut_of_a_jpeg_and_a_png_is_a_fault():
    """Wherever a download stopped, the header says so without decoding."""
    for contents in (JPEG, GOOD["progressive.jpeg"], GOOD["restart.jpeg"], PNG):
        assert all(read_header(contents[:end]).fault for end in range(0, len(contents), 7))
