"""`cxr export RUN`."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated

import typer

from cxr_keras.startup import start_backend


def export(
    run: Annotated[Path, typer.Argument(help="A finished run of `cxr cv` or `cxr train`, with its models.")],
    format_name: Annotated[str, typer.Option("--format", help="saved_model, onnx, litert, openvino or keras.")] = "saved_model",
    out: Annotated[Path | None, typer.Option(help="Folder to make; default RUN/export/<format>.")] = None,
    point: Annotated[
        str | None, typer.Option(help="Operating point that decides between two classes; default guaranteed, else sensitive, else 0.5.")
    ] = None,
) -> None:
    """Write a run as one graph for other programs, and check that it answers as the run's models do."""
    start_backend()
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    from cxr_keras.recipes.export import export as export_recipe

    export_recipe(run, format_name, out=out, point=point)
