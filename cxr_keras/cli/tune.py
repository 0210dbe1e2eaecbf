"""`cxr tune`: search for the best settings of a config."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Annotated

import typer


def tune(
    config: Annotated[str | None, typer.Argument(help="A YAML file, or the name of a shipped config, with a section `tune`.")] = None,
    overrides: Annotated[list[str] | None, typer.Argument(help="Settings put over the config, e.g. tune.trials=12.")] = None,
    sample: Annotated[bool, typer.Option("--sample", help="A search of minutes on phantoms: overrides from configs/sample.yaml.")] = False,
    run: Annotated[Path | None, typer.Option("--run", help="Run directory; default runs/<name>-tune.")] = None,
    jobs: Annotated[int | None, typer.Option("--jobs", min=0, help="Trials at a time, each by a worker; default 1, in turn.")] = None,
    engine: Annotated[str, typer.Option("--engine", help="Where workers run: processes (of this machine) or ray.")] = "processes",
    address: Annotated[str | None, typer.Option("--address", help="Ray cluster, HOST:PORT or auto; needs --listen too.")] = None,
    listen: Annotated[str | None, typer.Option("--listen", help="HOST:PORT on which workers of other machines may join.")] = None,
    join: Annotated[str | None, typer.Option("--join", help="HOST:PORT of a search that listens: be a worker of it.")] = None,
    name: Annotated[str | None, typer.Option("--name", help="With --join: this worker's name; default host and process number.")] = None,
) -> None:
    """Search the settings that a config's section `tune` names. The same command continues an interrupted search.

    With --join and the search's --run, this process is one more worker of a search that another machine began with --listen.
    """
    from cxr_keras.startup import start_backend

    if join is not None:
        if config or overrides or sample or listen or address or engine != "processes" or jobs is not None or run is None:
            raise ValueError("--join takes the search's directory with --run DIR, and nothing else but --name; its settings are there.")
        from cxr_keras.recipes.tune import join as join_search

        join_search(run, join, name=name or f"{socket.gethostname()}-{os.getpid()}")
        return
    if config is None or name is not None:
        raise ValueError("give a config to search, see `cxr configs`; --name goes with --join.")
    if jobs == 0 and listen is None:
        raise ValueError("--jobs 0 starts no worker here, so others must be able to join: give --listen HOST:PORT too.")
    if address is not None and listen is None:
        raise ValueError("workers on other nodes must reach this process: give --listen HOST:PORT with an address of this machine.")
    from cxr_keras.config.loader import load_config

    settings = load_config(config, overrides or (), sample=sample)
    start_backend()
    from cxr_keras.recipes.tune import tune as search
    from cxr_keras.runs.jobs import open_engine

    folder = run or Path("runs") / f"{'sample-' if sample else ''}{settings.name}-tune"
    with open_engine(engine, address=address) as where:
        search(settings, folder, workers=1 if jobs is None else jobs, listen=listen, engine=where if engine == "ray" else None)
