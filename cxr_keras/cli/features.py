"""`cxr features`: features of a fixed network into HDF5."""

from __future__ import annotations

from typing import Annotated

import typer

from cxr_keras.startup import start_backend

Layer = Annotated[
    str | None,
    typer.Option(help="features (the base's output), pooled, or embedding (what the last layer reads); default the config's, or features."),
]


def features(
    config: Annotated[str, typer.Argument(help="A YAML file, or the name of a shipped config (see `cxr configs`).")],
    overrides: Annotated[list[str] | None, typer.Argument(help="Settings put over the config, e.g. model.weights=null.")] = None,
    layer: Layer = None,
    sample: Annotated[bool, typer.Option("--sample", help="On phantoms, small: overrides from configs/sample.yaml.")] = False,
) -> None:
    """Compute what a network makes of each image, once, into HDF5. The same command continues an interrupted one."""
    from cxr_keras.config.loader import load_config

    settings = load_config(config, overrides or (), sample=sample)
    start_backend()
    from cxr_keras.recipes.store_features import store_features

    store_features(settings, layer=layer)
