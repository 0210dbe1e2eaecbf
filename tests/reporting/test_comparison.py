"""Sections of a comparison as text and Markdown."""

from __future__ import annotations

from cxr_keras.reporting.comparison import (
    comparison_markdown,
    comparison_text,
    paired_section,
    paper_section,
    wrong_together_section,
    yardsticks_section,
)
from cxr_keras.reporting.sections import Section

PROVENANCE = {
    "data": "kermany 5,856",
    "pixels": "64x64",
    "n": 1464,
    "patients": 1025,
    "epochs": "all 30",
    "seeds": "0",
    "weights": "random",
}


def paper_row(score="accuracy", **changes):
    row = {"run": "mine", "system": "laban/mini_vgg", "evaluation": "held_out_quarter", "score": score, "class": "", "phantom": False}
    row |= {"ours": 0.951, "pooled": 0.958, "low": 0.947, "high": 0.969, "difference": 0.008, "inside": True}
    return row | {"paper_shown": "0.95", "paper_low": 0.945, "paper_high": 0.955} | PROVENANCE | changes


def paired_row(score="accuracy", **changes):
    row = {"run": "b", "against": "a", "score": score, "ours": 0.9, "theirs": 0.95, "difference": -0.05, "low": -0.08, "high": -0.02}
    return row | {"p": 0.001, "p_holm": 0.004, "one_image": 0.00068, "verdict": "lower", "reasons": ""} | PROVENANCE | changes


def test_a_run_beside_a_paper():
    section = paper_section([paper_row()], reasons=["other pixels", "split by patient"], remarks=["A citation."], mean_of_folds=False)
    assert section.heading == "mine beside laban/mini_vgg (held out quarter)"
    assert (section.lead, section.points) == ("Comparable: no.", ("other pixels", "split by patient"))
    assert section.tables[0].rows == (("accuracy", "0.958 [0.947, 0.969]", "0.95", "+0.008", "yes"),)
    assert section.remarks[0] == (
        "This run: kermany 5,856; 64x64 pixels; 1,464 images of 1,025 patients scored; epochs all 30; seed 0; weights random."
    )
    alike = paper_section([paper_row()], reasons=[], remarks=[], mean_of_folds=False)
    assert alike.lead == "Comparable: yes, by all that the paper states."


def test_means_over_folds_have_a_column_of_their_own():
    rows = [
        paper_row(),
        paper_row("f1", **{"class": "viral", "pooled": None, "low": None, "high": None, "inside": None, "difference": None}),
    ]
    section = paper_section(rows, reasons=[], remarks=[], mean_of_folds=True)
    assert section.tables[0].rows[0][:3] == ("accuracy", "0.951", "0.958 [0.947, 0.969]")
    assert section.tables[0].rows[1] == ("F1, viral", "0.951", "n/a", "0.95", "n/a", "n/a")


def test_differences_have_a_table_a_pair_and_ties_say_why():
    rows = [paired_row(), paired_row("macro_f1", run="c", verdict="tie", reasons="interval holds 0")]
    section = paired_section(rows, unpaired=["d and a are not paired."], definitions={"p": "a number"}, phantom=True)
    assert [table.title for table in section.tables] == ["b against a", "c against a"]
    assert section.tables[0].rows == (("accuracy", "0.900", "0.950", "-0.050 [-0.080, -0.020]", "0.001", "0.004", "lower"),)
    assert section.tables[1].rows[0][-1] == "tie: interval holds 0" and section.tables[0].note == "One image is worth: accuracy 0.0007."
    assert [[bar.tone for bar in chart.bars] for chart in section.charts] == [["lower"], ["plain"]]
    assert section.heading == "Differences on the same images (PHANTOM)" and section.lead == "d and a are not paired."
    assert paired_section([], unpaired=["no."], definitions={"p": "a number"}, phantom=False).points == ()


def test_the_least_p_values_are_not_nought():
    section = paired_section([paired_row(p=0.0003, p_holm=0.0012)], unpaired=[], definitions={}, phantom=False)
    assert section.tables[0].rows[0][4:6] == ("<0.001", "0.001")


def test_undefined_differences_are_not_numbers():
    row = paired_row(difference=None, low=None, high=None, p=None, p_holm=None, verdict="undefined", reasons="no score or one patient")
    table = paired_section([row], unpaired=[], definitions={}, phantom=False).tables[0]
    assert table.rows[0][3:] == ("n/a", "n/a", "n/a", "undefined: no score or one patient")


def test_text_is_as_wide_as_asked_and_begins_with_the_heading():
    rows = [paper_row(score) for score in ("accuracy", "macro_f1")]
    section = paper_section(rows, reasons=["a long reason " * 12], remarks=["A citation " * 20], mean_of_folds=True)
    lines = comparison_text([section], width=90).splitlines()
    assert lines[0] == "## mine beside laban/mini_vgg (held out quarter)" and "Comparable: no." in lines
    assert max(map(len, lines)) <= 90
    assert any(line.startswith("  - a long reason") for line in lines)


def test_markdown_holds_headings_points_and_tables():
    text = comparison_markdown(
        [paper_section([paper_row()], reasons=["a < b"], remarks=["Cited."], mean_of_folds=False), Section("Last", remarks=("Nothing.",))],
        title="All",
    )
    assert text.startswith("# All\n") and "**Comparable: no.**\n\n- a &lt; b\n" in text and "\n## Last\n\nNothing.\n" in text
    assert "| accuracy | 0.958 [0.947, 0.969] | 0.95 | +0.008 | yes |" in text


def test_all_images_that_most_runs_miss_lie_in_the_page():
    row = {"label": "normal", "models": 2, "wrong": 2, "p_label": 0.1, "named_instead": "pneumonia", "p_named": 0.9}
    rows = [row | {"image_id": f"i{number}", "likely_label_error": "no"} for number in range(30)]
    section = wrong_together_section(rows, runs=["a", "b"], images_by_wrong=[70, 0, 30], why_no_label_errors="", phantom=False)
    assert len(section.tables[0].rows) == 20 and "The first 20 of 30" in section.tables[0].note
    assert [len(table.rows) for table in section.folded] == [30]
    assert "i29" not in comparison_text([section])
    short = wrong_together_section(rows[:3], runs=["a", "b"], images_by_wrong=[97, 0, 3], why_no_label_errors="", phantom=False)
    assert short.folded == () and "first" not in short.tables[0].note
    assert not any(" it" in name or name == "instead" for name in short.tables[0].header)


def test_figures_of_others_that_are_not_printed_say_so():
    rows = [{"who": "mine", "weights": "random", "accuracy": "0.9", "auroc": ""}]
    assert yardsticks_section(rows, description="The folder").tables[0].rows == (("mine", "random", "0.9", "not stated"),)
