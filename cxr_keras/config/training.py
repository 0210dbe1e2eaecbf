"""The section `training`: how a network learns."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from cxr_keras.config.section import Section, wrong_weights
from cxr_keras.training.strategies import phases_of


class TrainingSection(Section):
    """How the network learns."""

    strategy: str = "from_scratch"
    phases: dict[str, dict[str, Any]] = Field(default_factory=dict, description="settings of single phases, e.g. {all: {epochs: 3}}")
    class_weights: Literal["none", "balanced"] | dict[str, float] = "none"
    monitor: Literal["val_loss", "val_accuracy", "val_auroc"] = "val_loss"
    keep: Literal["best", "last"] = Field("last", description="weights at the end of a phase")
    precision: Literal["float32", "mixed_bfloat16", "mixed_float16"] = "float32"
    jit_compile: Literal["auto"] | bool = Field("auto", description="XLA; auto is on where a GPU is found, and with JAX")
    distribution: Literal["none", "mirrored"] = Field("none", description="mirrored: one training over all devices, each with its share")
    calibrate_batch_norm: Literal["auto"] | bool = Field("auto", description="before a frozen phase; auto is on for random bases")
    frozen_base: Literal["stored", "in_loop"] = Field(
        "stored", description="phases that train the head: outputs of the base computed once and kept, or anew in every epoch"
    )
    checkpoint_seconds: float = Field(30.0, ge=0, description="least time between two resumable states; a kill loses that and one epoch")
    save_models: bool = True
    save_optimizer: bool = Field(False, description="keep the optimizer's state in model.keras, three times the size with Adam")

    @model_validator(mode="after")
    def _known_phases(self) -> TrainingSection:
        phases_of(self.strategy, self.phases)
        return self

    @model_validator(mode="after")
    def _weights_above_zero(self) -> TrainingSection:
        if wrong := wrong_weights(self.class_weights):
            raise ValueError(wrong)
        return self

    @model_validator(mode="after")
    def _xla_is_for_one_device(self) -> TrainingSection:
        if self.distribution == "mirrored" and self.jit_compile is True:
            raise ValueError("jit_compile=true is for one device; set it to auto or false, or distribution to none")
        return self
