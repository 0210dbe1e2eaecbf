"""Sections as one HTML file that needs nothing else: no script, no font, no network."""

from __future__ import annotations

import base64
import html
import itertools
import math
import re
from collections.abc import Callable, Iterator, Sequence

import jinja2
from markupsafe import Markup, escape

from cxr_keras.reporting.sections import PHANTOM_REMARK, Bar, Card, Chart, Picture, Section
from cxr_keras.reporting.style import COLOURS
from cxr_keras.reporting.tables import Table

_MOST_COLUMNS = 9
"""More do not fit the page beside each other."""

_TONES = {"plain": "#555555", "higher": COLOURS[0], "lower": COLOURS[1]}


def render_page(sections: Sequence[Section], *, title: str) -> str:
    """Make the page; every text is escaped.

    Args:
        sections: in their order.
        title: of the page.

    Returns:
        A whole HTML document.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("cxr_keras.reporting"), autoescape=True, undefined=jinja2.StrictUndefined, keep_trailing_newline=True
    )
    return environment.get_template("page.html.j2").render(
        title=title,
        sections=sections,
        phantom_remark=PHANTOM_REMARK,
        lines_of=_lines_of,
        base64_of=_base64_of,
        charts_beside_tables=_charts_beside_tables,
        rows_of_cards=_rows_of_cards,
        marked=_marked,
    )


def _marked(text: str) -> Markup:
    """Escape a text, and set what stands between backticks as code."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))


def _rows_of_cards(cards: Sequence[Card]) -> list[list[Card]]:
    return [list(row) for _, row in itertools.groupby(sorted(cards, key=lambda card: card.row), key=lambda card: card.row)]


def _lines_of(table: Table) -> list[tuple[str, ...]]:
    """Header and rows, turned where few rows of many columns read better downwards."""
    lines = [table.header, *table.rows]
    if len(table.header) > _MOST_COLUMNS and len(table.rows) < _MOST_COLUMNS:
        return list(zip(*lines, strict=True))
    return lines


def _base64_of(picture: Picture) -> str:
    return base64.b64encode(picture.content).decode()


def _charts_beside_tables(section: Section) -> Iterator[tuple[Table | None, Markup]]:
    """Each table with the chart of the same place; one axis for all charts of a section, so that they can be read against each other."""
    together = [bar for chart in section.charts for bar in chart.bars]
    for table, chart in itertools.zip_longest(section.tables, section.charts):
        yield table, Markup(_chart(chart, together=together) if chart else "")


_EDGE, _ROW, _BOTTOM = 6, 40, 30
"""Empty at each side of the axis, per cent of the chart's width; a row with its label above it, and the ticks, in pixels."""


def _chart(chart: Chart, *, together: Sequence[Bar]) -> str:
    """Intervals as lines on an axis that holds those of `together`; bars without a value are left out.

    Places along the axis are per cent of the width, so that the chart fits a phone and paper with letters of the same size.
    """
    bars = [bar for bar in chart.bars if bar.value is not None]
    if not bars:
        return ""
    low, high, step = axis_of([bar for bar in together if bar.value is not None], zero=chart.zero)
    height = _ROW * len(bars) + _BOTTOM

    def x(value: float) -> float:
        return _EDGE + (100 - 2 * _EDGE) * (min(max(value, low), high) - low) / (high - low)

    marks = []
    for index in range(round((high - low) / step) + 1):
        tick = low + index * step
        strong = chart.zero and abs(tick) < step / 2
        colour = "#555" if strong else "#e4e4e4"
        marks.append(f'<line x1="{x(tick):.2f}%" x2="{x(tick):.2f}%" y1="0" y2="{height - _BOTTOM}" stroke="{colour}"/>')
        shown = f"{tick:+.2f}" if chart.zero and not strong else f"{tick:.2f}"
        marks.append(f'<text x="{x(tick):.2f}%" y="{height - 10}" text-anchor="middle">{shown}</text>')
    for row, bar in enumerate(bars):
        marks += _bar(bar, top=_ROW * row, x=x)
    name = "; ".join(f"{bar.label} {bar.value:.3f}" for bar in bars)
    return (
        f'<figure class="chart"><svg width="100%" height="{height}" role="img" aria-label="{_text(name)}">{"".join(marks)}</svg>'
        f"<figcaption>{_text(chart.caption)}</figcaption></figure>"
    )


def _bar(bar: Bar, *, top: int, x: Callable[[float], float]) -> list[str]:
    """The label, and under it line, point and mark."""
    label = bar.label if len(bar.label) <= 50 else f"{bar.label[:49]}…"
    y = top + 29
    marks = [f'<text class="label" x="0" y="{top + 15}">{_text(label)}</text>']
    colour = _TONES[bar.tone]
    if bar.low is not None and bar.high is not None:
        marks.append(f'<line x1="{x(bar.low):.2f}%" x2="{x(bar.high):.2f}%" y1="{y}" y2="{y}" stroke="{colour}" stroke-width="2.5"/>')
    if bar.value is not None:
        marks.append(f'<circle cx="{x(bar.value):.2f}%" cy="{y}" r="4.5" fill="{colour}"/>')
    if bar.reference is not None:
        left, right = x(bar.reference[0]), x(bar.reference[1])
        marks.append(f'<line x1="{left:.2f}%" x2="{right:.2f}%" y1="{y}" y2="{y}" stroke="{COLOURS[1]}" stroke-width="4" opacity=".75"/>')
        diamond = f'<polygon points="-5,0 0,-5 5,0 0,5" fill="{COLOURS[1]}" fill-opacity=".75"/>'
        marks.append(f'<svg class="mark" x="{(left + right) / 2:.2f}%" y="{y}">{diamond}</svg>')
    return marks


def axis_of(bars: Sequence[Bar], *, zero: bool) -> tuple[float, float, float]:
    """Round ends of the axis and the distance of its ticks."""
    values = [0.0] if zero else []
    for bar in bars:
        values += [value for value in (bar.value, bar.low, bar.high, *(bar.reference or ())) if value is not None]
    span = max(max(values) - min(values), 0.02)
    step = next((step for step in (0.005, 0.01, 0.02, 0.05, 0.1, 0.2) if span / step <= 6), 0.25)
    low, high = math.floor(min(values) / step) * step, math.ceil(max(values) / step) * step
    return (low, high, step) if high > low else (low - step, high + step, step)


def _text(text: str) -> str:
    return html.escape(text)
