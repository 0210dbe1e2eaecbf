"""`cxr weights`: bring weights of other programs into this one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cxr_keras.startup import start_backend

app = typer.Typer(no_args_is_help=True)


@app.command()
def convert(
    architecture: Annotated[str, typer.Argument(help="googlenet, densenet161 or alexnet.")],
    checkpoint: Annotated[Path, typer.Argument(help="torchvision's checkpoint for ImageNet: .pth or .safetensors.")],
    out: Annotated[Path, typer.Option(help="The model to write; must end in .keras.")],
) -> None:
    """Convert a torchvision checkpoint to a model that model.weights=FILE.keras loads as a base."""
    if out.suffix != ".keras":
        raise ValueError(f"--out {out}: expected a file ending in .keras.")
    start_backend()
    from cxr_keras.runs.files import write_atomically
    from cxr_keras.weights.convert import convert_checkpoint

    model = convert_checkpoint(architecture, checkpoint)
    with write_atomically(out) as temporary:
        model.save(temporary)
    if "imagenet" not in out.name.lower():
        print(f"{out}: a name with imagenet in it, such as {architecture}_imagenet.keras, tells `cxr compare` whose weights they are.")
    print(f"{out}: {architecture} with the {model.count_params():,} weights of {checkpoint.name}. Use it as model.weights={out}")
