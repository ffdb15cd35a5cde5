"""The unit of a column Demand: what is said of it, and what its size says where nothing is.

``demand = value x in_one / nominal`` with the loads' nominal power in MW; per cent are of the same nominal power.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from neomflex_jax.errors import InputError
from neomflex_jax.profiles.config import DEMAND_UNITS, UNITS

DOUBTFUL_MAX = 3.0  # above this no feeder's demand is a multiple of its nominal load
DOUBTFUL_MEAN = 1.5  # likewise; a Demand with single peaks above 3 and less on average is per unit
LIKELY = (0.1, 3.0)  # peaks, in nominal loads, that another unit must make of it to be asked about
DEMAND_IS = "Demand multiplies every load's nominal power: divide per cent by 100, and kW or MW by the nominal load"


def per_unit_of(unit: str, nominal_mw: float) -> float:
    """Return the multiple of the nominal loads that a value of 1 is, infinite of a power without nominal loads."""
    in_mw = UNITS.get(unit or "per_unit")
    if in_mw is None:
        return 0.01 if unit == "per_cent" else 1.0
    return in_mw / nominal_mw if nominal_mw > 0 else math.inf


def likely_unit(most: float, nominal_mw: float) -> str | None:
    """Return the unit in which a peak comes nearest to the nominal load; None if it is small, or none comes near."""
    if most <= DOUBTFUL_MAX:
        return None
    peaks = {unit: most * per_unit_of(unit, nominal_mw) for unit in DEMAND_UNITS[1:]}
    near = [unit for unit, peak in peaks.items() if LIKELY[0] <= peak <= LIKELY[1]]
    return min(near, key=lambda unit: abs(math.log(peaks[unit])), default=None)


def check_demand_unit(path: Path, demand: np.ndarray, nominal_mw: float) -> None:
    """Refuse a Demand (n_rows,) of which nothing is said and whose size is that of another unit, naming it."""
    most = float(demand.max(initial=0.0))
    unit = likely_unit(most, nominal_mw) if demand.size and demand.mean() > DOUBTFUL_MEAN else None
    if unit is not None:
        peak = f"{most * per_unit_of(unit, nominal_mw):.3g} times the nominal load of {nominal_mw:.4g} MW at most"
        raise InputError(
            f"{path}: {range_of(demand)}: by its size it is in {unit.replace('_', ' ')} ({peak}); "
            f"[profiles] demand_unit = {unit!r} says so, 'per_unit' that it is not"
        )


def range_of(demand: np.ndarray) -> str:
    """Return the range of Demand in words."""
    return f"Demand goes from {demand.min():.4g} to {demand.max():.4g}, {demand.mean():.4g} on average"
