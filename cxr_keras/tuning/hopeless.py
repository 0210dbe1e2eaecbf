"""When a trial is not worth its remaining folds."""

from __future__ import annotations

import statistics
from collections.abc import Sequence


def is_hopeless(scores: Sequence[float], complete: Sequence[Sequence[float]], *, higher_is_better: bool, complete_first: int) -> bool:
    """Tell whether a trial lies behind the median of the complete trials over the folds that it has run.

    The median stopping rule of Golovin et al., Google Vizier (KDD 2017), with folds for steps. All trials have the same folds, so what
    makes a fold hard or easy is the same on both sides.

    Args:
        scores: of the trial, one a fold so far.
        complete: scores of each trial that ran all folds, in the same order of folds.
        higher_is_better: the direction of the score.
        complete_first: below so many complete trials nothing is hopeless.

    Returns:
        Whether to end it.
    """
    if len(complete) < complete_first:
        return False
    middle = statistics.median(statistics.fmean(other[: len(scores)]) for other in complete)
    mean = statistics.fmean(scores)
    return mean < middle if higher_is_better else mean > middle
