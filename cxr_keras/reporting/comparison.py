"""Runs beside papers and beside each other, as sections of tables: the same content as text, Markdown and a page.

Takes plain rows, one dictionary a figure, as they are written to `comparison.csv`.
"""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from cxr_keras.reporting.sections import Bar, Chart, Section
from cxr_keras.reporting.tables import (
    NOT_AVAILABLE,
    NOT_STATED,
    WIDTH_WITHOUT_TERMINAL,
    Table,
    format_value,
    label_of,
    render_markdown,
    render_text,
)

SHOWN_IMAGES = 20
"""Images that a text lists of those that most runs miss; a page folds all of them below."""


def paper_section(rows: Sequence[Mapping[str, Any]], *, reasons: Sequence[str], remarks: Sequence[str], mean_of_folds: bool) -> Section:
    """Tabulate a run beside one set of figures of a paper.

    Args:
        rows: one a figure, all of the same run, system and evaluation, with the columns of `comparison.csv`: run, system, evaluation,
            score, class, ours, pooled, low, high, paper_low, paper_high, paper_shown, difference, inside and the provenance.
        reasons: why the two may not be compared; empty where they may.
        remarks: what the paper scored and how it averaged.
        mean_of_folds: whether the paper's figures are means over folds, so that "ours" and "pooled" are two things.

    Returns:
        The section.
    """
    first = rows[0]
    means = ("ours, mean of folds",) if mean_of_folds else ()
    pooled = "ours, all folds at once [95 %]" if mean_of_folds else "ours [95 %]"
    header = ("score", *means, pooled, "paper", "ours - paper", "paper in [low, high]")
    body, bars = [], []
    for row in rows:
        label = f"{label_of(row['score'])}, {row['class']}" if row["class"] else label_of(row["score"])
        own = (_number(row["ours"]),) if mean_of_folds else ()
        shown = format_value({"value": row["pooled"], "low": row["low"], "high": row["high"]})
        body.append((label, *own, shown, row["paper_shown"], _number(row["difference"], signed=True), _yes_or_no(row["inside"])))
        bars.append(Bar(label, row["pooled"], row["low"], row["high"], reference=(row["paper_low"], row["paper_high"])))
    note = (
        "In [low, high]: whether a value that rounds to the paper's figure lies in our interval. The interval tells how far drawing other "
        "patients moves our figure; the paper's own sampling error comes on top."
    )
    caption = "Dot and line: ours with its 95 % interval. Diamond: the paper's figure; the short bar through it is its rounding."
    return Section(
        title=f"{first['run']} beside {first['system']} ({first['evaluation'].replace('_', ' ')})",
        lead="Comparable: no." if reasons else "Comparable: yes, by all that the paper states.",
        points=tuple(reasons),
        remarks=(provenance_line(first), *remarks),
        tables=(Table("Figure by figure", header, tuple(body), note=note),),
        charts=(Chart(caption, tuple(bars)),),
        phantom=bool(first["phantom"]),
    )


def paired_section(rows: Sequence[Mapping[str, Any]], *, unpaired: Sequence[str], definitions: Mapping[str, str], phantom: bool) -> Section:
    """Tabulate differences between runs on the same images, a table a pair.

    Args:
        rows: one a difference, with the columns of `comparison.csv`: run, against, score, ours, theirs, difference, low, high, p, p_holm,
            one_image, verdict, reasons.
        unpaired: a sentence for each run that could not be paired.
        definitions: what the columns mean.
        phantom: whether the figures are of drawn images.

    Returns:
        The section.
    """
    pairs: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for row in rows:
        pairs.setdefault((row["run"], row["against"]), []).append(row)
    tables, charts = [], []
    for (run, against), members in pairs.items():
        header = ("score", "run", "against", "difference [95 %]", "p", "p (Holm)", "verdict")
        body, bars = [], []
        for row in members:
            verdict = f"{row['verdict']}: {row['reasons']}" if row["reasons"] else row["verdict"]
            values = [_number(row[key]) for key in ("ours", "theirs")]
            body.append((label_of(row["score"]), *values, _difference(row), _p_value(row["p"]), _p_value(row["p_holm"]), verdict))
            tone = row["verdict"] if row["verdict"] in ("higher", "lower") else "plain"
            bars.append(Bar(label_of(row["score"]), row["difference"], row["low"], row["high"], tone=tone))
        worth = {row["score"]: _number(row["one_image"], decimals=4) for row in members}
        note = "One image is worth: " + ", ".join(f"{label_of(score)} {value}" for score, value in worth.items()) + "."
        tables.append(Table(f"{run} against {against}", header, tuple(body), note=note))
        charts.append(Chart("Difference with its 95 % interval; grey is a tie, blue higher, orange lower.", tuple(bars), zero=True))
    told = tuple(f"{name}: {text}" for name, text in definitions.items()) if rows else ()
    return Section(
        title="Differences on the same images",
        lead=" ".join(unpaired),
        points=told,
        tables=tuple(tables),
        charts=tuple(charts),
        phantom=phantom,
    )


def gap_section(
    values: Mapping[str, tuple[float, float | None, float | None]],
    *,
    names: tuple[str, str],
    prevalences: tuple[float, float],
    best_threshold: float,
    phantom: bool,
) -> Section:
    """Tabulate why the accuracies of two runs on different images differ.

    Args:
        values: part -> value, low, high, see `cxr_keras.evaluation.gap`.
        names: of the first and the second run.
        prevalences: share of the positive class in the images of each.
        best_threshold: the one that is best for the second run's own images.
        phantom: whether the images are drawn.
    """
    first, second = names
    meanings = {
        "first": f"{first}, at 0.5",
        "second": f"{second}, at 0.5",
        "gap": "gap: the first minus the second",
        "prevalence": f"of it prevalence: {prevalences[0]:.3f} of the images positive there, {prevalences[1]:.3f} here",
        "threshold": f"of it threshold, at most: 0.5 instead of {best_threshold:.3f}, the best for these very images",
        "rest": f"of it the rest: {second} ranks its images worse",
    }
    body = tuple((meanings[name], format_value(dict(zip(("value", "low", "high"), entry, strict=True)))) for name, entry in values.items())
    note = (
        "Prevalence: sensitivity and specificity of the first, weighed with the second's share of positive images. The best threshold is "
        "found on the labels that it is scored on: a bound, and no result. Intervals draw the patients of both again."
    )
    table = Table("Accuracy taken apart", ("part", "accuracy"), body, note=note)
    return Section(f"Why {first} and {second} differ", tables=(table,), phantom=phantom)


def wrong_together_section(
    rows: Sequence[Mapping[str, Any]],
    *,
    runs: Sequence[str],
    images_by_wrong: Sequence[int],
    why_no_label_errors: str,
    phantom: bool,
) -> Section:
    """Tabulate the images that most runs miss, the most missed first.

    Args:
        rows: one an image, in order: image_id, label, models, wrong, p_label, named_instead, p_named, likely_label_error ("yes", "no").
        runs: names of the runs.
        images_by_wrong: how many images exactly 0, 1, … of the runs miss.
        why_no_label_errors: a sentence where label errors were not looked for, or "".
        phantom: whether the images are drawn.
    """
    most = sum(images_by_wrong[len(runs) // 2 + 1 :])
    lead = f"{most:,} of {sum(images_by_wrong):,} images are missed by most of {len(runs)} runs, {images_by_wrong[-1]:,} by all."
    doubtful = sum(row["likely_label_error"] == "yes" for row in rows)
    told = why_no_label_errors or (
        f"{doubtful:,} labels look wrong by confident learning on the mean probabilities (Northcutt et al. 2021). They are candidates "
        "for a second reading and no verdict."
    )
    missed = ", ".join(f"{images:,} by {number}" for number, images in enumerate(images_by_wrong))
    body = tuple(
        (
            *(str(row["image_id"]), str(row["label"]), f"{row['wrong']} of {row['models']}", _number(row["p_label"])),
            *(str(row["named_instead"]), _number(row["p_named"]), row["likely_label_error"]),
        )
        for row in rows
    )
    header = (
        *("image", "label", "missed by", "probability of the label"),
        *("likeliest other class", "probability of that class", "doubtful label"),
    )
    note = "Probabilities are means over the runs."
    folded: tuple[Table, ...] = ()
    if len(rows) > SHOWN_IMAGES:
        folded = (Table(f"All {len(rows):,} images", header, body, note=note),)
        note += f" The first {SHOWN_IMAGES} of {len(rows):,}; a page lists all below, and `cxr compare` writes wrong_together.csv."
    return Section(
        title="Wrong together",
        lead=lead,
        remarks=(f"Of {', '.join(runs)}. Images by the number of runs that miss them: {missed}.", told),
        tables=(Table("Images to look at", header, body[:SHOWN_IMAGES], note=note),) if body else (),
        folded=folded,
        phantom=phantom,
    )


def yardsticks_section(rows: Sequence[Mapping[str, str]], *, description: str) -> Section:
    """Tabulate figures of others on the official test folder under those of the runs.

    Args:
        rows: who, weights, accuracy, auroc as texts, the runs first.
        description: what was scored.
    """
    body = tuple((row["who"], row["weights"], row["accuracy"] or NOT_STATED, row["auroc"] or NOT_STATED) for row in rows)
    table = Table("Accuracy and AUROC", ("who", "weights", "accuracy", "AUROC"), body)
    return Section("Figures of others on the official test folder", remarks=(f"{description}.",), tables=(table,))


def provenance_line(row: Mapping[str, Any]) -> str:
    """One sentence: what a run's figures were computed on."""
    return (
        f"This run: {row['data']}; {row['pixels']} pixels; {row['n']:,} images of {row['patients']:,} patients scored; "
        f"epochs {row['epochs']}; seed {row['seeds']}; weights {row['weights']}."
    )


def comparison_text(sections: Sequence[Section], *, width: int | None = None) -> str:
    """Plain text of all sections, at most `width` characters wide where the words allow it; default the terminal's."""
    width = width or shutil.get_terminal_size((WIDTH_WITHOUT_TERMINAL, 24)).columns
    blocks = []
    for section in sections:
        lines = _wrapped(section.lead, width)
        for point in section.points:
            lines += _wrapped(point, width, initial_indent="  - ", subsequent_indent="    ")
        lines += [line for remark in section.remarks for line in _wrapped(remark, width)]
        heading = [f"## {section.heading}", "", *lines, *([""] if lines else [])]
        blocks.append("\n".join([*heading, render_text(section.tables, width=width)]))
    return "\n".join(blocks)


def _wrapped(text: str, width: int, *, initial_indent: str = "", subsequent_indent: str = "") -> list[str]:
    """Break at spaces only, so that commands and file names stay whole."""
    return textwrap.wrap(text, width, break_on_hyphens=False, initial_indent=initial_indent, subsequent_indent=subsequent_indent)


def comparison_markdown(sections: Sequence[Section], *, title: str) -> str:
    """Markdown of all sections."""
    blocks = [f"# {title}\n"]
    for section in sections:
        points = "".join(f"- {point}\n" for point in section.points)
        paragraphs = [text for text in (section.lead and f"**{section.lead}**", points, *section.remarks) if text]
        remarks = "".join(f"{text}\n\n" for text in paragraphs)
        block = f"## {section.heading}\n\n{remarks}{render_markdown(section.tables)}"
        # Names of directories may hold anything; a "<" would begin a tag.
        blocks.append(block.replace("<", "&lt;"))
    return "\n".join(blocks)


def _difference(row: Mapping[str, Any]) -> str:
    if row["difference"] is None:
        return NOT_AVAILABLE
    value = f"{row['difference']:+.3f}"
    return value if row["low"] is None else f"{value} [{row['low']:+.3f}, {row['high']:+.3f}]"


def _p_value(value: float | None) -> str:
    return "<0.001" if value is not None and value < 0.0005 else _number(value)


def _number(value: float | None, *, signed: bool = False, decimals: int = 3) -> str:
    if value is None:
        return NOT_AVAILABLE
    return f"{value:+.{decimals}f}" if signed else f"{value:.{decimals}f}"


def _yes_or_no(value: bool | None) -> str:
    return NOT_AVAILABLE if value is None else ("yes" if value else "no")
