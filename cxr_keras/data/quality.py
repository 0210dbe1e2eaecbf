"""The quality flags of every image of a manifest."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from cxr_keras.data.parallel import map_in_threads
from cxr_keras.pixels.quality import flag_file

QUALITY_COLUMNS = ["image_id", "path", "flag", "found"]


def flag_images(manifest: pd.DataFrame, *, workers: int | None = None, show_progress: bool = True) -> pd.DataFrame:
    """Flag the images that are blank, too small, inverted or no chest X-ray, see `cxr_keras.pixels.quality`.

    Args:
        manifest: rows with image_id and path.
        workers: threads, or None for one a processor.
        show_progress: False to stay silent.

    Returns:
        A table with the columns image_id, path, flag, found (strings), one row a flag, in the order of image_id. A file that cannot be
        decoded has the flag "unreadable"; `check_images` says more of it.
    """
    rows = manifest.sort_values("image_id")
    found = map_in_threads(_flags_of, list(rows["path"]), workers=workers, description="looking", show_progress=show_progress)
    flags = [
        (image_id, path, flag, words)
        for image_id, path, of_image in zip(rows["image_id"], rows["path"], found, strict=True)
        for flag, words in of_image.items()
    ]
    return pd.DataFrame(flags, columns=QUALITY_COLUMNS, dtype="str")


def _flags_of(path: str) -> dict[str, str]:
    try:
        return flag_file(Path(path).read_bytes())
    except (OSError, ValueError) as error:
        return {"unreadable": str(error)}
