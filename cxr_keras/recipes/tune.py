"""`cxr tune`: a search over settings, each trial scored by patient-grouped folds that leave the test images alone."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from cxr_keras.config.loader import read_config
from cxr_keras.config.schema import RunConfig
from cxr_keras.config.tune import Parameter
from cxr_keras.data.folds import make_folds, read_folds, split_by_group, write_folds
from cxr_keras.data.manifest import write_manifest
from cxr_keras.recipes.frozen import check_frozen_base
from cxr_keras.recipes.run import announce_phantom, open_run
from cxr_keras.recipes.search_results import finish_search
from cxr_keras.recipes.search_workers import run_chief, worker_job
from cxr_keras.recipes.train import parts_of_split
from cxr_keras.recipes.trial import (
    FOLDS_FILE,
    SEARCH_FOLDER,
    held_out_fold,
    higher_is_better,
    run_trial,
    space_of,
    total_epochs,
    with_settings,
)
from cxr_keras.recipes.weights import check_model
from cxr_keras.runs.directory import CONFIG_FILE, DONE_FILE, hold_run_directory
from cxr_keras.runs.files import write_json
from cxr_keras.runs.jobs import Engine, Processes, check_ended, start_job
from cxr_keras.tuning.oracle import make_oracle
from cxr_keras.tuning.search import open_state, search
from cxr_keras.tuning.service import parse_address, signs_of_life
from cxr_keras.tuning.space import hyperparameters_of

WORKERS_FOLDER = "workers"
WORK = "cxr_keras.recipes.tune:work"
"""What a worker's interpreter calls."""


def tune(config: RunConfig, folder: str | Path, *, workers: int = 1, listen: str | None = None, engine: Engine | None = None) -> RunConfig:
    """Search for the best settings of a config; the same call continues an interrupted search, no finished fold is run again.

    The images that `cxr train` would test on are set apart first, and no trial sees them. At the end stand a table and a figure of the
    trials, the best settings as `best.yaml`, and a model trained with them on all other images and tested on those set apart.

    Args:
        config: all settings; `tune` says what is searched.
        folder: the run directory.
        workers: trials at a time. With one, and neither `listen` nor `engine`, they run one after another from this process; otherwise
            this process is KerasTuner's chief and starts so many workers.
        listen: host:port on which workers of other machines may join.
        engine: where workers run, if not as processes of this machine.

    Returns:
        The best settings.

    Raises:
        ValueError: there is no section `tune`, a value of the space is impossible by itself, the images or settings cannot be used, no
            trial came to its end, or the directory holds another run.
    """
    folder = Path(folder)
    check_search(config)
    if listen is not None:
        parse_address(listen)
    with hold_run_directory(folder):
        manifest = open_run(config, folder, verb="tune")
        apart = _set_test_images_apart(config, folder, manifest)
        oracle = oracle_of(config)
        if workers == 1 and listen is None and engine is None:
            search(oracle, folder / SEARCH_FOLDER, functools.partial(run_trial, config, folder))
        else:
            open_state(oracle, folder / SEARCH_FOLDER)
            run_chief(
                oracle,
                folder / SEARCH_FOLDER / WORKERS_FOLDER,
                call=WORK,
                arguments={"run_directory": str(folder.resolve())},
                workers=workers,
                listen=listen,
                engine=engine,
                join=f"cxr tune --join HOST:PORT --run {folder.resolve()}",
            )
        best = finish_search(config, folder, manifest, apart)
        announce_phantom(config, manifest)
        return best


def join(folder: str | Path, address: str, *, name: str) -> None:
    """Run trials for the chief of a search until there are no more.

    Args:
        folder: the run directory of the search, which chief and workers share.
        address: host:port of the chief.
        name: of this worker, different from all others.

    Raises:
        ValueError: the folder holds no search that has begun, or another worker has this name.
    """
    folder = Path(folder).resolve()
    if not (folder / SEARCH_FOLDER / FOLDS_FILE).exists():
        raise ValueError(f"{folder} holds no search that has begun. Start `cxr tune CONFIG --listen {address} --run {folder}` first.")
    own = folder / SEARCH_FOLDER / WORKERS_FOLDER / name
    if "chief" in name:
        raise ValueError(f"--name is {name!r}; KerasTuner takes a name with `chief` in it for the chief's. Give another.")
    job = worker_job(own, address, call=WORK, arguments={"run_directory": str(folder)})
    process = start_job(job, Processes())
    process.wait()
    check_ended(job, process.returncode)


def work(*, folder: Path, run_directory: str) -> None:
    """Be a worker, in an interpreter of its own: ask the chief for trials and run them until there are no more.

    Args:
        folder: of this worker; its signs of life lie beside it.
        run_directory: of the search.
    """
    root = Path(run_directory)
    config = read_config(root / CONFIG_FILE)
    with signs_of_life(folder.parent, folder.name):
        search(oracle_of(config), root / SEARCH_FOLDER, functools.partial(run_trial, config, root))
    write_json(folder / DONE_FILE, {})


def check_search(config: RunConfig) -> None:
    """Raise ValueError where a search cannot be: without a section `tune`, or with a value that is impossible whatever the others are."""
    if config.tune is None:
        raise ValueError(
            f"{config.name} has no section `tune`, which says what to search, for example\n"
            "tune:\n  trials: 12\n  space:\n    training.phases.all.learning_rate: {low: 1.0e-4, high: 1.0e-2, scale: log}\n"
            "    augmentation.horizontal_flip: [true, false]\nPut one into the file, or give tune.space=... ; docs/tune.md says more."
        )
    if config.seeds:
        raise ValueError("a search has one seed, for all of its trials alike; give seed instead of seeds.")
    if config.cross_validation.protocol != "plain":
        raise ValueError(
            f"cross_validation.protocol is {config.cross_validation.protocol}, which chooses epochs on images that return in the folds; a "
            "search needs cross_validation.protocol=plain."
        )
    if config.tune.search == "hyperband" and (config.classifier or total_epochs(config) < 2):
        raise ValueError("hyperband gives out epochs, and there are fewer than two to give; take random or bayesian.")
    faults = []
    for name, parameter in config.tune.space.items():
        for value in parameter.corners:
            settings = _enabling(parameter, config.tune.space) | {name: value}
            try:
                made = with_settings(config, settings, origin=f"tune.space with {name}={value}")
                check_model(made.model, image_size=made.data.image_size, folds=range(1))
                check_frozen_base(made)
                made.refuse_missing_parts("cv")
                if config.tune.final_model:
                    made.refuse_missing_parts("train")
            except ValueError as error:
                faults.append(str(error))
    if faults:
        raise ValueError("\n".join(dict.fromkeys(faults)))
    hyperparameters_of(space_of(config.tune))


def _enabling(parameter: Parameter, space: Mapping[str, Parameter]) -> dict[str, Any]:
    """Values of other settings with which this one is varied."""
    found: dict[str, Any] = {}
    for other, allowed in parameter.when.items():
        found |= _enabling(space[other], space) | {other: allowed[0]}
    return found


def oracle_of(config: RunConfig) -> Any:
    """KerasTuner's oracle for a config's search."""
    section = config.tune
    assert section is not None
    return make_oracle(
        section.search,
        hyperparameters_of(space_of(section)),
        score=section.score,
        higher_is_better=higher_is_better(section),
        seed=config.seed,
        trials=section.trials,
        initial_trials=section.initial_trials,
        epochs=total_epochs(config),
        factor=section.factor,
        iterations=section.iterations,
    )


def _set_test_images_apart(config: RunConfig, folder: Path, manifest: pd.DataFrame) -> pd.Series:
    """Write the images that trials may use, and their folds, at the first start of a search.

    Returns:
        Image ids of what `cxr train` tests on, and with halves of an official folder also chooses on.
    """
    section = config.tune
    assert section is not None
    without_validation = config.split.model_copy(update={"validation": 0.0})
    parts = parts_of_split(manifest, config.model_copy(update={"split": without_validation}))
    apart = parts.index[parts != "train"]
    usable = manifest[~manifest["image_id"].isin(apart)].reset_index(drop=True)
    path = folder / SEARCH_FOLDER / FOLDS_FILE
    if not path.exists():
        if section.folds > 1:
            folds = make_folds(usable, n_folds=section.folds, seed=config.seed_of_splits)
        else:
            fractions = {"train": 1 - section.held_out, "test": section.held_out}
            folds = held_out_fold(split_by_group(usable, fractions=fractions, seed=config.seed_of_splits))
        write_manifest(usable, folder / SEARCH_FOLDER / "manifest.csv")
        write_folds(path, folds, manifest=usable, seed=config.seed_of_splits)
    read_folds(path, manifest=usable)
    return apart.to_series()
