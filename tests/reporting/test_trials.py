from dataclasses import dataclass

import pytest

from cxr_keras.reporting.trials import trials_figure, trials_table


@dataclass(frozen=True)
class Trial:
    trial: str
    settings: dict
    status: str
    scores: tuple
    epochs: float = 1.0
    seconds: float = 2.0

    @property
    def mean(self):
        return sum(self.scores) / len(self.scores) if self.scores else None

    @property
    def standard_deviation(self):
        return 0.1 if len(self.scores) > 1 else None

    @property
    def eligible(self):
        return self.status == "complete" and self.epochs == 1


RATES = ("training.phases.head.learning_rate", "training.phases.all.learning_rate")
SETTINGS = [*RATES, "model.params.dense", "data.clahe"]
TRIALS = [
    Trial("0", {RATES[0]: 0.001, RATES[1]: 0.5, "model.params.dense": [], "data.clahe": None}, "complete", (0.7, 0.8)),
    Trial("1", {RATES[1]: 2e-5, "model.params.dense": [256, 64], "data.clahe": 2.0}, "ended", (0.9,)),
    Trial("2", {RATES[1]: 0.1, "model.params.dense": [], "data.clahe": None}, "failed", ()),
    Trial("3", {RATES[1]: 0.1, "model.params.dense": [], "data.clahe": None}, "complete", (0.8, 0.9)),
    Trial("4", {RATES[1]: 0.1, "model.params.dense": [], "data.clahe": None}, "complete", (0.95, 0.99), epochs=0.3),
]


@pytest.mark.parametrize(("score", "order"), [("macro_auroc", ["3", "0", "4", "1", "2"]), ("log_loss", ["0", "3", "1", "4", "2"])])
def test_eligible_trials_come_first_and_the_better_before_the_worse(score, order):
    [where, table] = trials_table(TRIALS, TRIALS[3], SETTINGS, score=score, folds=2, provenance={"data": "phantom 4"})
    assert where.rows == (("phantom 4",),)
    assert [row[0] for row in table.rows] == order
    assert table.header[1:5] == ("head learning rate", "all learning rate", "dense", "clahe")
    of = {row[0]: row for row in table.rows}
    assert of["3"][-1] == "chosen" and of["1"][-1] == "ended early" and of["2"][-1] == "failed" and of["2"][5] == "n/a"
    assert of["3"][3:5] == ("[]", "null")
    assert of["1"][1:5] == ("", "2.00e-05", "256×64", "2") and of["1"][6] == "1 of 2" and of["4"][7] == "30%"


def test_a_panel_for_the_order_and_one_a_setting():
    figure = trials_figure(TRIALS, TRIALS[3], SETTINGS, score="macro_auroc", title="a search")
    panels = [axes for axes in figure.axes if axes.get_visible()]
    assert [axes.get_xlabel() for axes in panels] == ["trial", "head learning rate", "all learning rate", "dense", "clahe"]
    best = next(line for line in panels[0].lines if line.get_label() == "best so far")
    assert list(best.get_ydata()) == [0.75, pytest.approx(0.85), pytest.approx(0.85)]
    assert panels[2].get_xscale() == "log" and [text.get_text() for text in panels[4].get_xticklabels()] == ["2", "null"]
