"""Which days a page carries step by step: all while they fit, else the dearest, the cheapest, and some between."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float


def days_that_fit(day_cost: Float[np.ndarray, " n_days"], most: int) -> np.ndarray:
    """Return positions of the days that a page carries, in order.

    Parameters
    ----------
    day_cost
        Of every day; one that has none counts as the dearest.
    most
        How many there is room for; at least one is carried.

    Returns
    -------
    (n_carried,)
        All, or for one half the dearest days, for the other days at equal distances in the order of cost, the cheapest
        among them.
    """
    n_days = len(day_cost)
    if most >= n_days:
        return np.arange(n_days)
    most = max(most, 1)
    dearest_first = np.argsort(-np.nan_to_num(day_cost, nan=np.inf), kind="stable")
    n_dearest = (most + 1) // 2
    rest = dearest_first[n_dearest:]
    between = rest[np.linspace(0, len(rest) - 1, most - n_dearest + 1).astype(int)[1:]]
    return np.sort(np.concatenate([dearest_first[:n_dearest], between]))


def said_of_days(carried: np.ndarray, n_days: int) -> str:
    """Return the sentence on which days can be picked."""
    if len(carried) == n_days:
        return f"All {n_days} days can be picked." if n_days > 1 else "One day was played."
    return (
        f"{len(carried)} of {n_days} days can be picked here, the dearest among them, so that the page stays small; "
        "the tables of the evaluation have all."
    )
