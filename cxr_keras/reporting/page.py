"""Sections of tables and charts as one HTML file that needs nothing else: no script, no font, no network."""

from __future__ import annotations

import html
import itertools
import math
from collections.abc import Callable, Sequence

from cxr_keras.reporting.comparison import PHANTOM_REMARK, Bar, Chart, Section
from cxr_keras.reporting.style import COLOURS
from cxr_keras.reporting.tables import Table

_MOST_COLUMNS = 9
"""More do not fit the page beside each other."""

_TONES = {"plain": "#555555", "higher": COLOURS[0], "lower": COLOURS[1]}

_STYLE = """
:root { color-scheme: light; }
body { font: 15px/1.5 system-ui, "DejaVu Sans", sans-serif; color: #1a1a1a; background: #fff; margin: 2rem auto; max-width: 1120px;
  padding: 0 1.25rem; }
h1 { font-size: 1.6rem; margin: 0 0 1rem; }
h2 { font-size: 1.2rem; margin: 2.2rem 0 .6rem; padding-top: .9rem; border-top: 1px solid #ccc; }
h3 { font-size: 1rem; margin: 1.2rem 0 .4rem; }
p { margin: .3rem 0; max-width: 95ch; }
p.note, figcaption { color: #555; font-size: .88rem; }
div.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; margin: .4rem 0; }
th, td { text-align: left; vertical-align: top; padding: .28rem .9rem .28rem 0; border-bottom: 1px solid #e4e4e4; }
th { border-bottom: 2px solid #999; font-weight: 600; }
td:first-child { font-weight: 500; }
figure { margin: .8rem 0; }
svg text { font: 12px system-ui, "DejaVu Sans", sans-serif; fill: #1a1a1a; }
section.phantom { background: #fff6e5; border: 2px dashed #c77700; border-radius: 6px; padding: 0 1.1rem 1rem; margin-top: 1.6rem; }
section.phantom h2 { border-top: 0; color: #8a4b00; margin-top: .2rem; }
ul { margin: .2rem 0 .6rem; padding-left: 1.3rem; max-width: 95ch; }
@media print { body { margin: 0; max-width: none; } section { break-inside: avoid-page; } }
"""


def render_page(sections: Sequence[Section], *, title: str) -> str:
    """Make the page; every text is escaped.

    Args:
        sections: in their order.
        title: of the page.

    Returns:
        A whole HTML document.
    """
    contents = "".join(f'<li><a href="#s{number}">{_text(section.heading)}</a></li>' for number, section in enumerate(sections))
    body = "\n".join(_section(section, number) for number, section in enumerate(sections))
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<meta name="viewport" content="width=device-width">\n'
        f"<title>{_text(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<h1>{_text(title)}</h1>\n"
        f"<ul>{contents}</ul>\n{body}\n</body>\n</html>\n"
    )


def _section(section: Section, number: int) -> str:
    parts = [f"<h2>{_text(section.heading)}</h2>"]
    if section.phantom and section.lead != PHANTOM_REMARK:
        parts.append(f"<p><strong>{_text(PHANTOM_REMARK)}</strong></p>")
    if section.lead:
        parts.append(f"<p><strong>{_text(section.lead)}</strong></p>")
    if section.points:
        parts.append("<ul>" + "".join(f"<li>{_text(point)}</li>" for point in section.points) + "</ul>")
    parts += [f"<p>{_text(remark)}</p>" for remark in section.remarks]
    # One axis for all charts of a section, so that they can be read against each other.
    together = [bar for chart in section.charts for bar in chart.bars]
    for table, chart in itertools.zip_longest(section.tables, section.charts):
        parts += [_table(table, above=_chart(chart, together=together) if chart else "")] if table else [_chart(chart, together=together)]
    kind = ' class="phantom"' if section.phantom else ""
    return f'<section id="s{number}"{kind}>\n' + "\n".join(part for part in parts if part) + "\n</section>"


def _table(table: Table, *, above: str = "") -> str:
    if len(table.header) > _MOST_COLUMNS and len(table.rows) < _MOST_COLUMNS:  # few rows of many columns read better downwards
        first, *rest = zip(table.header, *table.rows, strict=True)
    else:
        first, *rest = table.header, *table.rows
    head = "".join(f'<th scope="col">{_text(cell)}</th>' for cell in first)
    body = "\n".join("<tr>" + "".join(f"<td>{_text(cell)}</td>" for cell in row) + "</tr>" for row in rest)
    note = f'\n<p class="note">{_text(table.note)}</p>' if table.note else ""
    return (
        f'<h3>{_text(table.title)}</h3>\n{above}<div class="wide"><table>\n<thead><tr>{head}</tr></thead>\n<tbody>{body}</tbody>\n'
        f"</table></div>{note}"
    )


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
