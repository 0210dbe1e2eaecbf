"""Sections as one HTML file that needs nothing else: no script, no font, no network."""

from __future__ import annotations

import base64
import html
import itertools
import math
from collections.abc import Callable, Iterator, Sequence

import jinja2
from markupsafe import Markup

from cxr_keras.reporting.sections import PHANTOM_REMARK, Bar, Chart, Picture, Section
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
    )


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


_LEFT, _WIDTH, _ROW, _BOTTOM = 330, 620, 24, 30
"""Room for labels, for the axis, for a row and for the ticks, in pixels."""


def _chart(chart: Chart, *, together: Sequence[Bar]) -> str:
    """Intervals as lines on an axis that holds those of `together`; bars without a value are left out."""
    bars = [bar for bar in chart.bars if bar.value is not None]
    if not bars:
        return ""
    low, high, step = axis_of([bar for bar in together if bar.value is not None], zero=chart.zero)
    height = _ROW * len(bars) + _BOTTOM

    def x(value: float) -> float:
        return _LEFT + _WIDTH * (min(max(value, low), high) - low) / (high - low)

    marks = []
    for index in range(round((high - low) / step) + 1):
        tick = low + index * step
        strong = chart.zero and abs(tick) < step / 2
        colour = "#555" if strong else "#e4e4e4"
        marks.append(f'<line x1="{x(tick):.1f}" x2="{x(tick):.1f}" y1="0" y2="{height - _BOTTOM}" stroke="{colour}"/>')
        shown = f"{tick:+.2f}" if chart.zero and not strong else f"{tick:.2f}"
        marks.append(f'<text x="{x(tick):.1f}" y="{height - 10}" text-anchor="middle">{shown}</text>')
    for row, bar in enumerate(bars):
        marks += _bar(bar, y=_ROW * (row + 0.5), x=x)
    name = "; ".join(f"{bar.label} {bar.value:.3f}" for bar in bars)
    return (
        f'<figure><div class="wide"><svg width="{_LEFT + _WIDTH + 30}" height="{height}" role="img" aria-label="{_text(name)}">'
        f"{''.join(marks)}</svg></div><figcaption>{_text(chart.caption)}</figcaption></figure>"
    )


def _bar(bar: Bar, *, y: float, x: Callable[[float], float]) -> list[str]:
    label = bar.label if len(bar.label) <= 50 else f"{bar.label[:49]}…"
    marks = [f'<text x="{_LEFT - 12}" y="{y + 4:.1f}" text-anchor="end">{_text(label)}</text>']
    colour = _TONES[bar.tone]
    if bar.low is not None and bar.high is not None:
        marks.append(f'<line x1="{x(bar.low):.1f}" x2="{x(bar.high):.1f}" y1="{y}" y2="{y}" stroke="{colour}" stroke-width="2.5"/>')
    if bar.value is not None:
        marks.append(f'<circle cx="{x(bar.value):.1f}" cy="{y}" r="4.5" fill="{colour}"/>')
    if bar.reference is not None:
        left, right = x(bar.reference[0]), x(bar.reference[1])
        middle, half = (left + right) / 2, max((right - left) / 2, 5)
        points = f"{middle - half:.1f},{y} {middle:.1f},{y - 5} {middle + half:.1f},{y} {middle:.1f},{y + 5}"
        marks.append(f'<polygon points="{points}" fill="{COLOURS[1]}" fill-opacity=".75"/>')
    return marks


def axis_of(bars: Sequence[Bar], *, zero: bool) -> tuple[float, float, float]:
    """Round ends of the axis and the distance of its ticks."""
    values = [0.0] if zero else []
    for bar in bars:
        values += [value for value in (bar.value, bar.low, bar.high, *(bar.reference or ())) if value is not None]
    span = max(max(values) - min(values), 0.02)
    step = next((step for step in (0.005, 0.01, 0.02, 0.05, 0.1, 0.2) if span / step <= 8), 0.25)
    low, high = math.floor(min(values) / step) * step, math.ceil(max(values) / step) * step
    return (low, high, step) if high > low else (low - step, high + step, step)


def _text(text: str) -> str:
    return html.escape(text)
