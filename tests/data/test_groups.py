"""Groups are the connected components of patients and identical files."""

import random

import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from cxr_keras.data.groups import DisjointSets, count_copies, join_groups


def _rows(pairs: list[tuple[int, int]]) -> pd.DataFrame:
    table = pd.DataFrame(pairs, columns=["patient", "file"])
    return pd.DataFrame(
        {
            "patient_id": [f"p{patient:02d}" for patient in table["patient"]],
            "sha256": [f"{file:064x}" for file in table["file"]],
            "source": "a",
            "width": 10,
        }
    )


def _components(pairs: list[tuple[int, int]]) -> dict[int, int]:
    """Label spreading until nothing changes: slow, and obviously right."""
    smallest = {patient: patient for patient, _ in pairs}
    changed = True
    while changed:
        changed = False
        for first, file in pairs:
            for second, other in pairs:
                low = min(smallest[first], smallest[second])
                if file == other and max(smallest[first], smallest[second]) != low:
                    smallest[first] = smallest[second] = low
                    changed = True
    return smallest


PAIRS = st.lists(st.tuples(st.integers(0, 12), st.integers(0, 15)), min_size=1, max_size=25)


@given(PAIRS, st.randoms(use_true_random=False))
def test_groups_are_connected_components_in_any_order(pairs: list[tuple[int, int]], rng: random.Random):
    rng.shuffle(pairs)
    grouped = join_groups(_rows(pairs))
    expected = _components(pairs)
    assert list(grouped["group_id"]) == [f"p{expected[patient]:02d}" for patient, _ in pairs]


def test_chain_of_copies_is_one_group():
    grouped = join_groups(_rows([(1, 1), (2, 1), (2, 2), (3, 2), (4, 9)]))
    assert list(grouped["group_id"]) == ["p01", "p01", "p01", "p01", "p04"]


def test_unreadable_files_connect_nobody():
    """Two empty files are identical and say nothing about the patients."""
    rows = _rows([(1, 1), (2, 1)]).assign(width=0)
    assert join_groups(rows)["group_id"].nunique() == 2


def test_disjoint_sets_keep_the_smallest_as_representative():
    sets = DisjointSets()
    sets.join(["c", "b"])
    sets.join(["b", "a"])
    assert {sets.find(name) for name in "abc"} == {"a"}
    assert sets.find("z") == "z"


def test_copies_are_counted_by_kind():
    rows = _rows([(1, 1), (1, 1), (2, 2), (3, 2), (4, 3)])
    rows["source"] = ["a", "a", "a", "b", "b"]
    assert count_copies(rows) == {"groups": 2, "files": 4, "across_sources": 1, "across_patients": 1}
