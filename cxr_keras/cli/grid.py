"""What `--grid` reads from a command line before the config and its overrides."""

from __future__ import annotations

from collections.abc import Sequence

AXES = {"models": "resnet50,xception", "strategies": "end_to_end,two_stage"}
"""The axes with an example each."""

SINGLE = {"model": "models", "strategy": "strategies"}
DEFAULT_CONFIG = "resnet50"
GRID_SAMPLE = ["data.image_size=[80, 80]"]  # the sample's 64 pixels are too few for three of the paper's four networks


def grid_arguments(given: Sequence[str], *, sample: bool) -> tuple[dict[str, list[str]], list[str]]:
    """Take models=A,B and strategies=X,Y out of the arguments.

    Args:
        given: config and overrides as they came, in any order of the axes.
        sample: whether phantoms take the place of images.

    Returns:
        Names by axis, and config and overrides without them; the config is resnet50's where none is given.

    Raises:
        ValueError: an axis comes twice, in the singular, or with a space after a comma.
    """
    axes: dict[str, list[str]] = {}
    rest: list[str] = []
    for item in given:
        key, sign, value = item.partition("=")
        if sign and key in SINGLE:
            axis = SINGLE[key]
            raise ValueError(f"{item!r}: with --grid say {axis}={value or AXES[axis]}; several names are separated by commas.")
        if not sign or key not in AXES:
            rest.append(item)
            continue
        if key in axes:
            raise ValueError(f"{key}= is given twice; put all names into one: {key}={','.join(axes[key])},{value}.")
        if value.endswith(","):
            raise ValueError(f"{item!r} ends with a comma. Put no spaces after the comma: {key}={AXES[key]}.")
        axes[key] = value.strip("[]").replace(" ", "").split(",")
    if not rest or "=" in rest[0]:
        rest = [DEFAULT_CONFIG, *rest]
    if sample:
        rest[1:1] = GRID_SAMPLE
    return axes, rest
