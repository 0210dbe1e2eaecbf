"""`cxr models`: the architectures that can be built."""

from __future__ import annotations

import math
from typing import Annotated

import typer

from cxr_keras.startup import start_backend

app = typer.Typer(invoke_without_command=True)


@app.callback()
def listing(context: typer.Context) -> None:
    """List the architectures; `cxr models show NAME` builds one and counts."""
    if context.invoked_subcommand is not None:
        return
    start_backend()
    import models_zoo
    from cxr_keras.reporting.tables import Table, render_text

    rows = []
    for name in models_zoo.list_models():
        spec = models_zoo.get_spec(name)
        size = "x".join(map(str, spec.default_image_size))
        weights = "random, imagenet, file" if spec.has_imagenet_weights else "random, file"
        rows.append((name, spec.description, size, str(spec.minimum_image_size), weights, ", ".join(spec.parameters)))
    header = ("model", "what it is", "input", "smallest", "weights", "parameters (model.params.…)")
    print(render_text([Table("Architectures", header, tuple(rows))]), end="")


@app.command()
def show(
    name: Annotated[str, typer.Argument(help="Name of an architecture.")],
    image_size: Annotated[int | None, typer.Option(min=8, max=4096, help="Height and width in pixels; default the publication's.")] = None,
    classes: Annotated[int, typer.Option(min=2, help="Number of classes.")] = 2,
) -> None:
    """Build one architecture and print its parameters, shapes, weights and source."""
    start_backend()
    import models_zoo

    spec = models_zoo.get_spec(name)
    size = (image_size, image_size) if image_size else spec.default_image_size
    model = models_zoo.build(name, size, classes)
    trainable = sum(math.prod(weight.shape) for weight in model.trainable_variables)
    print(f"{name}: {spec.description}")
    print(f"source: {spec.paper or 'this project'}")
    print(f"input: {size[0]} x {size[1]} pixels, grey, 0 to 255; smallest side {spec.minimum_image_size}")
    for layer in ("features", "embedding", "logits"):
        print(f"{layer}: {tuple(model.get_layer(layer).output.shape[1:])}")
    print(f"parameters: {trainable:,} trainable, {model.count_params():,} in all; {model.count_params() * 4 / 1e6:,.0f} MB in float32")
    print(f"weights: random{', imagenet' if spec.has_imagenet_weights else ''}, or a file as model.weights=PATH")
    print("settings, with their defaults:")
    for parameter, default in spec.parameters.items():
        print(f"    model.params.{parameter}={default!r}")
