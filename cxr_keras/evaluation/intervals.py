"""Patient-level bootstrap: whole groups are drawn with replacement, because images of one patient are not independent."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

LEVEL = 0.95
"""Coverage of every interval."""

DRAWS = 2000
"""Default number of resamples: the Monte Carlo error of a 2.5 % percentile is then about 0.35 percentage points of rank."""

MOST_DROPPED = 0.5
"""Share of resamples in which a score may be undefined; above it the rest is no fair sample and no interval is given."""

_DRAWS_AT_ONCE = 100


def group_draws(n_groups: int, *, draws: int = DRAWS, seed: int = 0) -> Iterator[np.ndarray]:
    """Draw `n_groups` groups with replacement, again and again.

    A draw is given as the number of times each group was drawn, which weighs every image of the group. It depends on
    the seed and the number of groups only.

    Args:
        n_groups: number of groups (patients).
        draws: number of resamples.
        seed: seed of the generator.

    Yields:
        Blocks of at most 100 resamples, int64 (resamples, n_groups), each row with the sum `n_groups`.
    """
    generator = np.random.default_rng(seed)
    for first in range(0, draws, _DRAWS_AT_ONCE):
        size = min(_DRAWS_AT_ONCE, draws - first)
        drawn = generator.integers(n_groups, size=(size, n_groups))
        drawn += n_groups * np.arange(size)[:, None]
        yield np.bincount(drawn.ravel(), minlength=size * n_groups).reshape(size, n_groups)


def percentile_interval(samples: np.ndarray, *, level: float = LEVEL) -> tuple[float | None, float | None, int]:
    """Percentile interval of a score over resamples.

    Args:
        samples: float64 (draws,), nan where the score is undefined in the resample.
        level: coverage in (0, 1).

    Returns:
        Low end, high end (None where there are no resamples or more than half were dropped) and the number of dropped
        resamples.
    """
    kept = samples[~np.isnan(samples)]
    dropped = len(samples) - len(kept)
    if len(kept) == 0 or dropped > MOST_DROPPED * len(samples):
        return None, None, dropped
    low, high = np.quantile(kept, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high), dropped
