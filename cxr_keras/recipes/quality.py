"""The verb that flags images which look grossly unfit."""

from __future__ import annotations

from pathlib import Path

from cxr_keras.data.manifest import read_manifest
from cxr_keras.data.quality import flag_images
from cxr_keras.runs.files import write_csv


def flag_data(manifest_path: Path, *, out: Path) -> int:
    """List the images of a manifest that look grossly unfit; the manifest stays as it is.

    Returns:
        The number of flagged images.
    """
    manifest = read_manifest(manifest_path)
    flags = flag_images(manifest)
    write_csv(out, flags)
    for (source, flag), count in flags.merge(manifest[["image_id", "source"]]).groupby(["source", "flag"]).size().items():
        print(f"{count:>6}  {source}: {flag}")
    flagged = int(flags["image_id"].nunique())
    print(f"{flagged:,} of {len(manifest):,} images are flagged, listed in {out}. Look at them before you leave any out.")
    return flagged
