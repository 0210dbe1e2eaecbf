"""What a page is made of: sections of text, figures of a run, tables, charts and pictures."""

from __future__ import annotations

from dataclasses import dataclass

from cxr_keras.reporting.tables import Table

PHANTOM_TITLE = "PHANTOM: drawn images, no X-rays"
PHANTOM_REMARK = "These figures show that the program works, and nothing about medicine."


@dataclass(frozen=True)
class Bar:
    """One interval of a chart.

    Attributes:
        label: what it is of.
        value: the point; `None` where undefined.
        low: low end; `None` without an interval.
        high: high end.
        reference: (low, high) of what it is compared with, `None` for nothing.
        tone: "plain", "higher" or "lower".
    """

    label: str
    value: float | None
    low: float | None
    high: float | None
    reference: tuple[float, float] | None = None
    tone: str = "plain"


@dataclass(frozen=True)
class Chart:
    """Intervals under each other on one axis.

    Attributes:
        caption: what point, line and mark are.
        bars: from top to bottom.
        zero: whether 0 is a line of its own (differences).
    """

    caption: str
    bars: tuple[Bar, ...]
    zero: bool = False


@dataclass(frozen=True)
class Card:
    """One figure to be seen first.

    Attributes:
        label: what it is.
        value: as it is shown, e.g. ".941".
        note: under it, e.g. its interval.
        row: cards of one row stand beside each other; rows go by this number.
    """

    label: str
    value: str
    note: str = ""
    row: int = 0


@dataclass(frozen=True)
class Picture:
    """One picture that a page carries within itself.

    Attributes:
        title: what it shows, also for readers who do not see it.
        content: the file.
        media_type: "image/png", "image/jpeg" or "image/svg+xml".
        caption: under it, or "".
        small: whether several stand beside each other.
    """

    title: str
    content: bytes
    media_type: str
    caption: str = ""
    small: bool = False


@dataclass(frozen=True)
class Listing:
    """Text in lines, such as a config, that is opened when wanted.

    Attributes:
        title: what it is.
        text: shown as it is.
    """

    title: str
    text: str


@dataclass(frozen=True)
class Section:
    """One part of a page or text.

    Attributes:
        title: heading.
        lead: the first and weightiest sentence, or "".
        cards: figures to be seen first; on the page only.
        points: a list under them.
        remarks: paragraphs before the tables.
        tables: the tables.
        charts: drawn on the page only, each with the table of the same place.
        pictures: on the page only, after the tables.
        folded: further tables, opened when wanted; on the page only, after the pictures.
        listings: on the page only, at the end.
        phantom: whether the figures are of drawn images.
    """

    title: str
    lead: str = ""
    cards: tuple[Card, ...] = ()
    points: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    tables: tuple[Table, ...] = ()
    charts: tuple[Chart, ...] = ()
    pictures: tuple[Picture, ...] = ()
    folded: tuple[Table, ...] = ()
    listings: tuple[Listing, ...] = ()
    phantom: bool = False

    @property
    def heading(self) -> str:
        """The title, with the word that no figure of drawn images stands without."""
        return f"{self.title} (PHANTOM)" if self.phantom and "PHANTOM" not in self.title else self.title
