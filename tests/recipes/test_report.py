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

from cxr_keras.cli import app as application
from cxr_keras.recipes.over_seeds import over_seeds
from cxr_keras.recipes.report import MOST_BYTES, render_within, report
from cxr_keras.recipes.report_mistakes import worst_of_each_class
from cxr_keras.recipes.report_sections import copies_points, data_points, stored_figures
from cxr_keras.recipes.report_summary import cards_of, point_sentence, told_by_source
from cxr_keras.reporting.sections import Picture, Section
from cxr_keras.runs.files import read_json, write_json


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
    several = Page(tmp_path / "report.html")
    assert "Differences on the same images (PHANTOM)" in several.headings and several.headings[-2:] == ["Limits", "Origin"]
    assert "ROC of each run" in several.images
    assert {"Resolved config of one (config.yaml)", "Resolved config of two (config.yaml)"} <= set(several.texts)

    (tmp_path / "pages").mkdir()
    assert report([reported], out=tmp_path / "pages", mistakes=0) == tmp_path / "pages" / "report.html"
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="file is a file and no folder"):
        report([tmp_path / "absent"], out=tmp_path / "file" / "page.html")

    _read_a_folder_of_seeds(reported, tmp_path / "seeds")

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


def test_the_backend_starts_quietly_also_where_no_maps_are_drawn(cxr, monkeypatch):
    started = []
    monkeypatch.setattr(application, "start_backend", lambda: started.append(True))
    assert cxr("report", "absent", "--mistakes", "0", settings=())[0] == 2 and started == [True]


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


def _read_a_folder_of_seeds(run, folder):
    """One recipe with two seeds is one thing, and its seeds are no rivals."""
    for seed in (0, 1):
        shutil.copytree(run, folder / f"seed-{seed}")
    scores = read_json(run / "metrics.json")["scores"]
    write_json(folder / "seeds.json", {"seeds": {"0": scores, "1": scores}, "over_seeds": over_seeds([scores] * 2), "ensemble": scores})
    assert report([folder]) == folder / "report.html"
    page = Page(folder / "report.html")
    assert page.headings[:3] == ["Summary (PHANTOM)", "PHANTOM: drawn images, no X-rays", "seeds over seeds (PHANTOM)"]
    assert page.headings[-1] == "Origin"
    assert not any("Differences" in heading for heading in page.headings)
    assert {"mean ± sd of 2 seeds", "ensemble"} <= set(page.texts) and "ROC of each run" in page.images
    assert "mini_vgg: report of 2 seeds" in page.texts
    shutil.rmtree(folder / "seed-1")
    with pytest.raises(ValueError, match="sums up seed-0, seed-1, and the folder holds seed-0"):
        report([folder])


def entry(value):
    return {"value": value, "low": value - 0.1, "high": value + 0.1}


def test_every_card_says_at_which_threshold_it_is():
    names = ("accuracy", "balanced_accuracy", "sensitivity", "specificity")
    guaranteed = {"name": "guaranteed", "thresholds": {"0": 0.1002}, "scores": {name: entry(0.6) for name in names}}
    half = {"name": "0.5", "thresholds": {"0": 0.5}, "scores": {name: entry(0.8) for name in names}}
    scores = {"classes": ["normal", "pneumonia"], "operating_points": [half, guaranteed]}
    scores["scores"] = {name: entry(0.8) for name in ("auroc", "auprc", "accuracy", "balanced_accuracy", "macro_f1")}
    scores["per_class"] = {"pneumonia": {"sensitivity": entry(0.9), "specificity": entry(0.7)}}
    cards = cards_of(scores)
    assert all(any(at in card.label for at in ("all thresholds", "at 0.5", "at 0.100 (guaranteed)")) for card in cards)
    shown = {card.label: (card.value, card.row) for card in cards}
    assert shown["sensitivity at 0.5"] == ("0.900", 1) and shown["specificity at 0.5"] == ("0.700", 1)
    assert shown["sensitivity at 0.100 (guaranteed)"] == ("0.600", 2)
    several = {"classes": ["a", "b", "c"], "scores": {name: entry(0.8) for name in ("macro_auroc", *names[:2], "macro_f1")}}
    assert [card.label for card in cards_of(several)][:2] == ["macro AUROC, all thresholds", "accuracy, most probable class"]


def test_a_promise_stands_in_one_sentence_with_its_conditions():
    point = {"name": "guaranteed", "criterion": "sensitivity of 0.95 or more", "chosen_on": "the validation part", "thresholds": {"0": 0.1}}
    point["promise"] = {"assumes": "patients are drawn independently"}
    sentence = point_sentence(point, official=False)
    assert sentence == (
        "The threshold 0.100 (guaranteed): sensitivity of 0.95 or more, chosen on the validation part, on these terms: patients are drawn "
        "independently."
    )
    assert "like those of the training folder" in point_sentence(point, official=True)
    plain = {key: value for key, value in point.items() if key != "promise"} | {"thresholds": {"0": 0.1, "1": 0.12}}
    assert point_sentence(plain, official=True).endswith("chosen on the validation part.") and "0.100 to 0.120" in point_sentence(
        plain, official=True
    )


def test_the_worst_mistakes_are_of_every_class_in_equal_share():
    rows = [(f"n{number}", "normal", 0.99 - number / 100) for number in range(10)] + [("p0", "pneumonia", 0.6), ("p1", "pneumonia", 0.7)]
    wrong = pd.DataFrame(rows, columns=["image_id", "label", "sure"])
    assert list(worst_of_each_class(wrong, 4)["image_id"]) == ["n0", "n1", "p1", "p0"]
    assert list(worst_of_each_class(wrong, 6)["image_id"]) == ["n0", "n1", "n2", "n3", "p1", "p0"]
    assert worst_of_each_class(wrong, 0).empty


def test_what_is_zero_is_left_out_and_one_is_singular():
    assert data_points(files=5856, patients=1, bad=0) == ["5,856 files read and used, of 1 patient."]
    assert data_points(files=9, patients=2, bad=1) == ["10 files read, 1 bad, 9 used, of 2 patients."]
    assert copies_points({"files": 0, "groups": 0, "across_patients": 0}) == []
    assert copies_points({"files": 2, "groups": 1, "across_patients": 0}) == ["2 files are identical to others, in 1 group."]
    assert "; 1 of these holds images" in copies_points({"files": 4, "groups": 2, "across_patients": 1})[0]


def test_figures_with_a_panel_a_class_are_wide_where_there_are_several(tmp_path):
    for name in ("roc", "learning_curves"):
        (tmp_path / f"{name}.png").write_bytes(b"x")
    assert [picture.small for picture in stored_figures(tmp_path, classes=2)] == [True, False]
    assert [picture.small for picture in stored_figures(tmp_path, classes=4)] == [False, False]
