"""What `cxr explain RUN --check` prints: tables, and a sentence a method."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from cxr_keras.explain.trust import THORAX_BOX
from cxr_keras.reporting.tables import Table

FIGURES = {
    "hit_rate": "highest point in the lesion",
    "hit_rate_by_area": "chance: area",
    "hit_rate_other_patient": "chance: another patient's lesion",
    "energy_inside": "mass in the lesion",
    "marker_hit_rate": "highest point on the marker",
    "marker_area": "chance: area of marker",
    "marker_energy": "mass on the marker",
    "share_outside_thorax_box": "mass outside the box",
    "rank_correlation": "rank correlation with the trained",
    "rank_correlation_unsigned": "the same without sign",
}

ALIKE, UNLIKE = 0.5, 0.3
"""Rank correlation without sign, of maps by trained and by random weights: from here on much the same, and up to here unlike; this
project's choice. Two unrelated maps of 16 cells have .21 on average, of 49 cells .12."""

COARSE = 7
"""Fewer rows or columns of a map than this, and the thorax box says little."""


def trust_table(table: pd.DataFrame, *, masks: bool, grid: tuple[int, int]) -> Table:
    """Tabulate the figures of every method, trained and random.

    Args:
        table: a row for each method and kind of weights.
        masks: whether there were any.
        grid: rows and columns of the maps.
    """
    names = [name for name in FIGURES if name in table]
    rows = [
        (
            row["method"],
            row["weights"],
            f"{row['images']:,}",
            f"{row['maps_with_evidence']:,} of {row['maps']:,}",
            *(_cell(row, name) for name in names),
        )
        for row in table.to_dict("records")
    ]
    note = (
        "Maps of the label's class, mean over images [95 %, patients resampled]; random weights: mean over several networks, whose own "
        "spread no interval holds. Figures of mass are of the maps with evidence; the highest point of the others counts as chance."
    )
    if not masks:
        note += " These images have no masks, so no pointing game; `phantom:` images have."
    top, bottom, left, right = THORAX_BOX
    height, width = grid
    inside = (min(1.0, 1 - top * height), min(1.0, 1 - left * width))
    note += (
        f" Maps have {height} × {width} cells. An even map has {1 - (bottom - top) * (right - left):.2f} outside the box, one of a single "
        f"corner cell {1 - inside[0] * inside[1]:.2f}"
        + (", so with such coarse maps the share says little." if min(grid) < COARSE else ".")
        + " Correlations without sign: a map turned into its opposite shows the same things of the picture; two unrelated maps of so many "
        f"cells have {np.sqrt(2 / (np.pi * (height * width - 1))):.2f} on average."
    )
    return Table(
        "Maps against masks and against random weights",
        ("method", "weights", "images", "maps with evidence", *(FIGURES[n] for n in names)),
        tuple(rows),
        note=note,
    )


def _cell(row: dict[str, Any], name: str) -> str:
    if row[name] is None or pd.isna(row[name]):
        return "n/a"
    if "area" in name or "other_patient" in name or row[f"{name}_low"] is None:
        return f"{row[name]:.2f}"
    return f"{row[name]:.2f} [{row[f'{name}_low']:.2f}, {row[f'{name}_high']:.2f}]"


def curve_table(summary: pd.DataFrame) -> Table:
    """Tabulate the mean areas under deletion and insertion, each method beside random order on the images where its map says something.

    Args:
        summary: of `cxr_keras.recipes.explain_curves.FoundCurves`.
    """
    rows = [
        (
            row["method"],
            f"{row['images']:,} of {row['tried']:,}",
            *(cell for kind in ("deletion", "insertion") for cell in _beside_random(row, kind)),
        )
        for row in summary.to_dict("records")
    ]
    note = (
        "Area under the probability of the label's class while pixels are covered with the mean grey, or shown, in the order of the map; "
        "difference to random order on the same images [95 %, patients resampled]. Images without evidence in the map are left out."
    )
    header = (
        "method",
        "maps with evidence",
        "deletion",
        "to random order (below 0 is good)",
        "insertion",
        "to random order (above 0 is good)",
    )
    return Table("Deletion and insertion", header, tuple(rows), note=note)


def _beside_random(row: dict[str, Any], kind: str) -> tuple[str, str]:
    if not row["images"]:
        return "n/a", "n/a"
    difference = f"{row[f'{kind}_difference']:+.3f}"
    low, high = row[f"{kind}_low"], row[f"{kind}_high"]
    return f"{row[kind]:.3f}", difference if low is None or pd.isna(low) else f"{difference} [{low:+.3f}, {high:+.3f}]"


def cascade_table(steps: pd.DataFrame) -> Table:
    """Tabulate the rank correlations while weights are drawn anew from the top."""
    rows = tuple(
        (row.randomised_down_to, f"{row.rank_correlation:.2f}", f"{row.rank_correlation_unsigned:.2f}") for row in steps.itertuples()
    )
    note = (
        "Grad-CAM of one model; weights drawn anew from the last layer down to the one named. A map of the network goes to 0; below 0 the "
        "last layer now reads the same features with the opposite sign."
    )
    return Table("Randomised from the top", ("randomised down to", "rank correlation with the trained", "without sign"), rows, note=note)


def verdict_of(table: pd.DataFrame, curves: pd.DataFrame) -> list[str]:
    """Say what the figures mean, and where maps say nothing; methods of which the same is to be said share a sentence.

    Args:
        table: a row for each method and kind of weights.
        curves: summary of `cxr_keras.recipes.explain_curves.FoundCurves`.
    """
    trained, random = (table[table["weights"] == weights].to_dict("records") for weights in ("trained", "random"))
    on_disease = [(row["method"], _of_masks(row)) for row in trained]
    said = on_disease if any(what for _, what in on_disease) else [("", "Without masks nothing here says whether maps lie on the disease.")]
    said += [(row["method"], _of_random_weights(row)) for row in random]
    said += [(row["method"], _of_curves(row)) for row in curves.to_dict("records") if row["images"]]
    said += [(row["method"], _of_silence(row)) for row in trained]
    methods: dict[str, list[str]] = {}
    for method, what in said:
        if what:
            methods.setdefault(what, []).append(method)
    return [f"{', '.join(names)}: {what}" if names[0] else what for what, names in methods.items()]


def _of_masks(row: dict[str, Any]) -> str:
    on_marker, in_lesion = (_known(row, name) for name in ("marker_hit_rate", "hit_rate"))
    if on_marker is not None and row["marker_hit_rate_low"] > row["marker_area"]:
        instead = " rather than to the lesion" if in_lesion is not None and on_marker > in_lesion else ""
        return (
            f"maps go to the planted corner marker{instead}: highest point there in {on_marker:.0%} of images (chance "
            f"{row['marker_area']:.0%}), in the lesion in {in_lesion or 0:.0%}. The network reads the marker."
        )
    if in_lesion is None:
        return ""
    chance = max(row["hit_rate_by_area"], _known(row, "hit_rate_other_patient") or 0.0)
    how = "more often than chance has it" if row["hit_rate_low"] > chance else "no more often than chance has it"
    return f"maps find the lesion {how} ({in_lesion:.0%} of images; chance {chance:.0%})."


def _of_silence(row: dict[str, Any]) -> str:
    silent = row["maps"] - row["maps_with_evidence"]
    if not silent:
        return ""
    return (
        f"nothing speaks for the label's class in {silent:,} of {row['maps']:,} maps; they show nothing, and figures of mass, deletion and "
        "insertion leave them out."
    )


def _of_random_weights(row: dict[str, Any]) -> str:
    found = _known(row, "rank_correlation_unsigned")
    if found is None:
        return ""
    if found >= ALIKE:
        what = "with random weights the maps keep much of their order; they show the picture more than what the network learned"
    elif found > UNLIKE:
        what = "the maps depend on what the network learned in part only"
    else:
        what = "the maps depend on what the network learned"
    return f"{what} (rank correlation without sign {found:.2f})."


def _of_curves(row: dict[str, Any]) -> str:
    good = {"deletion": row["deletion_high"] is not None and row["deletion_high"] < 0, "insertion": (row["insertion_low"] or 0) > 0}
    bad = {"deletion": (row["deletion_low"] or 0) > 0, "insertion": row["insertion_high"] is not None and row["insertion_high"] < 0}
    said = [f"{kind} is better than in random order" for kind in good if good[kind]]
    said += [f"{kind} is worse than in random order" for kind in bad if bad[kind]]
    if not said:
        return "neither deletion nor insertion tells this order of the pixels from a random one."
    return f"{' and '.join(said)}."


def _known(row: dict[str, Any], name: str) -> float | None:
    """A figure, or None where it is missing or undefined."""
    value = row.get(name)
    return None if value is None or pd.isna(value) else float(value)
