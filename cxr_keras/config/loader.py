"""YAML files and key=value overrides to a checked `RunConfig`."""

from __future__ import annotations

import copy
import difflib
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError

from cxr_keras.config.classifier import prune
from cxr_keras.config.schema import DataSection, RunConfig
from cxr_keras.config.yaml_text import parse_yaml
from cxr_keras.training.strategies import get_strategy

SAMPLE = "sample"
"""The file of overrides for a run of minutes on phantoms; not a config of its own."""


def config_folder() -> Path:
    """The folder of the shipped configs: inside the installed package, or beside it in a checkout."""
    installed = Path(str(resources.files("cxr_keras"))) / "configs"
    return installed if installed.is_dir() else Path(__file__).resolve().parents[2] / "configs"


def shipped_configs() -> dict[str, Path]:
    """Name and path of every shipped config, sorted; the sample's overrides are none."""
    return {path.stem: path for path in sorted(config_folder().glob("*.yaml")) if path.stem != SAMPLE}


def load_config(name_or_path: str, overrides: Sequence[str] = (), *, sample: bool = False) -> RunConfig:
    """Load one config, put overrides on it and check the result.

    Args:
        name_or_path: a YAML file, or the name of a shipped config such as "resnet50".
        overrides: settings like "data.batch_size=16"; the value is read as YAML.
        sample: put the overrides of `configs/sample.yaml` on it first.

    Returns:
        The checked settings.

    Raises:
        ValueError: no such config, bad YAML, an unknown key or a value of another type; all faults together, each with its key.
    """
    path = find_config(name_or_path)
    settings = _read_yaml(path)
    if sample:
        settings = _as_sample(settings)
    for override in overrides:
        apply_override(settings, override)
    if sample:
        _name_phantoms(settings["data"])
    return check_config(settings, origin=str(path))


def read_config(path: Path) -> RunConfig:
    """Load the resolved config of a run directory."""
    return check_config(_read_yaml(path), origin=str(path))


def find_config(name_or_path: str) -> Path:
    """Find a config by path or by the name of a shipped one.

    Raises:
        ValueError: there is none; the message suggests the nearest name.
    """
    path = Path(name_or_path).expanduser()
    if path.is_file():
        return path
    known = shipped_configs()
    if name_or_path in known:
        return known[name_or_path]
    if rebuilding := [name for name, file in known.items() if name_or_path in _paper_names(file)]:
        raise ValueError(f"No config {name_or_path!r}: it is a paper's system. The config that rebuilds it is {rebuilding[0]!r}.")
    near = difflib.get_close_matches(path.stem, known, n=1, cutoff=0.5)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise ValueError(f"No config {name_or_path!r}: it is neither a file nor a shipped config.{hint} Shipped: {', '.join(known)}.")


def _paper_names(file: Path) -> tuple[str, ...]:
    """What the paper's system that a shipped config rebuilds may be called: with and without the paper."""
    paper = _read_yaml(file).get("paper")
    return (paper, paper.partition("/")[2]) if isinstance(paper, str) else ()


def check_config(settings: dict[str, Any], *, origin: str) -> RunConfig:
    """Turn plain settings into a `RunConfig`.

    Raises:
        ValueError: every fault in one message.
    """
    try:
        return RunConfig.model_validate(settings)
    except ValidationError as error:
        faults = "\n".join(f"  - {_fault(item)}" for item in error.errors())
        raise ValueError(f"{origin} cannot be used:\n{faults}") from None


def merge(base: dict[str, Any], top: dict[str, Any]) -> dict[str, Any]:
    """Settings of `base` with those of `top` put over them, section by section; neither is changed."""
    merged = copy.deepcopy(base)
    for key, value in top.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = merge(merged[key], value) if both else copy.deepcopy(value)
    return merged


def to_yaml(config: RunConfig) -> str:
    """The resolved settings as YAML, those left out that a classifier makes no use of; loading them gives an equal config."""
    settings = config.model_dump(mode="json")
    return yaml.safe_dump(prune(settings) if config.classifier else settings, sort_keys=False, allow_unicode=True)


def flatten(settings: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Dotted keys to values, for showing a difference key by key."""
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        flat |= flatten(value, f"{prefix}{key}.") if isinstance(value, dict) and value else {f"{prefix}{key}": value}
    return flat


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        settings = parse_yaml(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not valid YAML: {error}") from None
    if not isinstance(settings, dict):
        raise ValueError(f"{path} holds {type(settings).__name__}; expected sections such as `data:` and `model:`.")
    return settings


def _as_sample(settings: dict[str, Any]) -> dict[str, Any]:
    """Put the sample's overrides on a config, those for phases that its strategy does not have left out."""
    settings = {key: value for key, value in settings.items() if value is not None}  # a section whose keys are all commented out
    sample = _read_yaml(config_folder() / f"{SAMPLE}.yaml")
    smaller = sample.pop("for_model", {}).get(settings.get("model", {}).get("name"), {})
    sample = merge(sample, smaller)
    if settings.get("classifier"):
        return merge(settings, prune(sample))
    phases = {phase.name for phase in get_strategy(settings.get("training", {}).get("strategy", "from_scratch")).phases}
    sample["training"]["phases"] = {name: values for name, values in sample["training"]["phases"].items() if name in phases}
    return merge(settings, sample)


def _name_phantoms(data: dict[str, Any]) -> None:
    """Put the label scheme into the sample's folder of phantoms, in place: a folder holds the images of one scheme."""
    if isinstance(data.get("sources"), list):
        labels = str(data.get("labels") or DataSection.model_fields["labels"].default)
        data["sources"] = [source.replace("{labels}", labels) if isinstance(source, str) else source for source in data["sources"]]


def put(settings: dict[str, Any], keys: Sequence[str], value: Any, *, origin: str) -> None:
    """Put a value into nested settings, in place; sections that are not there are made.

    Raises:
        ValueError: the keys reach below a plain value; the message names `origin`.
    """
    place = settings
    for key in keys[:-1]:
        if place.get(key) is None:
            place[key] = {}
        place = place[key]
        if not isinstance(place, dict):
            raise ValueError(f"{origin} reaches below {key!r}, which holds a plain value.")
    place[keys[-1]] = value


def apply_override(settings: dict[str, Any], override: str) -> None:
    """Put one "section.key=value" into nested settings, in place; the value is read as YAML.

    Raises:
        ValueError: no "key=value", no YAML, or keys that reach below a plain value.
    """
    dotted, separator, text = override.partition("=")
    keys = dotted.strip().split(".")
    if not separator or not all(keys):
        raise ValueError(f"{override!r} is no override; expected key=value, for example data.batch_size=16.")
    try:
        value = parse_yaml(text)
    except yaml.YAMLError as error:
        raise ValueError(f"The value of {override!r} is not valid YAML: {error}") from None
    if keys[:2] == ["data", "sources"] and isinstance(value, str):
        value = [value]
    put(settings, keys, value, origin=repr(override))
    # An origin given on the command line replaces the other kind that the file names.
    if keys == ["data", "sources"]:
        settings["data"].pop("manifest", None)
    elif keys == ["data", "manifest"]:
        settings["data"].pop("sources", None)


def _fault(item: Any) -> str:
    """One fault of pydantic in this project's words."""
    where = ".".join(str(part) for part in item["loc"])
    if item["type"] == "extra_forbidden":
        siblings = _field_names(item["loc"][:-1])
        near = difflib.get_close_matches(str(item["loc"][-1]), siblings, n=1, cutoff=0.5)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        return f"unknown key {where!r}.{hint} Known here: {', '.join(siblings)}."
    if item["type"] == "missing":
        return f"{where} is missing."
    message = item["msg"].removeprefix("Value error, ")
    came = "" if item["type"] == "value_error" else f" It came as {item['input']!r}."
    return f"{where or 'settings'}: {message}.{came}".replace("..", ".")


def _field_names(location: tuple[Any, ...]) -> list[str]:
    """The fields of the section at a location of the schema."""
    section: type[BaseModel] = RunConfig
    for part in location:
        if part not in section.model_fields:
            continue  # the key of a mapping whose values are sections
        annotation = section.model_fields[part].annotation
        candidates = [annotation, *get_args(annotation)]
        section = next(c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel))
    return list(section.model_fields)
