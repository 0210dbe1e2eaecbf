"""The section `classifier`: a classifier on stored features in place of a network that trains; and what then has no effect."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, model_validator

from cxr_keras.config.section import Section, wrong_weights


class ClassifierSection(Section):
    """Which classifier learns from the features of a fixed network, and how its one parameter is tuned."""

    kind: Literal["logistic_regression", "nearest_neighbours", "linear_svm"] = "logistic_regression"
    layer: Literal["features", "pooled", "embedding"] = Field(
        "features", description="the base's output, flattened; pooled, where the head begins by pooling; or what the last layer reads"
    )
    engine: Literal["keras", "openvino"] = Field(
        "keras", description="what runs the network over the images; openvino is faster on a processor (extra `openvino`)"
    )
    grid: tuple[float, ...] | None = Field(
        None, description="values tried of the tuned parameter: C, or the number of neighbours; default 1e-4 to 1e2, or 1 to 51"
    )
    folds: int = Field(5, ge=2, le=50, description="inner folds of the grid search, by patient, on the training part alone")
    choose_by: Literal["log_loss", "auroc"] | None = Field(
        None, description="score that chooses, mean over the inner folds; default log_loss for logistic regression, else auroc"
    )
    class_weights: Literal["none", "balanced"] | dict[str, float] = "none"
    scale: Literal["none", "rms"] = Field("none", description="rms: features divided by one constant, their root mean square deviation")
    tolerance: float = Field(1e-9, gt=0, description="of logistic regression: largest entry of the gradient of the mean loss")
    max_iterations: int = Field(5000, ge=1, description="of logistic regression")

    @model_validator(mode="after")
    def _possible(self) -> ClassifierSection:
        if self.grid is not None:
            if not self.grid or min(self.grid) <= 0 or len(set(self.grid)) != len(self.grid):
                raise ValueError(f"grid is {list(self.grid)}; expected one or more different values above 0")
            if self.kind == "nearest_neighbours" and any(value != int(value) for value in self.grid):
                raise ValueError(f"grid is {list(self.grid)}; numbers of neighbours are whole (grid=null takes those of the kind)")
        if self.kind == "linear_svm" and self.choose_by == "log_loss":
            raise ValueError("choose_by is log_loss, but a linear_svm has only decision scores while it is tuned; take auroc")
        if wrong := wrong_weights(self.class_weights):
            raise ValueError(wrong)
        if self.kind == "nearest_neighbours" and self.class_weights != "none":
            raise ValueError("class_weights has no meaning for nearest_neighbours; leave it out")
        if self.kind != "logistic_regression":
            of_logistic = {"tolerance": 1e-9, "max_iterations": 5000}
            if changed := [name for name, default in of_logistic.items() if getattr(self, name) != default]:
                raise ValueError(f"{' and '.join(changed)} belong to logistic_regression; leave them out for {self.kind}")
        return self

    @property
    def in_words(self) -> str:
        """The kind as a text."""
        return {"linear_svm": "linear SVM"}.get(self.kind, self.kind.replace("_", " "))


IDLE: dict[str, tuple[str, ...]] = {
    "data": ("batch_size",),
    "augmentation": (),
    "training": (),
    "split": ("curves_on_test",),
    "cross_validation": ("protocol", "validation", "initial_share"),
    "evaluation": ("batch_size", "validation_appearance", "mistakes_shown"),
}
"""Section -> keys that do nothing where a classifier learns from stored features; no key named means all but those of `USED`."""

USED: dict[str, tuple[str, ...]] = {"augmentation": (), "training": ("precision", "save_models")}
"""Keys that have an effect nevertheless."""

REASONS = {
    "data.batch_size": "features are computed in batches of one size, which the store keeps to",
    "augmentation": "the features of an image are those of the image as it is",
    "training.class_weights": "say it as classifier.class_weights",
    "training": "no network is trained",
    "split": "there are no epochs",
    "cross_validation": "there is no epoch to choose; the grid search has folds of its own inside each training part",
    "evaluation.mistakes_shown": "there is no network to draw maps of",
    "evaluation": "the network predicts nothing itself",
}
"""Key or section -> why a key of it does nothing."""


def idle_keys(section: str, keys: Mapping[str, Any]) -> list[str]:
    """Those of a section's keys that have no effect on a classifier of stored features."""
    if section not in IDLE:
        return []
    return [key for key in keys if (key in IDLE[section] if IDLE[section] else key not in USED[section])]


def without_effect(settings: Mapping[str, Any], defaults: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Say which settings were changed although they have no effect on a classifier of stored features.

    Args:
        settings: all settings as plain values.
        defaults: section -> key -> default, of the sections of `IDLE`.

    Returns:
        "section.key (reason)" each.
    """
    faults = []
    for section in IDLE:
        for key in idle_keys(section, settings[section]):
            if settings[section][key] != defaults[section][key]:
                name = f"{section}.{key}"
                faults.append(f"{name} ({REASONS.get(name) or REASONS[section]})")
    return faults


def prune(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out the settings that have no effect on a classifier of stored features, and sections that are empty then."""
    kept: dict[str, Any] = {}
    for section, values in settings.items():
        idle = idle_keys(section, values) if isinstance(values, Mapping) else []
        remaining = {key: value for key, value in values.items() if key not in idle} if idle else values
        if not idle or remaining:
            kept[section] = remaining
    return kept
