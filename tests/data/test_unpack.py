"""Good archives are unpacked, evil ones are refused before anything is written."""

from __future__ import annotations

import io
import stat
import struct
import zipfile
from pathlib import Path

import pytest

from cxr_keras.data.unpack import unpack


def _archive(path: Path, files: dict[str, bytes], *, packed: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", packed) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def _link(name: str, target: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        entry = zipfile.ZipInfo(name)
        entry.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(entry, target)
    return stream.getvalue()


def _all_below(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_files_appear_without_the_folder_around_them_and_without_macos(tmp_path: Path) -> None:
    files = {"top/train/a.jpeg": b"a", "top/b.csv": b"b,c", "__MACOSX/top/._a.jpeg": b"x", "top/.DS_Store": b"x", "top/empty/": b""}
    assert unpack(_archive(tmp_path / "in.zip", files), tmp_path / "out", show_progress=False) == 2
    assert _all_below(tmp_path / "out") == ["b.csv", "train/a.jpeg"]
    assert (tmp_path / "out/train/a.jpeg").read_bytes() == b"a"
    several = _archive(tmp_path / "two.zip", {"a.txt": b"a", "b/c.txt": b"c"})
    unpack(several, tmp_path / "two", show_progress=False)
    assert _all_below(tmp_path / "two") == ["a.txt", "b/c.txt"]
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["in.zip", "out", "two", "two.zip"]


@pytest.mark.parametrize(
    "name",
    ["../evil.txt", "a/../../evil.txt", "/evil.txt", "C:/evil.txt", "c:evil.txt", "..\\evil.txt", "a\\..\\evil.txt", "..", "a/.."],
)
def test_paths_that_lead_out(tmp_path: Path, name: str) -> None:
    inside = tmp_path / "deep/er"
    archive = _archive(tmp_path / "in.zip", {"good.txt": b"g", name: b"evil"})
    with pytest.raises(ValueError, match=r"was not unpacked: .*leads out of the folder.*Nothing was written"):
        unpack(archive, inside / "out", show_progress=False)
    assert _all_below(tmp_path) == ["in.zip"]


def test_links(tmp_path: Path) -> None:
    (tmp_path / "in.zip").write_bytes(_link("a/passwd", b"/etc/passwd"))
    with pytest.raises(ValueError, match="'a/passwd' is a link or a device"):
        unpack(tmp_path / "in.zip", tmp_path / "out", show_progress=False)
    assert _all_below(tmp_path) == ["in.zip"]


def test_bombs_by_ratio_and_by_size(tmp_path: Path) -> None:
    bomb = _archive(tmp_path / "bomb.zip", {"zeros.png": bytes(50_000_000)})
    with pytest.raises(ValueError, match=r"'zeros.png' unpacks to 50,000,000 bytes from"):
        unpack(bomb, tmp_path / "out", show_progress=False)
    large = _archive(tmp_path / "large.zip", {f"{number}": bytes(900_000) for number in range(20)})
    with pytest.raises(ValueError, match="unpacks to 20 files of 18,000,000 bytes, at most 200,000 of 10,000,000"):
        unpack(large, tmp_path / "out", largest_total=10_000_000, show_progress=False)
    assert unpack(large, tmp_path / "out", largest_total=18_000_000, show_progress=False) == 20


def test_a_size_that_lies(tmp_path: Path) -> None:
    """The directory says 10 bytes, the packed data give a million: no more than was said is written, and it is called damaged."""
    contents = bytearray(_archive(tmp_path / "in.zip", {"a.txt": bytes(1_000_000)}).read_bytes())
    place = contents.rindex(b"PK\x01\x02")
    struct.pack_into("<I", contents, place + 24, 10)
    (tmp_path / "in.zip").write_bytes(contents)
    with pytest.raises(ValueError, match="is no zip archive, or a damaged one"):
        unpack(tmp_path / "in.zip", tmp_path / "out", show_progress=False)
    assert _all_below(tmp_path) == ["in.zip"]


def test_files_that_overlap(tmp_path: Path) -> None:
    """Many names for one packed content, as in archives that burst without a large ratio."""
    contents = bytearray(_archive(tmp_path / "in.zip", {"a.txt": b"a" * 5000, "b.txt": b"b" * 5000}).read_bytes())
    second = contents.rindex(b"PK\x01\x02")
    struct.pack_into("<I", contents, second + 42, 0)
    (tmp_path / "in.zip").write_bytes(contents)
    with pytest.raises(ValueError, match="its files overlap"):
        unpack(tmp_path / "in.zip", tmp_path / "out", show_progress=False)


def test_names_given_twice(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="Duplicate name"), zipfile.ZipFile(tmp_path / "in.zip", "w") as archive:
        archive.writestr("a.txt", b"first")
        archive.writestr("a.txt", b"second")
    with pytest.raises(ValueError, match="several files of one name"):
        unpack(tmp_path / "in.zip", tmp_path / "out", show_progress=False)


def test_passwords(tmp_path: Path) -> None:
    contents = bytearray(_archive(tmp_path / "in.zip", {"a.txt": b"a"}).read_bytes())
    contents[contents.rindex(b"PK\x01\x02") + 8] |= 1
    (tmp_path / "in.zip").write_bytes(contents)
    with pytest.raises(ValueError, match="'a.txt' needs a password"):
        unpack(tmp_path / "in.zip", tmp_path / "out", show_progress=False)


@pytest.mark.parametrize("damage", ["text", "cut", "flipped", "empty"])
def test_damaged_archives(tmp_path: Path, damage: str) -> None:
    contents = bytearray(_archive(tmp_path / "in.zip", {"a.txt": b"abc" * 3000}, packed=zipfile.ZIP_STORED).read_bytes())
    if damage == "flipped":
        contents[500] ^= 255
    damaged = {"text": b"<html>404</html>", "cut": contents[: len(contents) // 2], "flipped": contents, "empty": b""}[damage]
    (tmp_path / "in.zip").write_bytes(damaged)
    with pytest.raises(ValueError, match="is no zip archive, or a damaged one .*remove it and download it again"):
        unpack(tmp_path / "in.zip", tmp_path / "out", show_progress=False)
    assert _all_below(tmp_path) == ["in.zip"] and not (tmp_path / "out").exists()


def test_what_a_killed_unpacking_left_is_cleared(tmp_path: Path) -> None:
    left = tmp_path / ".unpacking-out" / "content" / "half"
    left.mkdir(parents=True)
    (left / "a.png").write_bytes(b"half")
    assert unpack(_archive(tmp_path / "in.zip", {"a.png": b"whole"}), tmp_path / "out", show_progress=False) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.zip", "out"]
    assert (tmp_path / "out" / "a.png").read_bytes() == b"whole"


def test_nothing_to_unpack_and_a_folder_in_the_way(tmp_path: Path) -> None:
    archive = _archive(tmp_path / "in.zip", {"__MACOSX/a": b"a"})
    with pytest.raises(ValueError, match="it holds no files"):
        unpack(archive, tmp_path / "out", show_progress=False)
    (tmp_path / "out").mkdir()
    with pytest.raises(ValueError, match="out exists already"):
        unpack(archive, tmp_path / "out", show_progress=False)
