"""What a reader takes from the header of a radiograph: who and what, and nothing more."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

from cxr_keras.pixels.dicom import require_pydicom

OLDEST = 90
"""Years; whoever is older is given as this old, as so few people are."""

_KEYWORDS = (
    "SOPInstanceUID",
    "PatientID",
    "PatientSex",
    "PatientAge",
    "PatientBirthDate",
    "StudyDate",
    "Modality",
    "ViewPosition",
)
_AGE = re.compile(r"(\d{1,3})([DWMY])", re.IGNORECASE)
_DATE = re.compile(r"(\d{4})\.?(\d{2})\.?(\d{2})")
_WORD = re.compile(r"[A-Z0-9]{1,16}")


class RadiographHeader(NamedTuple):
    """Parts of a header as plain strings, "" where the file does not say.

    `uid` and `patient` identify a person and are for hashing only. `view` and `modality` are one word of capitals, `sex` is F, M or O,
    `age` is in whole years, at most 90.
    """

    uid: str
    patient: str
    view: str
    modality: str
    sex: str
    age: str


def read_header_of_radiograph(path: Path) -> RadiographHeader:
    """Read the header of one DICOM file; its pixels and all other elements are left alone.

    Raises:
        ValueError: the header cannot be read, or has no SOPInstanceUID; the message quotes nothing of it.
    """
    pydicom = require_pydicom()
    try:
        # Values that break a rule of the standard are taken as they are; pydicom would print them in a warning.
        with pydicom.config.disable_value_validation():
            dataset = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=list(_KEYWORDS))
            values = {keyword: _text(dataset.get(keyword)) for keyword in _KEYWORDS}
    except Exception as error:
        raise ValueError(f"its header cannot be read ({type(error).__name__})") from None
    if not values["SOPInstanceUID"]:
        raise ValueError("its header has no SOPInstanceUID")
    sex = values["PatientSex"].upper()
    return RadiographHeader(
        uid=values["SOPInstanceUID"],
        patient=values["PatientID"],
        view=_word(values["ViewPosition"]),
        modality=_word(values["Modality"]),
        sex=sex if sex in ("F", "M", "O") else "",
        age=_age(values["PatientAge"], born=values["PatientBirthDate"], taken=values["StudyDate"]),
    )


def _text(value: Any) -> str:
    return "" if value is None else str(value).strip(" \x00")


def _word(text: str) -> str:
    """Give the first word of a code (`AP SUPINE` is AP), and nothing of a field that holds something else than a code."""
    word = text.upper().partition(" ")[0]
    return word if _WORD.fullmatch(word) else ""


def _age(stated: str, *, born: str, taken: str) -> str:
    """Give the age in whole years, from the stated one or from the two dates; "" if neither can be read."""
    if match := _AGE.fullmatch(stated):
        number, unit = int(match[1]), match[2].upper()
        years = number if unit == "Y" else number // {"M": 12, "W": 52, "D": 365}[unit]
        return str(min(years, OLDEST))
    days = [_date(text) for text in (born, taken)]
    if days[0] is None or days[1] is None or days[1] < days[0]:
        return ""
    years = days[1].year - days[0].year - ((days[1].month, days[1].day) < (days[0].month, days[0].day))
    return str(min(years, OLDEST))


def _date(text: str) -> date | None:
    match = _DATE.fullmatch(text)
    try:
        return date(int(match[1]), int(match[2]), int(match[3])) if match else None
    except ValueError:
        return None
