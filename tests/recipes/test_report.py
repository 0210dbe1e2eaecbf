"""The report of a run and of several: whole, self-contained, and right in a browser."""

from __future__ import annotations

import re
import shutil
import subprocess
from html.parser import HTMLParser

import cv2
import numpy as np
import pandas as pd
import pytest

from cxr_keras.recipes.report import MOST_BYTES, render_within, report
from cxr_keras.recipes.report_sections import told_by_source
from cxr_keras.reporting.sections import Picture, Section


class Page(HTMLParser):
    """Collects texts and headings, and refuses whatever lies outside the file."""

    def __init__(self, path):
        super().__init__()
        self.texts, self.images, self.headings, self.tag = [], [], [], ""
        self.feed(path.read_text())

    def handle_starttag(self, tag, attributes):
        assert tag not in ("script", "link", "iframe")
        own = dict(attributes)
        assert own.get("src", "data:").startswith("data:") and own.get("href", "#").startswith("#")
        self.tag = tag
        if tag == "img":
            self.images.append(own["alt"])

    def handle_data(self, data):
        self.texts.append(data)
        if self.tag == "h2" and data.strip():
            self.headings.append(data)


@pytest.fixture
def reported(cxr, tmp_path):
    settings = ("data.image_size=[16, 16]", "data.batch_size=8", "training.phases.all.epochs=1", "evaluation.bootstrap_draws=100")
    code, _, errors = cxr("train", "mini_vgg", "evaluation.mistakes_shown=2", "--run", "one", settings=settings)
    assert code == 0, errors
    return tmp_path / "one"


def test_a_run_ends_with_a_report_and_several_make_one(cxr, tmp_path, reported):
    page = Page(reported / "report.html")
    assert page.headings[0] == "PHANTOM: drawn images, no X-rays" and page.headings[-1] == "Origin"
    for heading in ("Data (PHANTOM)", "Figures (PHANTOM)", "Scores (PHANTOM)", "Worst mistakes (PHANTOM)", "Limits"):
        assert heading in page.headings
    assert any("beside laban/mini_vgg" in heading for heading in page.headings)
    assert {"ROC", "Confusion matrix", "Learning curves"} <= set(page.images)
    maps = [title for title in page.images if ": label " in title]
    wrong = int(re.search(r"(\d+) of \d+ images are called wrongly", "".join(page.texts)).group(1))
    assert len(maps) == min(2, wrong)
    assert (reported / "report.html").stat().st_size < MOST_BYTES

    assert report([reported], out=tmp_path / "plain.html", mistakes=0) == tmp_path / "plain.html"
    assert not [title for title in Page(tmp_path / "plain.html").images if ": label " in title]

    shutil.copytree(reported, tmp_path / "two")
    with pytest.raises(ValueError, match="2 were given; leave --mistakes out"):
        report([reported, tmp_path / "two"], mistakes=3)
    report([reported, tmp_path / "two"])
    headings = Page(tmp_path / "report.html").headings
    assert "Differences on the same images (PHANTOM)" in headings

    code, _, errors = cxr("report", "absent", settings=())
    assert code == 2 and "There is no absent" in errors and "Traceback" not in errors

    _read_in_a_browser(reported / "report.html", tmp_path)


def _read_in_a_browser(page, folder):
    """No console message, no request, and nothing wider than the window."""
    browser = next((found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None)
    if browser is None:
        pytest.skip("no Chromium found to open the page in")
    measured = folder / "measured.html"
    measured.write_text(
        page.read_text().replace("</body>", "<script>document.title = document.documentElement.scrollWidth</script></body>")
    )
    common = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", f"--user-data-dir={folder / 'browser'}"]
    shot = folder / "page.png"
    drawn = subprocess.run(
        [*common, "--window-size=1200,1600", f"--screenshot={shot}", page.as_uri()], capture_output=True, text=True, timeout=120
    )
    assert "CONSOLE" not in drawn.stderr, drawn.stderr
    assert len(np.unique(cv2.imread(str(shot)).reshape(-1, 3), axis=0)) > 50
    narrow = subprocess.run(
        [*common, "--window-size=500,900", "--dump-dom", measured.as_uri()], capture_output=True, text=True, timeout=120
    )
    assert int(re.search(r"<title>(\d+)</title>", narrow.stdout).group(1)) <= 500


def test_pictures_that_make_a_page_too_large_give_way_and_are_counted():
    picture = Picture("p", b"x" * 300_000, "image/png")
    sections = [Section("first", pictures=(picture,)), Section("second", pictures=(picture, picture))]
    page = render_within(sections, title="t", most=900_000)
    assert page.count("<img") == 2 and "Left out for size: 1 pictures." in page
    assert render_within(sections, title="t").count("<img") == 3 and "Left out" not in render_within(sections, title="t")


def test_classes_of_one_source_each_are_told_by_it():
    rows = [("normal", "kermany"), ("viral", "kermany"), ("viral", "nih"), ("covid19", "ieee8023"), ("bacterial", "kermany")]
    manifest = pd.DataFrame(rows, columns=["label", "source"])
    assert told_by_source(manifest) == {"kermany": ["bacterial", "normal"], "ieee8023": ["covid19"]}
    assert told_by_source(manifest[manifest["source"] == "kermany"]) == {}
