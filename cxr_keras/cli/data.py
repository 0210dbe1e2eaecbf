"""`cxr data`: fetch, build, check and flag image sets."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cxr_keras.startup import start_backend

app = typer.Typer(no_args_is_help=True)


@app.command()
def build(
    source: Annotated[list[str], typer.Option(help="reader:PATH, e.g. kermany:DIR; may be given several times.")],
    out: Annotated[Path, typer.Option(help="The manifest to write (CSV).")],
    labels: Annotated[str, typer.Option(help="Label scheme: binary, three, four or as_given.")] = "binary",
    patients: Annotated[str, typer.Option(help="known, or one_per_image for sources that know no patients.")] = "known",
    label_map: Annotated[list[str] | None, typer.Option(help="from=to, e.g. 'Lung_Opacity=pneumonia'; several.")] = None,
) -> None:
    """Turn image folders into a manifest: one row an image with its label, patient and SHA-256."""
    from cxr_keras.recipes.data import build_data

    build_data(source, out=out, labels=labels, patients=patients, label_map=label_map or [])


@app.command()
def check(
    manifest: Annotated[Path, typer.Argument(help="A manifest made by `cxr data build`.")],
    out: Annotated[Path | None, typer.Option(help="Where to list bad files; default bad_files.csv beside the manifest.")] = None,
) -> None:
    """Open, decode and measure every file; list unreadable, truncated, empty, tiny, constant and huge ones."""
    from cxr_keras.recipes.data import check_data

    raise typer.Exit(code=1 if check_data(manifest, out=out or manifest.with_name("bad_files.csv")) else 0)


@app.command()
def quality(
    manifest: Annotated[Path, typer.Argument(help="A manifest made by `cxr data build`.")],
    out: Annotated[Path | None, typer.Option(help="Where to list the flags; default quality.csv beside the manifest.")] = None,
) -> None:
    """Flag images that are blank, too small, inverted or no chest X-ray. Only gross faults are found; nothing is left out."""
    start_backend()
    from cxr_keras.recipes.quality import flag_data

    flag_data(manifest, out=out or manifest.with_name("quality.csv"))


@app.command()
def fetch(
    collection: Annotated[str, typer.Argument(help="kermany, covid-chestxray or radiography.")],
    to: Annotated[Path, typer.Option(help="The folder that is to hold it, in a folder of its name.")],
    sha256: Annotated[str, typer.Option(help="What the archive must hash to; default the publisher's or the one recorded before.")] = "",
) -> None:
    """Download a public collection: shows its terms, continues a broken download, checks, unpacks, and says how to go on."""
    from cxr_keras.recipes.fetch import fetch_data

    raise typer.Exit(code=0 if fetch_data(collection, to=to, sha256=sha256) else 1)
