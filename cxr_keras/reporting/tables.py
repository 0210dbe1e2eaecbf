"""The scores as tables: plain text for a terminal or a log, Markdown for documents.

A figure never stands without where it comes from: the headline carries data, pixels, numbers of images and patients,
epochs, seeds and weights.
"""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

PROVENANCE = ("data", "pixels", "epochs", "seeds", "weights")
"""What a headline says beside the numbers of images and patients; what is not given is shown as "not stated"."""

NOT_AVAILABLE = "n/a"
NOT_STATED = "not stated"

WIDTH_WITHOUT_TERMINAL = 100

_NAMES = {
    "auroc": "AUROC",
    "auprc": "AUPRC",
    "f1": "F1",
    "brier": "Brier score (0 to 2)",
    "expected_calibration_error": "calibration error",
    "log_loss": "log loss (nats)",
    "ppv_at_prevalence": "PPV",
    "npv_at_prevalence": "NPV",
}


@dataclass(frozen=True)
class Table:
    """A table of text.

    Attributes:
        title: what it shows.
        header: one text a column.
        rows: one text a column in each row.
        note: a line below, or "".
    """

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""


def format_value(entry: Mapping[str, Any]) -> str:
    """Show a score with its interval: "0.941 [0.930, 0.951]", without one "0.941", undefined "n/a"."""
    if entry["value"] is None:
        return NOT_AVAILABLE
    value = f"{entry['value']:.3f}"
    if entry.get("low") is None or entry.get("high") is None:
        return value
    return f"{value} [{entry['low']:.3f}, {entry['high']:.3f}]"


def format_spread(entry: Mapping[str, Any]) -> str:
    """Show a mean over folds: "0.941 ± 0.012", with how many folds are left out where some are undefined."""
    if entry["mean"] is None:
        return NOT_AVAILABLE
    text = f"{entry['mean']:.3f}"
    if entry["standard_deviation"] is not None:
        text += f" ± {entry['standard_deviation']:.3f}"
    if entry["undefined_folds"]:
        text += f" ({entry['undefined_folds']} undefined)"
    return text


def headline_table(runs: Sequence[tuple[str, Mapping[str, Any], Mapping[str, Any]]]) -> Table:
    """Tabulate one row a run: what it was computed on and the scores that are read first.

    Args:
        runs: name, dictionary of scores, provenance of each run. Provenance maps `PROVENANCE` keys, and any further
            ones, to what to show.

    Returns:
        The table.
    """
    extras = list(dict.fromkeys(key for _, _, provenance in runs for key in provenance if key not in PROVENANCE))
    binary = all("auroc" in scores["scores"] for _, scores, _ in runs)
    names = ("accuracy", "balanced_accuracy", "macro_f1", "auroc" if binary else "macro_auroc")
    header = ("run", "data", "pixels", "images", "patients", "epochs", "seeds", "weights", *extras, *map(label_of, names))
    rows = []
    for run, scores, provenance in runs:
        shown = [_stated(provenance.get(key)) for key in ("data", "pixels")]
        shown += [f"{scores['n_images']:,}", f"{scores['n_groups']:,}"]
        shown += [_stated(provenance.get(key)) for key in ("epochs", "seeds", "weights", *extras)]
        rows.append((run, *shown, *(format_value(scores["scores"][name]) for name in names)))
    return Table("Headline", header, tuple(rows), note=_interval_note(runs[0][1]) if runs else "")


def overall_table(scores: Mapping[str, Any]) -> Table:
    """Tabulate every overall score: pooled with its interval, and the mean and spread over folds beside it."""
    folds = scores["folds"]
    several = folds["count"] > 1
    header = ("score", "all images") + ((f"mean ± sd of {folds['count']} folds",) if several else ())
    rows = [
        (label_of(name), format_value(entry), *((format_spread(folds["scores"][name]),) if several else ()))
        for name, entry in scores["scores"].items()
    ]
    return Table("Scores", header, tuple(rows), note=_interval_note(scores))


def per_class_table(scores: Mapping[str, Any]) -> Table:
    """Tabulate the scores of each class against the rest, one column a class."""
    classes = scores["classes"]
    names = [name for name in scores["per_class"][classes[0]] if name != "support"]
    rows = [("images", *(f"{scores['per_class'][label]['support']:,}" for label in classes))]
    rows += [(label_of(name), *(format_value(scores["per_class"][label][name]) for label in classes)) for name in names]
    return Table("Each class against the rest", ("score", *classes), tuple(rows), note=_dropped_note(scores))


def per_class_folds_table(scores: Mapping[str, Any]) -> Table:
    """Tabulate mean ± standard deviation over folds of the scores of each class."""
    folds = scores["folds"]
    classes = scores["classes"]
    names = list(folds["per_class"][classes[0]])
    rows = [(label_of(name), *(format_spread(folds["per_class"][label][name]) for label in classes)) for name in names]
    return Table(f"Each class, mean ± sd of {folds['count']} folds", ("score", *classes), tuple(rows))


def folds_table(scores: Mapping[str, Any]) -> Table:
    """Tabulate the scores of single folds, one column a fold."""
    folds = scores["folds"]["per_fold"]
    rows = [
        ("images", *(f"{fold['n_images']:,}" for fold in folds)),
        ("patients", *(f"{fold['n_groups']:,}" for fold in folds)),
    ]
    for name in scores["scores"]:
        rows.append((label_of(name), *(format_value({"value": fold["scores"][name]}) for fold in folds)))
    return Table("Single folds", ("score", *(f"fold {fold['fold']}" for fold in folds)), tuple(rows))


def confusion_table(scores: Mapping[str, Any]) -> Table:
    """Tabulate the confusion matrix, true class by row."""
    classes = scores["classes"]
    matrix = zip(classes, scores["confusion_matrix"], strict=True)
    rows = tuple((label, *(f"{count:,}" for count in counts)) for label, counts in matrix)
    return Table("Confusion matrix (images)", ("true \\ predicted", *classes), rows)


def subgroups_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """Tabulate subgroups with their size, classes and scores; undefined scores are "n/a"."""
    names = tuple(rows[0]["scores"])
    header = ("subgroup", "images", "patients", "images of each class", *map(label_of, names))
    lines = []
    for row in rows:
        classes = ", ".join(f"{name} {count:,}" for name, count in row["images"].items())
        size = (f"{row['n_images']:,}", f"{row['n_groups']:,}", classes)
        lines.append((f"{row['attribute']}: {row['value']}", *size, *(format_value(row["scores"][name]) for name in names)))
    note = "Differences between subgroups may be those of their classes and sources; n/a: a class is absent, so the score is undefined."
    return Table("Subgroups", header, tuple(lines), note=note)


def subgroup_points_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """Tabulate sensitivity and specificity of subgroups at the operating points, a row for each subgroup and point."""
    names = ("sensitivity", "specificity")
    lines = [
        (f"{row['attribute']}: {row['value']}", point["name"], *(format_value(point["scores"][name]) for name in names))
        for row in rows
        for point in row.get("points", ())
    ]
    note = "Thresholds are those of the operating points; none was chosen for a subgroup. n/a: no image of that class."
    return Table("Subgroups at the operating points", ("subgroup", "point", *names), tuple(lines), note=note)


def models_table(scores: Mapping[str, Any]) -> Table:
    """Tabulate the models of several folds beside their mean, all on the same images."""
    names = ("accuracy", "balanced_accuracy", "macro_f1", "macro_auroc")
    rows = [("mean of all", *(format_value(scores["scores"][name]) for name in names))]
    rows += [(model, *(format_value(found[name]) for name in names)) for model, found in scores["by_model"].items()]
    return Table("Single models", ("model", *map(label_of, names)), tuple(rows))


def render_markdown(tables: Sequence[Table]) -> str:
    """Markdown of tables, each with a heading of level three."""
    return "\n".join(_markdown(table) for table in tables)


def _markdown(table: Table) -> str:
    lines = [f"### {table.title}", "", _markdown_row(table.header), "|" + "---|" * len(table.header)]
    lines += [_markdown_row(row) for row in table.rows]
    return "\n".join([*lines, *(["", table.note] if table.note else []), ""])


def _markdown_row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("\\", "\\\\").replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"


def render_text(tables: Sequence[Table], *, width: int | None = None) -> str:
    """Plain text of tables, without colour codes and at most `width` characters wide where the words allow it.

    Args:
        tables: what to show.
        width: characters a line; by default the terminal's, 100 where there is none.

    Returns:
        Text that ends in a line feed. Columns that do not fit move into a further block; a table of one row is
        shown as a list of names and values.
    """
    width = width or shutil.get_terminal_size((WIDTH_WITHOUT_TERMINAL, 24)).columns
    return "\n".join(_text(table, width) for table in tables)


def _text(table: Table, width: int) -> str:
    rows = _listed(table, width) if len(table.rows) == 1 else [table.header, *table.rows]
    lines = [table.title, "=" * len(table.title)]
    for number, block in enumerate(_blocks(rows, width)):
        lines += [""] * (number > 0) + _aligned(block, ruled=len(table.rows) != 1)
    return "\n".join([*lines, *textwrap.wrap(table.note, width), ""])


def _listed(table: Table, width: int) -> list[tuple[str, ...]]:
    """The only row as names and values; a value that is too long runs on below itself."""
    room = max(width - 2 - max(map(len, table.header)), 20)
    rows: list[tuple[str, ...]] = []
    for name, cell in zip(table.header, table.rows[0], strict=True):
        first, *further = textwrap.wrap(cell, room) or [""]
        rows += [(name, first), *(("", line) for line in further)]
    return rows


def _blocks(rows: Sequence[Sequence[str]], width: int) -> list[list[tuple[str, ...]]]:
    """Cut a table into blocks that fit; each begins with the first column."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    blocks: list[list[int]] = [[]]
    for column in range(1, len(widths)):
        used = widths[0] + sum(2 + widths[chosen] for chosen in blocks[-1])
        if blocks[-1] and used + 2 + widths[column] > width:
            blocks.append([])
        blocks[-1].append(column)
    return [[tuple(row[column] for column in (0, *chosen)) for row in rows] for chosen in blocks]


def _aligned(rows: Sequence[tuple[str, ...]], *, ruled: bool) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(wide) for cell, wide in zip(row, widths, strict=True)).rstrip() for row in rows]
    return [lines[0], "  ".join("-" * wide for wide in widths), *lines[1:]] if ruled else lines


def label_of(name: str) -> str:
    """The name of a score in words: "macro_f1" is "macro F1"."""
    return _NAMES.get(name) or " ".join(_NAMES.get(word, word) for word in name.split("_"))


def _stated(value: Any) -> str:
    return NOT_STATED if value is None or value == "" else str(value)


def _interval_note(scores: Mapping[str, Any]) -> str:
    interval = scores["interval"]
    if not interval["draws"]:
        return "No intervals: bootstrap draws were set to 0."
    note = f"[low, high]: {interval['level']:.0%} interval, {interval['draws']:,} bootstrap draws of patients."
    return f"{note} {_dropped_note(scores)}".strip()


def _dropped_note(scores: Mapping[str, Any]) -> str:
    per_class = [entry for score in scores["per_class"].values() for key, entry in score.items() if key != "support"]
    most = max(entry["dropped_draws"] for entry in (*scores["scores"].values(), *per_class))
    return f"Up to {most:,} draws dropped where a score was undefined." if most else ""
