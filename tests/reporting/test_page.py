"""The page of a comparison: whole, escaped, and in need of nothing else."""

from __future__ import annotations

import base64
import re
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cxr_keras.reporting.page import axis_of, render_page
from cxr_keras.reporting.sections import PHANTOM_REMARK, Bar, Card, Chart, Listing, Picture, Section
from cxr_keras.reporting.tables import Table


class Balance(HTMLParser):
    """Checks that every element is closed in its order and that nothing is fetched from elsewhere."""

    EMPTY = ("meta", "line", "circle", "polygon", "img")

    def __init__(self):
        super().__init__()
        self.open, self.text, self.elements = [], [], []

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        assert not {"style", "onclick"} & set(dict(attributes))
        assert dict(attributes).get("src", "data:").startswith("data:")
        assert dict(attributes).get("href", "#").startswith("#")
        if tag not in self.EMPTY:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def parsed(sections) -> Balance:
    page = Balance()
    page.feed(render_page(sections, title="A & B"))
    page.close()
    assert page.open == []
    return page


def test_the_page_is_whole_escaped_and_needs_nothing_else():
    name = '<b>"x" & y</b>'
    table, chart = Table(name, (name, "b"), ((name, name), (name, name)), note=name), Chart(name, (Bar(name, 0.5, 0.4, 0.6),))
    sections = [
        Section(name, lead=name, points=(name,), remarks=(name,), tables=(table,), charts=(chart,)),
        Section(name, lead="", tables=(table,), phantom=True),
    ]
    page = parsed(sections)
    tags = {tag for tag, _ in page.elements}
    assert not tags & {"b", "details"} and not tags & {"script", "link", "img", "iframe"}
    assert name in "".join(page.text)
    assert [attributes.get("class") for tag, attributes in page.elements if tag == "section"] == [None, "phantom"]
    assert PHANTOM_REMARK in page.text


def test_cards_pictures_and_listings_lie_in_the_page():
    picture = Picture("X-ray <1>", b"not really a picture", "image/png", caption="a & b", small=True)
    section = Section("s", cards=(Card("accuracy", ".9", "[.8, 1]"),), pictures=(picture, picture), listings=(Listing("config", "a: <b>"),))
    page = parsed([section])
    images = [attributes for tag, attributes in page.elements if tag == "img"]
    assert [image["alt"] for image in images] == ["X-ray <1>"] * 2
    assert base64.b64decode(images[0]["src"].removeprefix("data:image/png;base64,")) == picture.content
    assert {"accuracy", ".9", "[.8, 1]", "a & b", "config", "a: <b>"} <= set(page.text)


def test_a_chart_draws_every_interval_at_its_place():
    bars = (Bar("low", 0.2, 0.1, 0.3, reference=(0.25, 0.25)), Bar("high", 0.8, 0.7, 0.9), Bar("none", None, None, None))
    page = parsed([Section("s", charts=(Chart("caption", bars),))])
    circles = [float(attributes["cx"].rstrip("%")) for tag, attributes in page.elements if tag == "circle"]
    lines = [attributes for tag, attributes in page.elements if tag == "line" and attributes.get("stroke-width") == "2.5"]
    assert len(circles) == len(lines) == 2
    # From 0.2 to 0.8 is six times as far as from the point 0.2 to the end 0.3.
    assert circles[1] - circles[0] == pytest.approx(6 * (float(lines[0]["x2"].rstrip("%")) - circles[0]), abs=0.2)
    assert len([1 for tag, _ in page.elements if tag == "polygon"]) == 1


def test_a_chart_is_as_wide_as_its_place_and_holds_every_mark():
    bars = (Bar("a", 0.2, 0.1, 0.3, reference=(0.245, 0.255)), Bar("b", 0.8, 0.7, 0.9, reference=(0.9, 0.9)))
    page = parsed([Section("s", charts=(Chart("caption", bars),))])
    outer, *marks = [attributes for tag, attributes in page.elements if tag == "svg"]
    assert outer["width"] == "100%" and len(marks) == 2
    places = [attributes[name] for _, attributes in page.elements for name in ("x1", "x2", "cx") if name in attributes]
    assert all(place.endswith("%") and 0 <= float(place.rstrip("%")) <= 100 for place in places)


def test_cards_stand_in_their_rows_and_folded_tables_behind_their_title():
    cards = (Card("second", "2", row=1), Card("first", "1"))
    section = Section("s", cards=cards, folded=(Table("All 30 images", ("image",), (("i1",),)),))
    page = parsed([section])
    assert [attributes.get("class") for tag, attributes in page.elements if tag == "div"].count("cards") == 2
    text = "".join(page.text)
    assert text.index("first") < text.index("second") and text.count("All 30 images") == 1
    assert [tag for tag, _ in page.elements].count("details") == 1


def test_what_stands_between_backticks_is_code_and_escaped():
    page = parsed([Section("s", points=("`cxr evaluate <b>` tells.",), remarks=("One ` alone.",))])
    assert [tag for tag, _ in page.elements].count("code") == 1
    assert {"cxr evaluate <b>", " tells.", "One ` alone."} <= set(page.text)


def test_few_rows_of_many_columns_are_turned():
    table = Table("wide", tuple(f"column {number}" for number in range(12)), (tuple("abcdefghijkl"), tuple("ABCDEFGHIJKL")))
    heads = re.findall(r"<th scope=\"col\">([^<]*)</th>", render_page([Section("s", tables=(table,))], title="t"))
    assert heads == ["column 0", "a", "A"]


@given(st.lists(st.tuples(st.floats(-1, 1), st.floats(0, 0.5)), min_size=1, max_size=8), st.booleans())
def test_the_axis_holds_every_value_with_few_ticks(points, zero):
    bars = [Bar("b", value, value - half, value + half) for value, half in points]
    low, high, step = axis_of(bars, zero=zero)
    assert low - 1e-9 <= min(bar.low for bar in bars) and max(bar.high for bar in bars) <= high + 1e-9
    assert not zero or low <= 0 <= high
    assert 1 <= round((high - low) / step) <= 14
