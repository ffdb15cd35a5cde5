"""Loads' branches as arrays: `unbalanced/branch_table.py` makes them, `branch_kernel.py` reads them."""

from __future__ import annotations

from typing import NamedTuple

from jax import Array

LEAST = 1e-30  # squared voltage at which admittances stay finite, in float32 too
STEEPNESS = 500.0  # of the drop-out at `cut_off_pu`
LEAST_DETERMINANT = 0.1  # of an update's equations, 1 without load
# with an error of so many tolerances one more evaluation costs less than slopes anew, which cost two
NEAR = 10.0

# what a branch of loads has; `kept` and `lines` are those of `unbalanced/admittance.py`, shares those of its models
COLUMNS = (
    "share",  # of its load's power
    "start_r",
    "start_i",
    "r_squared",
    "own_slope",
    "v_min_squared",
    "v_max_squared",
    "high_power",  # admittance of a constant power, and of a constant current, above v_max
    "high_current",
    "power_offset",  # the same below v_min: offset times that of a current, plus slope
    "power_slope",
    "current_offset",
    "current_slope",
    "v_low_squared",
    *(f"{side}_{part}_{share}" for side in ("inside", "outside") for part in "pq" for share in "zic"),
    "p_exponent",  # a / 2 - 1
    "q_exponent",
    "cut_off",
    "within_p",
    "within_q",
)
# what has to be worked out of a branch, as bits of its flags
LIMITED, CURRENT, MIXED, OUTSIDE, LOW, WITHIN, FED, P_EXPONENT, Q_EXPONENT, CUT_OFF = (1 << bit for bit in range(10))


class BranchArrays(NamedTuple):
    """Branches of the loads, beside the sums that say what their currents do."""

    flags: Array  # (n_branch,) int32
    owner: Array  # (n_branch,) int32, whose load it is; n_load without one
    fed: Array  # (n_branch,) int32, which of the nodes at which devices feed in it takes along; n_device_node for none
    numbers: Array  # (n_branch, len(COLUMNS))


class PortArrays(NamedTuple):
    """Where each case's own taps and capacitors act, as `unbalanced/ports.py` has it; pairs are complex."""

    seen: Array  # (2 n_port,) x_0
    own: tuple[Array, Array]  # (n_port, n_port) H
    by_branch: Array  # (2 n_port, 2 n_branch) G
    to_branch: Array  # (2 n_branch, 2 n_port) B


class Case(NamedTuple):
    """What a power flow is asked about, (..., n) each."""

    load_p: Array  # MW of every load, positive consumption
    load_q: Array  # Mvar
    fed_p: Array | None = None  # MW at the nodes at which devices feed in, positive into the grid; None: nothing
    fed_q: Array | None = None  # Mvar
