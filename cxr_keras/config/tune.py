"""The settings of a search over settings, `cxr tune`."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from cxr_keras.config.section import Section

TUNABLE = ("augmentation", "classifier", "data", "model", "training")
"""Sections whose settings a search may vary."""

TUNABLE_DATA = ("batch_size", "clahe", "image_size", "resize", "stored_size")
"""Of the section data those that leave the images and their labels as they are."""


class Parameter(Section):
    """What one setting may be: one of `values`, or a number from `low` to `high`."""

    values: tuple[Any, ...] = Field((), description="a choice; numbers count as ordered")
    low: int | float | None = None
    high: int | float | None = None
    step: int | float | None = Field(None, gt=0, description="distance of neighbouring numbers; by default any")
    scale: Literal["linear", "log"] = "linear"
    when: dict[str, tuple[Any, ...]] = Field(default_factory=dict, description="varied only while another setting has one of these values")

    @model_validator(mode="after")
    def _choice_or_range(self) -> Parameter:
        if self.values:
            if self.low is not None or self.high is not None or self.step is not None or self.scale != "linear":
                raise ValueError("give values, or low and high; not both")
            if any(value in self.values[:index] for index, value in enumerate(self.values)):
                raise ValueError(f"values is {list(self.values)}; expected different ones")
            return self
        if self.low is None or self.high is None or self.low >= self.high:
            raise ValueError(f"expected values, or low and a larger high; got low {self.low} and high {self.high}")
        if self.scale == "log" and (self.low <= 0 or self.step is not None):
            raise ValueError(f"a log scale begins above 0 and has no step; got low {self.low} and step {self.step}")
        if self.whole and self.step is not None and self.step != int(self.step):
            raise ValueError(f"low and high are whole, so step must be too; got {self.step} (write low as {float(self.low)})")
        return self

    @property
    def whole(self) -> bool:
        """Whether the range is one of whole numbers."""
        return isinstance(self.low, int) and isinstance(self.high, int)

    @property
    def corners(self) -> tuple[Any, ...]:
        """Every value of a choice, or the ends of a range."""
        return self.values or (self.low, self.high)


class TuneSection(Section):
    """What is searched, how, and how a trial is scored."""

    space: dict[str, Parameter] = Field(description="setting -> list of values, or {low, high, step, scale}; both take `when`")
    search: Literal["random", "bayesian", "hyperband"] = "bayesian"
    trials: int | None = Field(20, ge=1, description="how many; hyperband follows from its epochs, factor and iterations")
    initial_trials: int | None = Field(None, ge=2, description="bayesian: drawn at random first; by default a third of all, at least 3")
    factor: int = Field(3, ge=2, description="hyperband: one in so many trials goes on, with so many times the epochs")
    iterations: int = Field(1, ge=1, description="hyperband: how often it is gone through")
    folds: int = Field(3, ge=1, le=50, description="folds by patient that score a trial; 1: one split")
    held_out: float = Field(0.25, gt=0, lt=1, description="share of the patients that scores a trial where folds is 1")
    score: Literal["macro_auroc", "accuracy", "balanced_accuracy", "macro_f1", "log_loss"] = "macro_auroc"
    end_hopeless: bool = Field(True, description="end a trial after a fold where it lies behind the median of the complete ones")
    complete_first: int = Field(4, ge=2, description="complete trials before any is ended")
    final_model: bool = Field(True, description="train with the best settings at the end and score the images kept apart")

    @field_validator("space", mode="before")
    @classmethod
    def _lists_are_values(cls, space: Any) -> Any:
        if not isinstance(space, dict) or not space:
            example = "{training.phases.all.learning_rate: {low: 1.0e-4, high: 1.0e-2, scale: log}}"
            raise ValueError(f"expected at least one setting, for example {example}")
        return {name: {"values": given} if isinstance(given, list | tuple) else given for name, given in space.items()}

    @model_validator(mode="after")
    def _possible(self) -> TuneSection:
        faults = [fault for name in self.space if (fault := _why_fixed(name))]
        for name, parameter in self.space.items():
            for other in parameter.when:
                if other == name:
                    faults.append(f"{name} cannot depend on itself")
                elif other not in self.space:
                    faults.append(f"{name} is varied when {other} has some values, and {other} is not in the space")
        if self.search == "hyperband":
            if "trials" in self.model_fields_set and self.trials is not None:
                faults.append("hyperband has as many trials as its epochs and factor ask for; leave trials out or set it to null")
            faults += [f"{name}: hyperband sets the epochs itself" for name in self.space if name.endswith(".epochs")]
        elif self.trials is None:
            faults.append(f"trials is null, which only hyperband can be; give {self.search} a number")
        if faults:
            raise ValueError("; ".join(faults))
        return self


def _why_fixed(name: str) -> str | None:
    """Why a search may not vary a setting, or None."""
    section, _, key = name.partition(".")
    if section not in TUNABLE or not key:
        return f"{name} cannot be varied; a search varies settings of {', '.join(TUNABLE)}, named like training.phases.all.learning_rate"
    if section == "data" and key not in TUNABLE_DATA:
        return f"{name} would change what a trial is scored on; of data a search varies {', '.join(TUNABLE_DATA)}"
    return None
