"""What an audit says: a look that is read, none, and too few patients to tell."""

import re

import pytest

from cxr_keras.reporting.audit import Change, audit_figure, in_words

NOTHING = Change("coarse", "well", False, (-0.001, -0.01, 0.01), (0.0, 0.0, 0.0))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (Change("narrow", "well", True, (-0.09, -0.12, -0.06), (-0.3, -0.4, -0.2)), r"reads more than disease.*well narrow \(-0\.090\)"),
        (Change("narrow", "well", False, (-0.001, -0.01, 0.01), (0.0, 0.0, 0.0)), r"lowest change is -0\.001\. Other cues"),
        (Change("narrow", "well", False, (-0.17, -0.4, 0.1), (0.0, 0.0, 0.0)), "-0.170, which these few patients cannot tell from chance"),
    ],
)
def test_a_sentence_says_what_was_found(change, said):
    assert re.search(said, in_words([NOTHING, change], notable=0.02))
    assert audit_figure([NOTHING, change], title="run", notable=0.02).axes[0].get_yticklabels()[1].get_text() == "narrow"
