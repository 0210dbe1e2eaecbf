"""`cxr configs`: what ships, beside what the papers print; copies to edit."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(invoke_without_command=True)

ROLES = {
    "held_out": ("test", "images held out"),
    "optimistic": ("optimistic", "scored on images that also chose the number of epochs"),
    "chosen_on": ("validation", "the very images that chose the epoch"),
}
"""Role of a paper's figures -> what the list calls it, and what that means."""

Name = Annotated[str, typer.Argument(help="Name of a shipped config.")]


@app.callback()
def listing(context: typer.Context) -> None:
    """List the shipped configs with paper, task, input, parameters and the paper's figures; show or copy one."""
    if context.invoked_subcommand is not None:
        return
    from cxr_keras.config.loader import shipped_configs
    from cxr_keras.reporting.tables import Table, render_text

    rows = [_row(name) for name in shipped_configs()]
    header = ("config", "task", "input", "weights", "parameters", "paper", "the paper's figures")
    note = (
        "task: N normal, P pneumonia, B bacterial, V viral, C COVID-19. parameters: trainable, in millions. Figures as the papers print "
        f"them, on their own images and splits: {'; '.join(f'{word}: {meaning}' for word, meaning in ROLES.values())}. `cxr compare` says "
        "whether they can be compared. `cxr configs show NAME`, `cxr configs copy NAME`; try one on phantoms with `cxr cv NAME --sample`."
    )
    print(render_text([Table("Shipped configs", header, tuple(rows), note=note)]), end="")


@app.command()
def show(name: Name) -> None:
    """Print a config and everything its paper prints about that system."""
    from cxr_keras.config.loader import find_config, load_config
    from cxr_keras.papers import get_system

    path = find_config(name)
    print(path.read_text(encoding="utf-8"))
    config = load_config(str(path))
    if config.paper is None:
        print("# rebuilds no system of a paper")
        return
    system = get_system(config.paper)
    print(f"# {config.paper}: {system.title}. {system.citation}")
    for reported in system.reported:
        word, meaning = ROLES[reported.role]
        print(f"# {reported.description} ({reported.source}), {word}: {meaning}:")
        for figure in reported.figures:
            print(f"#     {figure.metric}{f' of {figure.of_class}' if figure.of_class else ''}: {figure.printed}")
    if not system.reported:
        print(f"#     no figures printed. {system.note}")


@app.command()
def copy(
    name: Name,
    to: Annotated[Path | None, typer.Option(help="File to write; default <name>.yaml in the working folder.")] = None,
) -> None:
    """Put a config into the working folder to edit; then `cxr train <name>.yaml`."""
    from cxr_keras.config.loader import shipped_configs
    from cxr_keras.runs.files import write_text

    shipped = shipped_configs()
    if name not in shipped:
        from cxr_keras.config.loader import find_config

        find_config(name)  # its message suggests the nearest name
        raise ValueError(f"{name} is a file of yours already; give the name of a shipped config: {', '.join(shipped)}.")
    target = to or Path(f"{name}.yaml")
    if target.exists():
        raise ValueError(f"{target} exists and is left as it is. Give another file with --to.")
    write_text(target, shipped[name].read_text(encoding="utf-8"))
    print(f"{target}: edit it, then `cxr train {target}` or `cxr cv {target}`", file=sys.stderr)


def _row(name: str) -> tuple[str, ...]:
    """One config in a line."""
    from cxr_keras.config.loader import config_folder, load_config

    config = load_config(name)
    task = {"binary": "N / P", "three": "B / N / V", "four": "B / C / N / V"}.get(config.data.labels, config.data.labels)
    counts = json.loads((config_folder() / "parameters.json").read_text(encoding="utf-8"))
    millions = f"{counts[name] / 1e6:.2f}" if name in counts else "?"
    size = "x".join(map(str, config.data.image_size))
    paper, figures = _paper(config.paper)
    return name, task, size, Path(config.model.weights or "random").name, millions, paper, figures


def _paper(key: str | None) -> tuple[str, str]:
    """Name of the paper and its headline figures, those of the test before those of a validation part."""
    if key is None:
        return "", ""
    from cxr_keras.papers import get_system

    system = get_system(key)
    shown = []
    for reported in system.reported:
        chosen = [figure for figure in reported.figures if not figure.of_class or len(system.classes) == 2]
        words = ", ".join(f"{figure.metric.replace('_', ' ')} {figure.printed}" for figure in chosen)
        shown.append(f"{words} ({ROLES[reported.role][0]})")
    return key.partition("/")[0], "; ".join(shown) or "none printed"
