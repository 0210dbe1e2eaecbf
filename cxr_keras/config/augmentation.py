"""The section `augmentation`: which training images are varied, and how."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from cxr_keras.config.section import Section
from cxr_keras.data.appearance import Appearance


class AppearanceSection(Section):
    """How images look: resolution, compression, contrast, exposure, noise; each drawn evenly from its range."""

    rescale: tuple[float, float] = Field((1.0, 1.0), description="factor to which the resolution is reduced before it is brought back")
    jpeg_quality: tuple[int, int] | None = Field(None, description="quality of a JPEG compression, 1 to 100")
    contrast: tuple[float, float] = Field((1.0, 1.0), description="factor of the distance from the image's mean")
    gamma: tuple[float, float] = Field((1.0, 1.0), description="exponent of the grey level")
    brightness: float = Field(0.0, description="± this part of the range is added")
    noise: float = Field(0.0, description="highest standard deviation of noise, grey levels of 255")

    @model_validator(mode="after")
    def _possible(self) -> AppearanceSection:
        self.made()
        return self

    def made(self) -> Appearance:
        """The same as the data stage takes it."""
        return Appearance(**self.model_dump())


class AugmentationSection(Section):
    """Which training images are varied, and how. One affine resampling an image."""

    rotation_degrees: float = Field(0.0, ge=0, le=180, description="uniform in ± this angle")
    zoom: tuple[float, float] = Field((1.0, 1.0), description="uniform factor; above 1 enlarges")
    aspect: tuple[float, float] = Field((1.0, 1.0), description="factor of width over height, even in its logarithm; above 1 widens")
    shift: float = Field(0.0, ge=0, lt=1, description="uniform in ± this share of height and width")
    horizontal_flip: bool = False
    appearance: AppearanceSection = AppearanceSection()
    mixup: float = Field(
        0.0, ge=0, le=10, description="α of Beta(α, α): each training image is mixed with another, their labels too; 0 for none"
    )
    random_crop: bool = Field(False, description="crop image_size out of stored_size at random; the centre at evaluation")
    classes: tuple[str, ...] | Literal["all"] = Field("all", description="classes that are varied or expanded")
    mode: Literal["each_epoch", "copies"] = Field("each_epoch", description="new draws in every epoch, or fixed copies that expand a class")
    expand_to: Literal["level"] | float = Field(
        "level", description="copies: level with the largest class, or the ratio largest class : expanded class to reach"
    )

    @model_validator(mode="after")
    def _sensible(self) -> AugmentationSection:
        low, high = self.zoom
        if not 0 < low <= high:
            raise ValueError(f"zoom is {list(self.zoom)}; expected [low, high] with 0 < low <= high")
        if not 0 < self.aspect[0] <= self.aspect[1]:
            raise ValueError(f"aspect is {list(self.aspect)}; expected [low, high] with 0 < low <= high")
        if self.mode == "copies" and not self.affine:
            raise ValueError("mode is copies but nothing varies them: set rotation_degrees, zoom, aspect, shift or horizontal_flip")
        if self.appearance.made().changes and (self.mode != "each_epoch" or self.classes != "all"):
            raise ValueError(
                "appearance goes with mode each_epoch and classes all: compression or noise in one class alone would give the class away"
            )
        if isinstance(self.expand_to, float) and self.expand_to < 1:
            raise ValueError(f"expand_to is {self.expand_to}; the ratio largest : expanded class is 1 or more")
        return self

    @property
    def affine(self) -> bool:
        """Whether any affine variation is asked for."""
        return bool(self.rotation_degrees or self.shift or self.horizontal_flip or self.zoom != (1.0, 1.0) or self.aspect != (1.0, 1.0))
