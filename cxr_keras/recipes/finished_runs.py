"""Finished runs as they lie on disk: what a comparison needs of each, with everything that may be wrong told at once."""

from __future__ import annotations

import difflib
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from cxr_keras.config.loader import read_config
from cxr_keras.config.schema import RunConfig
from cxr_keras.evaluation import class_names, read_predictions
from cxr_keras.evaluation.beside_paper import Conditions
from cxr_keras.papers import System, get_system
from cxr_keras.recipes.conditions import conditions_of
from cxr_keras.recipes.over_seeds import SUMMARY
from cxr_keras.runs.directory import BEST_CONFIG, CONFIG_FILE, DONE_FILE, FINAL_FOLDER, IDENTITY_FILE
from cxr_keras.runs.files import read_json


@dataclass(frozen=True)
class FinishedRun:
    """One finished run.

    Attributes:
        name: short and unique among the runs that were read together.
        folder: the run directory.
        scores: `metrics.json`.
        provenance: what the figures were computed on, by name.
        predictions: checked predictions, with a column `sha256` of the image files.
        system: the paper's system that the run rebuilds, or `None`.
        conditions: what decides whether figures may be compared.
        validation: predictions of the half of the official test folder that chose the epoch, or `None`.
        seeds_of: the folder of seeds that was given and holds this run, or `None` for a run that was given by itself.
    """

    name: str
    folder: Path
    scores: dict[str, Any]
    provenance: dict[str, str]
    predictions: pd.DataFrame
    system: System | None
    conditions: Conditions
    validation: pd.DataFrame | None
    seeds_of: Path | None = None


def read_runs(folders: Sequence[str | Path], *, paper: str | None = None) -> list[FinishedRun]:
    """Read finished runs.

    Args:
        folders: run directories; a folder of several seeds or of a grid stands for all runs in it.
        paper: system of runs whose config names none.

    Returns:
        The runs, in this order.

    Raises:
        ValueError: a folder is missing, no run, unfinished or given twice, or names an unknown system; all faults together.
    """
    given = None if paper is None else get_system(paper)
    faults, found = [], []
    seeds_of: dict[Path, Path] = {}
    for folder in (Path(folder).expanduser() for folder in folders):
        try:
            inside = _runs_in(folder)
            found += inside
            if inside != [folder] and (folder / SUMMARY).is_file():
                _refuse_other_seeds(folder, inside)
                seeds_of |= dict.fromkeys(inside, folder)
        except ValueError as error:
            faults.append(str(error))
    if twice := sorted({str(path) for path in found if [p.resolve() for p in found].count(path.resolve()) > 1}):
        faults.append(f"{', '.join(twice)} is given more than once; name each run once.")
    runs = []
    for name, path in zip(short_names(found), found, strict=True):
        try:
            runs.append(replace(_read_run(path, name=name, given=given), seeds_of=seeds_of.get(path)))
        except ValueError as error:
            faults.append(str(error))
    if given is not None and not faults and all(run.system is not given for run in runs):
        named = ", ".join(f"{run.name} {run.system.name}" for run in runs if run.system is not None)
        faults.append(f"--paper {given.name} is for runs whose config names no system, and these name their own: {named}. Leave it out.")
    if faults:
        raise ValueError(
            faults[0] if len(faults) == 1 else "These runs cannot be compared:\n" + "\n".join(f"  - {fault}" for fault in faults)
        )
    return runs


def _runs_in(folder: Path) -> list[Path]:
    """The folder itself if it is a run, else the runs right inside it."""
    if not folder.exists():
        beside = [path.name for path in folder.parent.iterdir() if path.is_dir()] if folder.parent.is_dir() else []
        near = difflib.get_close_matches(folder.name, beside, n=1)
        hint = (
            f" Did you mean {folder.parent / near[0]}?"
            if near
            else " Give the directory of a finished run, as `cxr cv` and `cxr train` leave."
        )
        raise ValueError(f"There is no {folder}.{hint}")
    if not folder.is_dir():
        raise ValueError(f"{folder} is a file; give the run directory that it lies in, perhaps {folder.parent}.")
    if (folder / CONFIG_FILE).exists():
        return [folder]
    inside = sorted(path.parent for path in folder.glob(f"*/{CONFIG_FILE}"))
    if not inside:
        raise ValueError(
            f"{folder} is no run directory: it holds no {CONFIG_FILE}. Give one that `cxr cv` or `cxr train` has made, or a folder of "
            "several."
        )
    return inside


def _refuse_other_seeds(folder: Path, runs: Sequence[Path]) -> None:
    """Raise ValueError where `seeds.json` sums up other runs than those in the folder: an earlier call had more or fewer seeds."""
    expected, found = {f"seed-{seed}" for seed in read_json(folder / SUMMARY)["seeds"]}, {run.name for run in runs}
    if expected != found:
        raise ValueError(
            f"{folder / SUMMARY} sums up {', '.join(sorted(expected))}, and the folder holds {', '.join(sorted(found))}. Let the command "
            "that trained them write it again, or name the runs one by one."
        )


def short_names(folders: Sequence[Path]) -> list[str]:
    """As few last parts of each path as tell all of them apart."""
    parts = [path.resolve().parts for path in folders]
    for length in range(1, max(map(len, parts), default=0) + 1):
        names = ["/".join(path[-length:]) for path in parts]
        if len(set(names)) == len(names):
            return names
    return [str(path) for path in folders]


def _read_run(folder: Path, *, name: str, given: System | None) -> FinishedRun:
    identity = read_json(folder / IDENTITY_FILE) if (folder / IDENTITY_FILE).exists() else {}
    verb = identity.get("verb", "cv" if (folder / "folds.json").exists() else "train")
    config = read_config(folder / CONFIG_FILE)
    refuse_search(folder)
    _check_finished(folder, verb=verb, config=config)
    scores = read_json(folder / "metrics.json")
    command = _command(folder, verb)
    if missing := [key for key in ("scores", "per_class", "folds", "n_images", "provenance") if key not in scores]:
        raise ValueError(f"{folder / 'metrics.json'} lacks {', '.join(missing)}. Let the run write it again: {command}")
    predictions = read_predictions(folder / "predictions.csv")
    if len(predictions) != scores["n_images"]:
        raise ValueError(
            f"{folder}: metrics.json is of {scores['n_images']:,} images, predictions.csv holds {len(predictions):,}. "
            f"Let the run write both again: {command}"
        )
    try:
        system = get_system(config.paper) if config.paper else given
    except ValueError as error:
        raise ValueError(f"{folder / CONFIG_FILE} names `paper: {config.paper}`. {error}") from None
    manifest = _manifest(folder)
    if "sha256" in manifest:
        predictions["sha256"] = predictions["image_id"].map(manifest["sha256"])
    validated = folder / "split" / "validation_predictions.csv"
    halves = verb == "train" and config.split.kind == "official_halves"
    return FinishedRun(
        name=name,
        folder=folder,
        scores=scores,
        provenance=scores["provenance"],
        predictions=predictions,
        system=system,
        conditions=conditions_of(config, folder, manifest, verb=verb, classes=class_names(predictions), system=system),
        validation=read_predictions(validated) if halves and validated.exists() else None,
    )


def refuse_search(folder: Path) -> None:
    """Raise ValueError where a directory is of a search: the model to look at is a run inside it, or yet to be trained."""
    if not (folder / IDENTITY_FILE).exists() or read_json(folder / IDENTITY_FILE).get("verb") != "tune":
        return
    final, best = folder / FINAL_FOLDER, folder / BEST_CONFIG
    if (final / "metrics.json").exists():
        advice = f"the model that it ended with is the run {final}; give that"
    elif best.exists():
        advice = f"train with what it found first: cxr train {shlex.quote(str(best))}"
    else:
        advice = "it has not ended; the command that began it continues it"
    raise ValueError(f"{folder} is a search: {advice}. Its trials stand in {folder / 'summary.md'}.")


def _check_finished(folder: Path, *, verb: str, config: RunConfig) -> None:
    missing = [name for name in ("metrics.json", "predictions.csv") if not (folder / name).exists()]
    if not missing:
        return
    state = ""
    if verb == "cv":
        done = len(list(folder.glob(f"fold-*/{DONE_FILE}")))
        state = f", {done} of {config.cross_validation.folds} folds done"
    raise ValueError(f"{folder} is not finished{state}: it holds no {' and no '.join(missing)}. Finish it first: {_command(folder, verb)}")


def _command(folder: Path, verb: str) -> str:
    """What continues a run: its own resolved config in its own directory."""
    return f"cxr {verb} {shlex.quote(str(folder / CONFIG_FILE))} --run {shlex.quote(str(folder))}"


def _manifest(folder: Path) -> pd.DataFrame:
    """Source, digest and patients_known of the run's images, by image_id; empty where the run keeps no manifest."""
    path = folder / "manifest.csv"
    if not path.exists():
        return pd.DataFrame()
    wanted = ("image_id", "source", "sha256", "patients_known")
    table = pd.read_csv(path, dtype=str, keep_default_na=False, usecols=lambda name: name in wanted)
    return table.drop_duplicates("image_id").set_index("image_id")
