"""What `cxr explain RUN --check` prints: tables, and a sentence a method."""

from __future__ import annotations

from typing import Any

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
}


def trust_table(table: pd.DataFrame, *, masks: bool) -> Table:
    """Tabulate the figures of every method, trained and random; `masks` says whether there were any."""
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
    note += f" An even map has {1 - (bottom - top) * (right - left):.2f} outside the box."
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


def curve_table(curves: pd.DataFrame) -> Table:
    """Tabulate the mean areas under deletion and insertion, each method beside random order on the images where its map says something."""
    rows = []
    for key, order in (("grad_cam", "as Grad-CAM ranks them"), ("hires_cam", "as HiResCAM ranks them")):
        if f"{key}_deletion" in curves:
            known = curves[curves[f"{key}_deletion"].notna()]
            names = (f"{key}_deletion", "random_deletion", f"{key}_insertion", "random_insertion")
            figures = (f"{known[name].mean():.3f}" if len(known) else "n/a" for name in names)
            rows.append((order, f"{len(known):,} of {len(curves):,}", *figures))
    note = (
        "Area under the probability of the label's class while pixels are covered with the mean grey, or uncovered; images without "
        "evidence in the map are left out, and in random order too."
    )
    header = (
        "pixels",
        "maps with evidence",
        "deletion (low is good)",
        "deletion in random order",
        "insertion (high is good)",
        "insertion in random order",
    )
    return Table("Deletion and insertion", header, tuple(rows), note=note)


def cascade_table(steps: pd.DataFrame) -> Table:
    """Tabulate the rank correlations while weights are drawn anew from the top."""
    rows = tuple((row.randomised_down_to, f"{row.rank_correlation:.2f}") for row in steps.itertuples())
    note = (
        "Grad-CAM; weights drawn anew from the last layer down to the one named. A map of the network goes to 0; below 0 the last layer "
        "now reads the same features with the opposite sign."
    )
    return Table("Randomised from the top", ("randomised down to", "rank correlation with the trained"), rows, note=note)


def verdict_of(table: pd.DataFrame) -> str:
    """Say what the figures of the trained weights mean, a sentence a method, and where maps say nothing."""
    trained = table[table["weights"] == "trained"].to_dict("records")
    lines = []
    for row in trained:
        on_marker, in_lesion = (_known(row, name) for name in ("marker_hit_rate", "hit_rate"))
        if on_marker is not None and row["marker_hit_rate_low"] > row["marker_area"]:
            instead = " rather than to the lesion" if in_lesion is not None and on_marker > in_lesion else ""
            lines.append(
                f"{row['method']}: maps go to the planted corner marker{instead}: highest point there in {on_marker:.0%} of images (chance "
                f"{row['marker_area']:.0%}), in the lesion in {in_lesion or 0:.0%}. The network reads the marker."
            )
        elif in_lesion is not None:
            chance = max(row["hit_rate_by_area"], _known(row, "hit_rate_other_patient") or 0.0)
            how = "more often than chance has it" if row["hit_rate_low"] > chance else "no more often than chance has it"
            lines.append(f"{row['method']}: maps find the lesion {how} ({in_lesion:.0%} of images; chance {chance:.0%}).")
    if not lines:
        lines.append(
            "Without masks nothing here says whether maps lie on the disease. "
            "Rank correlations near 0 say that they depend on what the network learned."
        )
    for row in trained:
        if silent := row["maps"] - row["maps_with_evidence"]:
            lines.append(
                f"{row['method']}: nothing speaks for the label's class in {silent:,} of {row['maps']:,} maps; they show nothing, and "
                "figures of mass, deletion and insertion leave them out."
            )
    return "\n".join(lines)


def _known(row: dict[str, Any], name: str) -> float | None:
    """A figure, or None where it is missing or undefined."""
    value = row.get(name)
    return None if value is None or pd.isna(value) else float(value)
