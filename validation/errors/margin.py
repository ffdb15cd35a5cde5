"""How much tighter the limits must be on a surrogate for none of pandapower's violations to be missed.

With limits ``low + m .. high - m`` on the recorded side, a missed violation is found as soon as m exceeds the distance
of its recorded voltage from the nearer limit.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from validation.errors.summary import outside


@dataclass(frozen=True)
class Margin:
    """Of one pair of limits, on these days."""

    limits: str  # hard or band
    margin_pu: float  # tighten by more than this and nothing that pandapower solved is missed; 0 if nothing is
    missed: int  # bus-steps missed without a margin, of steps that pandapower solved
    invented: int  # bus-steps that the record would invent with the margin
    unsolved: int  # bus-steps inside in the record that pandapower could not solve: no margin finds them


def margin_of(name: str, recorded_pu: np.ndarray, exact_pu: np.ndarray, low_pu: float, high_pu: float) -> Margin:
    """Work out a pair of limits' margin from voltages (n, n_node) on both sides."""
    solved = np.isfinite(exact_pu)
    truth = outside(exact_pu, low_pu, high_pu)
    inside = ~outside(recorded_pu, low_pu, high_pu)
    missed = solved & truth & inside
    room_pu = np.minimum(recorded_pu - low_pu, high_pu - recorded_pu)
    margin_pu = float(np.max(room_pu, where=missed, initial=0.0))
    found = ~(room_pu > margin_pu) if missed.any() else ~inside
    return Margin(
        limits=name,
        margin_pu=margin_pu,
        missed=int(missed.sum()),
        invented=int((solved & ~truth & found).sum()),
        unsolved=int((~solved & inside).sum()),
    )
