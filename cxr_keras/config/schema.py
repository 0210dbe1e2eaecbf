"""The settings of a run. Every YAML in `configs/` names values of these fields; an unknown key is an error.

Each section is flat and typed, so the schema reads as the reference of what can be set.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from cxr_keras.config.augmentation import AppearanceSection, AugmentationSection
from cxr_keras.config.classifier import IDLE, ClassifierSection, without_effect
from cxr_keras.config.section import Section
from cxr_keras.config.training import TrainingSection
from cxr_keras.config.tune import TuneSection
from cxr_keras.training.strategies import phases_of


class DataSection(Section):
    """Which images, with which labels, at which size."""

    manifest: str | None = Field(None, description="CSV made by `cxr data build`, labels included; instead of `sources`")
    sources: tuple[str, ...] = Field((), description="reader:PATH, for example kermany:/data/chest_xray; several combine")
    labels: Literal["binary", "three", "four", "as_given"] = Field("binary", description="label scheme; as_given takes the source's own")
    label_map: dict[str, str] = Field(default_factory=dict, description="label of a source to class, or to skip")
    on_label_conflict: Literal["error", "drop", "first_source"] = Field("error", description="identical files of different class")
    patients: Literal["known", "one_per_image"] = Field("known", description="one_per_image admits sources that know no patients")
    image_size: tuple[int, int] = Field((224, 224), description="height and width in pixels that the network sees")
    stored_size: tuple[int, int] | None = Field(None, description="height and width before a random crop; default image_size")
    resize: Literal["stretch", "crop", "pad"] = "stretch"
    clahe: float | None = Field(None, gt=0, description="clip limit of contrast-limited adaptive histogram equalisation")
    batch_size: int = Field(32, ge=1, description="images a training step")
    on_bad_files: Literal["refuse", "skip"] = "refuse"
    official_parts: tuple[Literal["train", "val", "test"], ...] = Field(
        (), description="only images of these parts of the source's own split, e.g. [train, val] while choosing settings; default all"
    )
    at_most_per_class: dict[str, int] = Field(default_factory=dict, description="class to number of images kept, drawn by patient")
    permute_labels: bool = Field(False, description="negative control: labels exchanged between patients")

    @model_validator(mode="after")
    def _one_origin(self) -> DataSection:
        if self.manifest and self.sources:
            raise ValueError("give data.manifest or data.sources, not both")
        for name, size in (("image_size", self.image_size), ("stored_size", self.stored_size)):
            if size is not None and not all(8 <= side <= 4096 for side in size):
                raise ValueError(f"{name} is {list(size)}; each side must be 8 to 4096 pixels")
        if self.stored_size and any(s < i for s, i in zip(self.stored_size, self.image_size, strict=True)):
            raise ValueError(f"stored_size {list(self.stored_size)} is smaller than image_size {list(self.image_size)}")
        return self


class ModelSection(Section):
    """Which architecture, from which weights."""

    name: str = Field(description="an architecture of models_zoo; `cxr models` lists them")
    weights: str | None = Field(
        None, description="null (random), imagenet, or a path; {fold} in the path becomes the number of the fold that is trained"
    )
    params: dict[str, Any] = Field(default_factory=dict, description="parameters of the architecture, its head included")


class SplitSection(Section):
    """The one split of `cxr train`."""

    kind: Literal["grouped", "official", "official_halves"] = Field(
        "grouped", description="by patient at random; the source's own folders; or these, the test folder halved into validation and test"
    )
    test: float = Field(0.25, gt=0, lt=1, description="share of the test part (grouped)")
    validation: float = Field(0.0, ge=0, lt=1, description="share of the training images that is kept apart to choose on")
    curves_on_test: bool = Field(False, description="without a validation part: draw the curves on the test part, choosing nothing")

    @model_validator(mode="after")
    def _official_test_is_read_once(self) -> SplitSection:
        if self.curves_on_test and self.kind != "grouped":
            raise ValueError("curves_on_test would read the official test labels after every epoch; set it to false or kind to grouped")
        if self.kind == "official_halves" and self.validation > 0:
            raise ValueError("official_halves has its own validation part, half of the test folder; set split.validation to 0")
        if self.curves_on_test and self.validation > 0:
            raise ValueError("curves_on_test is for splits without a validation part; set validation to 0 or curves_on_test to false")
        return self


class CrossValidationSection(Section):
    """The folds of `cxr cv`."""

    folds: int = Field(5, ge=2, le=50)
    protocol: Literal["plain", "bozickovic"] = Field("plain", description="bozickovic: epochs found on an initial split, then carried")
    validation: float = Field(0.0, ge=0, lt=1, description="plain: share of each training part that is kept apart to choose on")
    initial_share: float = Field(0.15, gt=0, lt=0.5, description="bozickovic: share of the rarest class's patients in validation and test")


class EvaluationSection(Section):
    """How scores are computed."""

    bootstrap_draws: int = Field(2000, ge=100)
    batch_size: int = Field(64, ge=1)
    validation_appearance: AppearanceSection | None = Field(
        None, description="a change of look that validation images get, so that they resemble images of elsewhere"
    )
    target_sensitivity: float = Field(0.95, gt=0, lt=1, description="what the operating points of high sensitivity must reach")
    prevalence: float | None = Field(
        None, gt=0, lt=1, description="share of sick among those who will be tested, for predictive values; by default none are given"
    )
    mistakes_shown: int = Field(8, ge=0, le=40, description="wrong predictions that the run's report shows with maps; 0 loads no model")
    ledger: str | None = Field(
        None, description="where readings of official test labels are noted; default test_readings.csv beside the run"
    )


class TrackingSection(Section):
    """Which programs can watch a run; no part of its result."""

    tensorboard: bool = Field(True, description="event files for TensorBoard in the run directory")
    mlflow: bool | str | None = Field(None, description="address of an MLflow store; true: the database mlflow.db beside the run")

    @model_validator(mode="after")
    def _address_without_password(self) -> TrackingSection:
        if isinstance(self.mlflow, str) and (not self.mlflow or re.search(r"://[^/@]*:[^/@]*@", self.mlflow)):
            raise ValueError(
                "mlflow is an address without name and password, which would stand in every run; MLflow reads them from "
                "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
            )
        return self


class RunConfig(Section):
    """Everything that determines the figures of a run, and how it is watched."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", description="names the run directory")
    description: str = ""
    paper: str | None = Field(None, description="system of a paper that this rebuilds, e.g. laban/mini_vgg")
    data: DataSection
    model: ModelSection
    augmentation: AugmentationSection = AugmentationSection()
    training: TrainingSection = TrainingSection()
    classifier: ClassifierSection | None = Field(None, description="learns from stored features of the network, which stays as it is")
    split: SplitSection = SplitSection()
    cross_validation: CrossValidationSection = CrossValidationSection()
    evaluation: EvaluationSection = EvaluationSection()
    tune: TuneSection | None = Field(None, description="what `cxr tune` searches; other verbs make no use of it")
    tracking: TrackingSection = TrackingSection()
    seed: int = Field(0, ge=0, lt=2**31)
    split_seed: int | None = Field(None, ge=0, lt=2**31, description="seed of folds and splits; default: seed")
    seeds: tuple[Annotated[int, Field(ge=0, lt=2**31)], ...] = Field(
        (), description="one run for each of these seeds, then their mean and spread; replaces seed"
    )

    @model_validator(mode="after")
    def _seeds_differ(self) -> RunConfig:
        if len(set(self.seeds)) != len(self.seeds) or len(self.seeds) == 1:
            raise ValueError(f"seeds is {list(self.seeds)}; give two or more different whole numbers, or one as seed")
        return self

    @model_validator(mode="after")
    def _every_setting_has_an_effect(self) -> RunConfig:
        if self.classifier is None:
            return self
        defaults = {section: type(getattr(self, section))().model_dump(mode="json") for section in IDLE}
        faults = without_effect(self.model_dump(mode="json"), defaults)
        if self.split.kind == "official_halves":
            faults.append("split.kind=official_halves (half of the test folder would choose an epoch, and there are none; take official)")
        if self.classifier.engine == "openvino" and self.training.precision == "mixed_float16":
            raise ValueError("classifier.engine=openvino computes in float32 or mixed_bfloat16; set training.precision to one of them")
        if faults:
            raise ValueError(f"a classifier on stored features makes no use of {'; '.join(faults)}. Leave them out.")
        return self

    @model_validator(mode="after")
    def _choosing_needs_validation(self) -> RunConfig:
        if self.split.curves_on_test and self.chooses_epoch:
            raise ValueError("split.curves_on_test goes with training.keep=last and no patience, else the test part would choose the epoch")
        return self

    @property
    def learner(self) -> str:
        """What learns, in words: the training strategy, or a classifier on features."""
        return self.training.strategy if self.classifier is None else f"{self.classifier.in_words} on {self.classifier.layer}"

    @property
    def seed_of_splits(self) -> int:
        """What folds and splits are drawn with."""
        return self.seed if self.split_seed is None else self.split_seed

    def refuse_missing_parts(self, verb: str) -> None:
        """Raise ValueError where `cxr <verb>` would lack the validation part that must name the epoch, or an official part."""
        parts = self.data.official_parts
        if verb == "train" and self.split.kind != "grouped" and parts and not {"train", "test"} <= set(parts):
            raise ValueError(
                f"split.kind={self.split.kind} needs train and test, and data.official_parts is {list(parts)}; set kind to grouped"
            )
        if verb == "cv":
            apart = self.cross_validation.protocol == "bozickovic" or self.cross_validation.validation > 0
            key = "cross_validation.validation"
        else:
            apart = self.split.kind == "official_halves" or self.split.validation > 0
            key = "split.validation"
        if self.chooses_epoch and not apart:
            raise ValueError(
                f"training.keep=best or a phase's patience chooses an epoch on a validation part, and this run has none. Give it one with "
                f"{key}=0.15, or set training.keep=last and every phase's patience to null."
            )

    @property
    def chooses_epoch(self) -> bool:
        """Whether a validation part decides when training stops or which weights are kept."""
        phases = phases_of(self.training.strategy, self.training.phases)
        return self.training.keep == "best" or any(phase.patience is not None for phase in phases if phase.epochs > 0)

    @model_validator(mode="after")
    def _initial_split_has_weights(self) -> RunConfig:
        if self.cross_validation.protocol == "bozickovic" and self.model.weights and "{fold}" in self.model.weights:
            raise ValueError("protocol bozickovic begins with a split that is no fold, so model.weights cannot hold {fold}; take plain")
        return self

    @model_validator(mode="after")
    def _look_of_validation_images(self) -> RunConfig:
        if self.evaluation.validation_appearance is not None and self.split.curves_on_test:
            raise ValueError("evaluation.validation_appearance would alter the test images of split.curves_on_test; switch one of them off")
        return self

    @model_validator(mode="after")
    def _averages_are_kept(self) -> RunConfig:
        phases = phases_of(self.training.strategy, self.training.phases)
        if self.training.keep == "best" and any(phase.optimizer.average for phase in phases):
            raise ValueError(
                "average replaces the weights at the end of a phase, keep=best puts those of one epoch back; choose one of them"
            )
        if any(phase.optimizer.average and phase.train == "all" and phase.batch_norm == "train" for phase in phases):
            raise ValueError("averaged weights need BatchNorm statistics of their own: set batch_norm to recalibrated in that phase")
        return self

    @property
    def trains_behind_frozen_base(self) -> bool:
        """Whether a phase trains the head on stored outputs of the base."""
        phases = phases_of(self.training.strategy, self.training.phases)
        return self.training.frozen_base == "stored" and any(phase.train == "head" and phase.epochs > 0 for phase in phases)

    @model_validator(mode="after")
    def _stored_outputs_are_of_fixed_pictures(self) -> RunConfig:
        if not self.trains_behind_frozen_base:
            return self
        augmentation, remedy = self.augmentation, "set training.frozen_base=in_loop, which runs the frozen base in every epoch"
        if augmentation.mode == "each_epoch" and (augmentation.affine or augmentation.appearance.made().changes):
            raise ValueError(
                "augmentation.mode=each_epoch draws new pictures in every epoch, so the outputs of the frozen base cannot be stored; "
                f"{remedy}, or augmentation.mode=copies, whose pictures are fixed"
            )
        if augmentation.mixup:
            raise ValueError(f"augmentation.mixup gives new pictures in every epoch, so the outputs of the base cannot be stored; {remedy}")
        if augmentation.random_crop:
            raise ValueError(
                f"augmentation.random_crop cuts other pictures in every epoch, so the outputs of the frozen base cannot be stored; {remedy}"
            )
        if self.evaluation.validation_appearance is not None:
            raise ValueError(f"evaluation.validation_appearance alters pictures, whose outputs of the base are not stored; {remedy}")
        if self.model.params.get("auxiliary"):
            raise ValueError(f"auxiliary outputs read layers within the base, whose outputs are not stored; {remedy}")
        return self

    @model_validator(mode="after")
    def _optimizer_can_be_saved(self) -> RunConfig:
        if self.training.save_optimizer and self.model.params.get("auxiliary"):
            raise ValueError("training.save_optimizer keeps a model to go on with, but auxiliary outputs are not saved; switch one off")
        fitted = [phase for phase in phases_of(self.training.strategy, self.training.phases) if phase.epochs > 0]
        if self.training.save_optimizer and self.trains_behind_frozen_base and fitted[-1].train == "head":
            raise ValueError(
                "training.save_optimizer keeps the optimizer of the whole network, and the last phase trains the head alone, on stored "
                "outputs of the base; set training.save_optimizer=false or training.frozen_base=in_loop"
            )
        return self

    @model_validator(mode="after")
    def _crop_needs_room(self) -> RunConfig:
        if self.augmentation.random_crop and self.data.stored_size is None:
            raise ValueError("augmentation.random_crop needs data.stored_size, the size that is cropped from")
        return self
