"""`cxr predict EXPORT PATH…`."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated

import typer

from cxr_keras.startup import start_backend


def predict(
    export: Annotated[Path, typer.Argument(help="A folder that `cxr export RUN` made.")],
    paths: Annotated[list[str], typer.Argument(help="Files (JPEG, PNG, DICOM), folders, patterns, CSV tables with a column path.")],
    out: Annotated[Path, typer.Option(help="File of the rows.")] = Path("predictions.csv"),
    format_name: Annotated[str | None, typer.Option("--format", help="csv or jsonl; default by the name of --out.")] = None,
    maps: Annotated[Path | None, typer.Option(help="Folder for a picture an image with its class activation map.")] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Images predicted at once.")] = 32,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file of the rows.")] = False,
) -> None:
    """Predict image files with an export, a row each. Exit code 1 if some rows are errors, 0 if none is."""
    start_backend()
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    from cxr_keras.recipes.predict import predict as predict_recipe

    found = predict_recipe(export, paths, out=out, format_name=format_name, maps=maps, batch_size=batch_size, overwrite=overwrite)
    if found.errors:
        raise typer.Exit(1)
