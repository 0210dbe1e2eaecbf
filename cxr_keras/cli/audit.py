"""`cxr audit RUN`: what a run reads besides disease."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated

import typer

from cxr_keras.startup import start_backend


def audit(
    run: Annotated[Path, typer.Argument(help="A finished run of `cxr cv` or `cxr train`, with its networks.")],
    out: Annotated[Path | None, typer.Option(help="Folder of the results; default RUN/audit.")] = None,
) -> None:
    """Tell whether a run reads how images look: one class alone gets another sharpness, contrast or shape."""
    start_backend()
    # It warns that a function is compiled for each of several models, which is what happens here and must.
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    from cxr_keras.recipes.audit import audit as audit_recipe

    audit_recipe(run, out=out)
