"""The public collections that the readers know: where they are, under which terms, and what to do with them."""

from __future__ import annotations

import difflib
from dataclasses import dataclass

_COVID_COMMIT = "6a4242344473ccb5ed0d2148d8c7bfb1691e4ed8"
"""A commit with the complete `metadata.csv` (patients 1 to 481); later files of the repository are not images."""


@dataclass(frozen=True)
class Collection:
    """A collection of radiographs.

    Attributes:
        name: what the user types.
        title: its authors' name for it, with the year.
        page: where people read about it and download it by hand.
        terms: its licence.
        build: the options of `cxr data build` behind `--out`, with {folder} for where it lies.
        url: the archive, or "" where it cannot be fetched without an account.
        archive: the name of the archive's file.
        size: bytes of the archive, about; more than twice as many are refused.
        sha256: of the archive, in hexadecimal, or "" where its publisher states none that can be relied on.
        by_hand: how to get it, for collections that need an account.
    """

    name: str
    title: str
    page: str
    terms: str
    build: str
    url: str = ""
    archive: str = ""
    size: int = 0
    sha256: str = ""
    by_hand: str = ""


COLLECTIONS = (
    Collection(
        name="kermany",
        title="Chest X-Ray Images (Pneumonia): Kermany, Zhang, Goldbaum, 2018, version 2",
        page="https://data.mendeley.com/datasets/rscbjbr9sj/2",
        terms="CC BY 4.0: free to use, also commercially, if the authors are named (doi 10.17632/rscbjbr9sj.2)",
        build="--source kermany:{folder} --labels three",
        url="https://data.mendeley.com/public-files/datasets/rscbjbr9sj/files/f12eaf6d-6023-432f-acc9-80c9d7393433/file_downloaded",
        archive="ChestXRay2017.zip",
        size=1_240_000_000,
    ),
    Collection(
        name="covid-chestxray",
        title="COVID-19 Image Data Collection: Cohen et al., 2020",
        page="https://github.com/ieee8023/covid-chestxray-dataset",
        terms=(
            "each image has its own licence, in the column license (Apache 2.0, CC BY 4.0, CC BY-NC-SA 4.0, or unknown); metadata.csv is "
            "CC BY-NC-SA 4.0, not for commercial use"
        ),
        build="--source ieee8023:{folder} --labels as_given",
        url=f"https://github.com/ieee8023/covid-chestxray-dataset/archive/{_COVID_COMMIT}.zip",
        archive=f"covid-chestxray-dataset-{_COVID_COMMIT[:8]}.zip",
        size=700_000_000,
    ),
    Collection(
        name="radiography",
        title="COVID-19 Radiography Database: Chowdhury et al., 2020, Rahman et al., 2021",
        page="https://www.kaggle.com/datasets/tawsifurrahman/covid19-radiography-database",
        terms="the images come from several collections with terms of their own; they are listed on its page",
        build="--source radiography:{folder} --labels as_given --patients one_per_image",
        by_hand=(
            "Kaggle gives it to those who have signed in. Download the archive on the page with a browser, or with Kaggle's own program:\n"
            "  kaggle datasets download tawsifurrahman/covid19-radiography-database --unzip -p {folder}"
        ),
    ),
)


def get_collection(name: str) -> Collection:
    """Give a collection by its name.

    Raises:
        ValueError: unknown name; the message lists all and names the nearest.
    """
    names = [collection.name for collection in COLLECTIONS]
    for collection in COLLECTIONS:
        if collection.name == name:
            return collection
    near = difflib.get_close_matches(name, names, n=1)
    hint = f" Did you mean {near[0]}?" if near else ""
    raise ValueError(f"unknown collection {name!r}; expected one of {', '.join(names)}.{hint}")
