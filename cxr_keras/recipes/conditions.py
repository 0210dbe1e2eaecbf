"""What a run's figures were obtained under, read from its settings and its directory."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pandas as pd

from cxr_keras.config.loader import flatten, load_config, shipped_configs
from cxr_keras.config.schema import RunConfig
from cxr_keras.evaluation.beside_paper import Conditions
from cxr_keras.papers import System
from cxr_keras.runs.directory import DONE_FILE
from cxr_keras.runs.files import read_json
from cxr_keras.training.strategies import phases_of

SETTINGS_THAT_MATTER = ("data.", "model.params.", "augmentation.", "training.", "classifier.")
"""Prefixes of settings that are compared with the shipped config of the same system."""

SAID_OTHERWISE = (
    *(f"data.{key}" for key in ("manifest", "sources", "labels", "label_map", "patients", "image_size", "on_bad_files", "permute_labels")),
    *(f"training.{key}" for key in ("strategy", "jit_compile", "checkpoint_seconds", "save_models", "save_optimizer")),
)
"""Of these the ones with a reason of their own, and those that change no figure."""


def conditions_of(
    config: RunConfig, folder: Path, manifest: pd.DataFrame, *, verb: str, classes: tuple[str, ...], system: System | None
) -> Conditions:
    """Gather what decides whether a run's figures may be compared with others.

    Args:
        config: the run's settings.
        folder: its directory; `done.json` of the folds tell the epochs that were trained.
        manifest: from the run's `manifest.csv`, columns source and perhaps patients_known.
        verb: "cv" or "train".
        classes: names of the classes.
        system: what it rebuilds; settings are held against the shipped config of the same system.

    Returns:
        The conditions.
    """
    named = [source.partition(":")[0].rpartition("=")[2] for source in config.data.sources]
    in_manifest = manifest["source"].unique().tolist() if "source" in manifest else []
    sources = tuple(sorted(set(named or in_manifest)))
    known = config.data.patients == "known" and not ("patients_known" in manifest and (manifest["patients_known"] == "no").any())
    done = [read_json(path) for pattern in ("fold-*", "split") for path in folder.glob(f"{pattern}/{DONE_FILE}")]
    epochs = [sum(phase["epochs_run"] for phase in fold["phases"]) for fold in done if fold.get("phases")]
    phases = [phase for phase in phases_of(config.training.strategy, config.training.phases) if phase.epochs > 0]
    patience = [phase.patience for phase in phases if phase.patience is not None]
    return Conditions(
        classes=classes,
        phantom="phantom" in (*sources, *in_manifest),
        permuted_labels=config.data.permute_labels,
        patients_known=known,
        part="folds" if verb == "cv" else {"grouped": "random_split"}.get(config.split.kind, config.split.kind),
        sources=sources,
        image_size=config.data.image_size,
        model=config.model.name,
        params=config.model.params,
        strategy=config.training.strategy,
        weights=_weights_of(config.model.weights),
        epochs=min(epochs, default=None),
        # A phase without early stopping runs its epochs whatever happens.
        patience=min(patience) if phases and len(patience) == len(phases) else None,
        optimistic=verb == "cv" and config.cross_validation.protocol == "bozickovic",
        changed=() if system is None else changed_settings(config, verb=verb, system=system),
    )


def _weights_of(weights: str | None) -> str:
    """Name the weights: "random", "imagenet" or a file; files that Keras or this project would name so count as ImageNet's."""
    if weights is None or weights == "imagenet":
        return weights or "random"
    name = Path(weights).name
    return "imagenet" if "imagenet" in name.lower() or name.endswith("notop.h5") else name


def changed_settings(config: RunConfig, *, verb: str, system: System) -> tuple[str, ...]:
    """List the settings in which a run differs from the shipped config of the same system, "key value (shipped value)".

    Settings with a reason of their own (weights, pixels, epochs, patience, the kind of split) are left out.
    """
    shipped = [found for found in map(load_config, shipped_configs()) if found.paper == system.name]
    if not shipped:
        return ()
    own, faithful = _flat_settings(config), _flat_settings(shipped[0])
    matter = (*SETTINGS_THAT_MATTER, *_settings_of_split(config, verb=verb))
    keys = [key for key in sorted(set(own) | set(faithful)) if key.startswith(matter) and not key.startswith(SAID_OTHERWISE)]
    return tuple(f"{key} {own.get(key)} ({faithful.get(key)})" for key in keys if own.get(key) != faithful.get(key))


def _settings_of_split(config: RunConfig, *, verb: str) -> list[str]:
    """The settings that size the parts of this run."""
    if verb == "cv":
        return ["cross_validation.folds", *(["cross_validation.validation"] if config.cross_validation.protocol == "plain" else [])]
    return ["split.validation", *(["split.test"] if config.split.kind == "grouped" else [])]


def _flat_settings(config: RunConfig) -> dict[str, Any]:
    """Dotted keys to values; phases with all their settings, those of the strategy included."""
    settings = config.model_dump(mode="json")
    phases = {}
    for phase in phases_of(config.training.strategy, config.training.phases):
        fields = dataclasses.asdict(phase)
        phases[phase.name] = {key: value for key, value in fields.items() if key not in ("name", "epochs", "patience")}
    settings["training"]["phases"] = phases
    weights = settings["training"]["class_weights"]
    settings["training"]["class_weights"] = " ".join(f"{k}={v:g}" for k, v in weights.items()) if isinstance(weights, dict) else weights
    limits = settings["data"]["at_most_per_class"]
    settings["data"]["at_most_per_class"] = " ".join(f"{k}={v}" for k, v in limits.items()) or None
    return flatten(settings)
