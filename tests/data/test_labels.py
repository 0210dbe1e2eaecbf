"""Labels of sources find their class or are refused; permuted labels tell nothing."""

import numpy as np
import pandas as pd
import pytest

from cxr_keras.data.labels import class_order, classes_of, label_word, permute_labels, place_labels, require_every_class


def _table(**labels_of_source: list[str]) -> pd.DataFrame:
    rows = [(source, label) for source, labels in labels_of_source.items() for label in labels]
    return pd.DataFrame(rows, columns=["source", "label"])


def _place(table: pd.DataFrame, scheme: str, label_map: dict[str, str] | None = None, **foreign: str) -> pd.DataFrame:
    return place_labels(table, scheme=scheme, label_map=label_map, foreign_labels=foreign)


@pytest.mark.parametrize(
    ("scheme", "classes"),
    [
        ("binary", ("normal", "pneumonia")),
        ("three", ("bacterial", "normal", "viral")),
        ("four", ("bacterial", "covid19", "normal", "viral")),
    ],
)
def test_classes_stand_in_one_order(scheme, classes):
    assert classes_of(scheme) == classes


def test_the_positive_class_of_two_stands_last():
    assert class_order(["covid19", "normal", "covid19"]) == ("normal", "covid19")
    assert class_order(["b", "a"]) == ("a", "b")


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("Viral Pneumonia", "viral_pneumonia"),
        ("COVID-19", "covid19"),
        ("COVID", "covid19"),
        (" NORMAL ", "normal"),
        ("bacteria", "bacterial"),
    ],
)
def test_label_words(text, word):
    assert label_word(text) == word


def test_unknown_scheme_names_the_nearest():
    with pytest.raises(ValueError, match=r"unknown scheme 'fuor'; expected one of binary, three, four, as_given. Did you mean four\?"):
        classes_of("fuor")
    with pytest.raises(ValueError, match="as_given has the classes of its manifest"):
        classes_of("as_given")


def test_both_kinds_are_pneumonia_in_binary():
    placed = _place(_table(kermany=["normal", "viral", "bacterial"]), "binary")
    assert list(placed["label"]) == ["normal", "pneumonia", "pneumonia"]


def test_a_label_without_class_is_an_error_or_counted():
    table = _table(folders=["normal", "tuberculosis", "tuberculosis"])
    with pytest.raises(ValueError, match=r"three has no class for tuberculosis \(2 images of folders\).*label map such as"):
        _place(table, "three")
    placed = _place(table, "three", folders="skip")
    assert list(placed["label"]) == ["normal"]
    assert placed.attrs["skipped"] == {"folders": {"label tuberculosis": 2}}


def test_label_map_comes_first_and_may_name_the_source():
    table = _table(a=["normal", "Lung"], b=["normal", "viral"]).replace("Lung", "lung_opacity")
    placed = _place(table, "binary", {"Lung Opacity": "pneumonia", "b:normal": "skip"})
    assert list(placed["label"]) == ["normal", "pneumonia", "pneumonia"]
    assert placed.attrs["skipped"] == {"b": {"label normal": 1}}


def test_faults_of_a_label_map_are_named_together():
    with pytest.raises(ValueError) as error:
        _place(_table(a=["normal", "viral"]), "binary", {"virall": "pneumonia", "viral": "pnuemonia"})
    assert "no image has the label 'virall' (found normal, viral), did you mean viral?" in str(error.value)
    assert "viral: 'pnuemonia' is no class of binary (normal, pneumonia) and not 'skip'" in str(error.value)
    with pytest.raises(ValueError, match="'Bad Word' is no lower-case word"):
        _place(_table(a=["normal"]), "as_given", {"normal": "Bad Word"})


def test_a_scheme_that_the_sources_cannot_give_is_refused():
    with pytest.raises(ValueError, match=r"three needs bacterial, of which no source has an image \(radiography gives normal, viral\)"):
        require_every_class(_table(radiography=["normal", "viral"]), scheme="three")
    require_every_class(_table(radiography=["normal", "viral"]), scheme="as_given")


def test_permuted_labels_keep_groups_whole_and_counts_about(make_manifest):
    rng = np.random.default_rng(0)
    manifest = make_manifest({"normal": [1] * 300, "viral": rng.integers(1, 6, 200).tolist()})
    permuted = permute_labels(manifest, seed=4)
    assert (permuted.groupby("group_id")["label"].nunique() == 1).all()
    counts = manifest["label"].value_counts()
    assert (permuted["label"].value_counts() - counts).abs().max() <= 5
    expected = (counts / len(manifest)).pow(2).sum()
    assert abs((permuted["label"] == manifest["label"]).mean() - expected) < 0.06
    sizes = permuted.groupby("group_id")["image_id"].transform("size")
    assert abs(np.corrcoef(sizes, permuted["label"] == "viral")[0, 1]) < 0.15
    assert set(permuted["labels_permuted"]) == {"seed 4"} and "labels_permuted" not in manifest


def test_permutation_depends_on_the_seed_and_not_on_the_rows(make_manifest):
    manifest = make_manifest({"normal": [1, 2] * 20, "viral": [3, 1] * 20})
    first = permute_labels(manifest, seed=1).set_index("image_id")["label"]
    again = permute_labels(manifest.sample(frac=1, random_state=5), seed=1).set_index("image_id")["label"]
    assert first.equals(again.loc[first.index])
    assert not first.equals(permute_labels(manifest, seed=2).set_index("image_id")["label"])
