"""What all sections of a config have in common."""

from __future__ import annotations

import math
from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """Base of all sections: unknown keys are refused and values do not change after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def wrong_weights(weights: str | Mapping[str, float]) -> str:
    """Say which weights of classes are not finite numbers above 0, or "" if all are."""
    if isinstance(weights, str):
        return ""
    wrong = [f"{name}: {weight:g}" for name, weight in weights.items() if not 0 < weight < math.inf]
    return f"class_weights has {', '.join(wrong)}; expected numbers above 0" if wrong else ""
