"""Unpack an archive that came from elsewhere: nothing outside the folder, nothing but plain files, nothing without measure."""

from __future__ import annotations

import errno
import os
import re
import shutil
import stat
import zipfile
from pathlib import Path, PurePosixPath

from cxr_keras.progress import track
from cxr_keras.runs.directory import hold_run_directory

MOST_FILES = 200_000
LARGEST_TOTAL = 50_000_000_000
"""Bytes; the largest of the known collections unpacks to 1.3 GB."""
LARGEST_RATIO = 200
"""Unpacked bytes for each packed one in a file above 1 MB. Radiographs have 1 to 5, tables 20; deflate reaches 1032."""

_SMALL = 1_000_000
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_DRIVE = re.compile(r"[A-Za-z]:")
_ENCRYPTED = 0x1
_HEADER = 30
"""Bytes of the smallest local header of a file in an archive."""


def unpack(archive: Path, folder: Path, *, largest_total: int = LARGEST_TOTAL, show_progress: bool = True) -> int:
    """Unpack a zip archive into a folder that appears whole or not at all.

    Folders of macOS (`__MACOSX`, `.DS_Store`) are left out. If everything lies in one folder, its content is unpacked.

    Args:
        archive: the zip file.
        folder: to be made; must not exist.
        largest_total: bytes that the files may have together.
        show_progress: False to stay silent.

    Returns:
        The number of files.

    Raises:
        ValueError: no zip file, a damaged one, or one with anything that an archive of images has no use for: paths that lead out
            of the folder, links, devices, passwords, names given twice, files that overlap, and sizes beyond the limits.
        OSError: no space on the disk.
    """
    if folder.exists():
        raise ValueError(f"{folder} exists already; remove it or choose another folder.")
    temporary = folder.parent / f".unpacking-{folder.name}"
    with hold_run_directory(temporary, option="--to"):
        content = temporary / "content"
        shutil.rmtree(content, ignore_errors=True)  # what a kill left
        try:
            with zipfile.ZipFile(archive) as opened:
                entries = _checked_entries(opened, archive, largest_total)
                _require_room(entries, folder.parent)
                shown = track(entries, total=len(entries), description="unpacking", unit="files") if show_progress else entries
                for entry in shown:
                    target = Path(content, *PurePosixPath(entry.filename).parts)
                    target.parent.mkdir(parents=True, exist_ok=True)
                    with opened.open(entry) as source, open(target, "xb") as stream:
                        shutil.copyfileobj(source, stream, 1 << 20)
            os.sync()  # what is renamed below shall be whole after a power cut, too
            inside = list(content.iterdir())
            os.replace(inside[0] if len(inside) == 1 and inside[0].is_dir() else content, folder)
        # NotImplementedError: zipfile's, where a changed byte asks for a compression that it does not know.
        except (zipfile.BadZipFile, NotImplementedError, EOFError, RuntimeError) as error:
            raise ValueError(f"{archive} is no zip archive, or a damaged one ({error}); remove it and download it again.") from error
        finally:
            shutil.rmtree(temporary)
    return len(entries)


def _checked_entries(opened: zipfile.ZipFile, archive: Path, largest_total: int) -> list[zipfile.ZipInfo]:
    """Give the files to unpack, or refuse the archive before any of it is written."""
    entries = [entry for entry in opened.infolist() if not entry.is_dir() and not _of_macos(entry.filename)]
    faults = [f"{entry.filename!r} {fault}" for entry in entries if (fault := _fault_of(entry))]
    names = [entry.filename.lower() for entry in entries]
    if len(set(names)) < len(names):
        faults.append("it holds several files of one name")
    if _overlap(opened.infolist()):
        faults.append("its files overlap, as in archives made to burst")
    total = sum(entry.file_size for entry in entries)
    if total > largest_total or len(entries) > MOST_FILES:
        faults.append(f"it unpacks to {len(entries):,} files of {total:,} bytes, at most {MOST_FILES:,} of {largest_total:,} are allowed")
    if not entries:
        faults.append("it holds no files")
    if faults:
        raise ValueError(f"{archive} was not unpacked: {'; '.join(faults[:5])}{' …' if len(faults) > 5 else ''}. Nothing was written.")
    return entries


def _of_macos(name: str) -> bool:
    parts = PurePosixPath(name).parts
    return "__MACOSX" in parts or parts[-1:] == (".DS_Store",)


def _fault_of(entry: zipfile.ZipInfo) -> str:
    """Say what is wrong with one file of the archive, "" if nothing is."""
    path, kind = PurePosixPath(entry.filename), stat.S_IFMT(entry.external_attr >> 16)
    if path.is_absolute() or ".." in path.parts or "\\" in entry.filename or _DRIVE.match(entry.filename):
        return "leads out of the folder"
    if _CONTROL.search(entry.orig_filename) or not path.parts:
        return "has a name with control characters"
    if kind not in (0, stat.S_IFREG):
        return "is a link or a device"
    if entry.flag_bits & _ENCRYPTED:
        return "needs a password"
    if entry.file_size > _SMALL and entry.file_size > LARGEST_RATIO * max(entry.compress_size, 1):
        return f"unpacks to {entry.file_size:,} bytes from {entry.compress_size:,}"
    return ""


def _overlap(entries: list[zipfile.ZipInfo]) -> bool:
    """Tell whether files share bytes of the archive; Python looks for that itself since 3.11.8 only."""
    ordered = sorted(entries, key=lambda entry: entry.header_offset)
    ends = [entry.header_offset + _HEADER + entry.compress_size for entry in ordered]
    return any(following.header_offset < end for following, end in zip(ordered[1:], ends, strict=False))


def _require_room(entries: list[zipfile.ZipInfo], folder: Path) -> None:
    needed, free = sum(entry.file_size for entry in entries), shutil.disk_usage(folder).free
    if needed > free:
        raise OSError(errno.ENOSPC, f"the archive unpacks to {needed:,} bytes and {free:,} are free", str(folder))
