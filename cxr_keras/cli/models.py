"""`cxr models`: the architectures that can be built."""

from __future__ import annotations

import json
import math
from typing import Annotated, Any

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
    name: Annotated[
        str, typer.Argument(help="Name of an architecture, or of a config, whose parameters, size and classes are then taken.")
    ],
    overrides: Annotated[list[str] | None, typer.Argument(help="Parameters put over it, e.g. model.params.dropout=0.5.")] = None,
    image_size: Annotated[
        int | None, typer.Option(min=8, max=4096, help="Height and width in pixels; default the publication's, or the config's.")
    ] = None,
    classes: Annotated[int | None, typer.Option(min=2, help="Number of classes; default 2, or the config's.")] = None,
) -> None:
    """Build one architecture and print its parameters, shapes, weights and source."""
    start_backend()
    import models_zoo

    name, parameters, size, number = _network(name, overrides or [])
    spec = models_zoo.get_spec(name)
    size = (image_size, image_size) if image_size else size
    models_zoo.check_values(name, parameters)
    model = models_zoo.build(name, size, classes or number, **parameters)
    trainable = sum(math.prod(weight.shape) for weight in model.trainable_variables)
    print(f"{name}: {spec.description}")
    print(f"source: {spec.paper or 'this project'}")
    print(f"input: {size[0]} x {size[1]} pixels, grey, 0 to 255; smallest side {spec.minimum_image_size}")
    for layer in ("features", "embedding", "logits"):
        print(f"{layer}: {tuple(model.get_layer(layer).output.shape[1:])}")
    print(f"parameters: {trainable:,} trainable, {model.count_params():,} in all; {model.count_params() * 4 / 1e6:,.0f} MB in float32")
    print(f"weights: random{', imagenet' if spec.has_imagenet_weights else ''}, or a file as model.weights=PATH")
    print("settings:" if parameters else "settings, with their defaults:")
    for parameter, default in spec.parameters.items():
        value = parameters.get(parameter, default)
        notes = [f"default {json.dumps(default)}"] if value != default else []
        if parameter in spec.choices:
            notes.append(f"one of {', '.join(map(json.dumps, spec.choices[parameter]))}")
        print(f"    model.params.{parameter}={json.dumps(value)}" + (f"   ({'; '.join(notes)})" if notes else ""))


def _network(name: str, overrides: list[str]) -> tuple[str, dict[str, Any], tuple[int, int], int]:
    """Architecture, parameters, size in pixels and number of classes of an architecture or, where there is none of that name, a config."""
    import models_zoo
    from cxr_keras.config.loader import apply_override, load_config, shipped_configs
    from cxr_keras.data.labels import AS_GIVEN, classes_of

    if faulty := [item for item in overrides if not item.startswith("model.params.")]:
        raise ValueError(f"{faulty[0]!r} is none of the network's parameters; expected model.params.NAME=VALUE.")
    if name not in models_zoo.list_models() and (name in shipped_configs() or name.endswith((".yaml", ".yml"))):
        config = load_config(name, overrides)
        number = 2 if config.data.labels == AS_GIVEN else len(classes_of(config.data.labels))
        return config.model.name, dict(config.model.params), config.data.image_size, number
    settings: dict[str, Any] = {}
    for item in overrides:
        apply_override(settings, item)
    return name, settings.get("model", {}).get("params", {}), models_zoo.get_spec(name).default_image_size, 2
