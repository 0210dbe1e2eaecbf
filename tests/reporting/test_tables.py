"""Tables in plain text and Markdown."""

from __future__ import annotations

import pytest

from cxr_keras.reporting import all_tables, headline_table, render_markdown, render_text
from cxr_keras.reporting.tables import Table, format_spread, format_value

PROVENANCE = {
    "data": "Kermany, 224 px files",
    "pixels": "64×64, crop",
    "epochs": 30,
    "seeds": 0,
    "weights": "none",
}


def entry(value, low=None, high=None, dropped=0) -> dict:
    return {"value": value, "low": low, "high": high, "dropped_draws": dropped}


def scores(classes=("normal", "pneumonia"), *, folds=1, dropped=0) -> dict:
    """A small dictionary of the shape of metrics.json."""
    names = ("accuracy", "balanced_accuracy", "macro_f1", "macro_auroc", "expected_calibration_error")
    names += ("auroc",) if len(classes) == 2 else ()
    spread = {"mean": 0.9, "standard_deviation": 0.0123 if folds > 1 else None, "undefined_folds": 0}
    return {
        "n_images": 5856,
        "n_groups": 4097,
        "classes": list(classes),
        "interval": {"level": 0.95, "draws": 2000, "seed": 0},
        "scores": {name: entry(0.94149, 0.93, 0.9512) for name in names},
        "per_class": {
            name: {"support": 1464, "precision": entry(None, dropped=dropped), "auroc": entry(0.9, 0.8, 0.95)} for name in classes
        },
        "confusion_matrix": [[1000 + column for column in range(len(classes))] for _ in classes],
        "folds": {
            "count": folds,
            "per_fold": [{"fold": fold, "n_images": 1171, "n_groups": 800, "scores": dict.fromkeys(names, 0.9)} for fold in range(folds)],
            "scores": {name: spread for name in names},
            "per_class": {name: {"precision": spread | {"mean": None}, "auroc": spread} for name in classes},
        },
    }


def test_values_with_intervals():
    assert format_value(entry(0.94149, 0.93, 0.9512)) == "0.941 [0.930, 0.951]"
    assert format_value(entry(0.94149)) == "0.941"
    assert format_value(entry(None)) == "n/a"


def test_spread_over_folds():
    spread = {"mean": 0.9, "standard_deviation": 0.0123, "undefined_folds": 0}
    assert format_spread(spread) == "0.900 ± 0.012"
    assert format_spread(spread | {"undefined_folds": 2}) == "0.900 ± 0.012 (2 undefined)"
    assert format_spread(spread | {"standard_deviation": None}) == "0.900"
    assert format_spread(spread | {"mean": None, "undefined_folds": 5}) == "n/a"


def test_headline_carries_where_the_figures_come_from():
    text = render_text(all_tables(scores(), provenance=PROVENANCE, name="mini_vgg"), width=80)
    head = dict(line.split("  ", 1) for line in text.split("\n\n")[0].splitlines()[2:14])
    head = {key: value.strip() for key, value in head.items()}
    assert head == {
        "run": "mini_vgg",
        "data": "Kermany, 224 px files",
        "pixels": "64×64, crop",
        "images": "5,856",
        "patients": "4,097",
        "epochs": "30",
        "seeds": "0",
        "weights": "none",
        "accuracy": "0.941 [0.930, 0.951]",
        "balanced accuracy": "0.941 [0.930, 0.951]",
        "macro F1": "0.941 [0.930, 0.951]",
        "AUROC": "0.941 [0.930, 0.951]",
    }
    assert "95% interval, 2,000 bootstrap draws of patients" in text


def test_what_is_not_known_is_said_and_further_facts_are_shown():
    table = headline_table([("a", scores(), {"data": "mine"}), ("b", scores(), {"limits": "patient overlap not excluded"})])
    first, second = (dict(zip(table.header, row, strict=True)) for row in table.rows)
    assert (first["data"], first["weights"], first["limits"]) == ("mine", "not stated", "not stated")
    assert (second["data"], second["limits"]) == ("not stated", "patient overlap not excluded")


def test_seed_zero_is_stated():
    table = headline_table([("a", scores(), {"seeds": 0})])
    assert dict(zip(table.header, table.rows[0], strict=True))["seeds"] == "0"


@pytest.mark.parametrize("width", [60, 80, 100, 200])
def test_no_line_is_wider_than_the_terminal_and_none_has_colour_codes(width):
    four = scores(("bacterial", "covid19", "normal", "viral"), folds=5)
    long = PROVENANCE | {"data": "Kermany and ieee8023, files resized beforehand to 224×224 pixels, one image a patient"}
    text = render_text(all_tables(four, provenance=long), width=width)
    assert max(map(len, text.splitlines())) <= width
    assert "\x1b" not in text
    for word in ("bacterial", "covid19", "normal", "viral", "fold 4", "one image a patient", "true \\ predicted"):
        assert word in " ".join(text.split())


def test_columns_that_do_not_fit_move_below_with_the_first_column_again():
    table = Table("T", ("score", "first", "second"), (("a", "1" * 10, "2" * 10), ("b", "3" * 10, "4" * 10)))
    blocks = render_text([table], width=20).split("\n\n")
    assert len(blocks) == 2
    assert "first" in blocks[0] and "second" not in blocks[0]
    assert blocks[1].startswith("score  second") and "\na      2222222222" in blocks[1]
    assert "\n\n" not in render_text([table], width=40).rstrip()


def test_undefined_scores_and_dropped_draws_are_said():
    text = render_text(all_tables(scores(dropped=123), provenance=PROVENANCE), width=100)
    assert "precision  n/a" in text
    assert "Up to 123 draws dropped where a score was undefined." in text
    assert "nan" not in text and "None" not in text


def test_tables_over_folds_only_where_there_are_several():
    def titles(count):
        return [table.title for table in all_tables(scores(folds=count), provenance=PROVENANCE)]

    assert "Single folds" not in titles(1)
    assert {"Single folds", "Each class, mean ± sd of 5 folds"} <= set(titles(5))


def test_without_draws_no_interval_is_claimed():
    none = scores()
    none["interval"]["draws"] = 0
    assert "No intervals: bootstrap draws were set to 0." in render_text(all_tables(none, provenance=PROVENANCE))


def test_markdown_has_a_row_a_run_and_escapes_bars():
    runs = [("seed 0", scores(), PROVENANCE), ("seed 1", scores(), PROVENANCE | {"data": "a|b"})]
    lines = render_markdown([headline_table(runs)]).splitlines()
    assert lines[0] == "### Headline"
    assert lines[2].startswith("| run | data | pixels | images | patients | epochs | seeds | weights | accuracy |")
    assert lines[3] == "|" + "---|" * 12
    assert lines[4].startswith("| seed 0 | Kermany, 224 px files | 64×64, crop | 5,856 | 4,097 | 30 | 0 | none | 0.941 [")
    assert "a\\|b" in lines[5]


def test_markdown_of_everything_has_even_tables():
    text = render_markdown(all_tables(scores(folds=3), provenance=PROVENANCE))
    for block in text.split("### ")[1:]:
        rows = [line for line in block.splitlines() if line.startswith("|")]
        assert len({row.replace("\\|", "").count("|") for row in rows}) == 1
