"""What readers of feeders find, one entry a bus or a branch, as it stands in the source and before any check."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from neomflex_jax.grid.elements import NO_ELEMENTS, Elements
from neomflex_jax.grid.parts import NO_DEVICES, OwnDevices

Numbers = Sequence[float] | np.ndarray


class Held(NamedTuple):
    """A bus beside the slack whose voltage is held: by a generator or, where `va_degree` is stated, a further slack."""

    bus: int  # label
    vm_pu: float
    p_mw: float = 0.0  # what a generator produces
    va_degree: float | None = None  # against the slack's
    q_min_mvar: float = float("nan")  # what a generator can deliver; NaN: no limit
    q_max_mvar: float = float("nan")


class WindingEnds(NamedTuple):
    """What the ends of a rated branch carry beyond it: see `grid.parts.Windings`."""

    branch: int  # row of the branch
    transformer: int | None = None  # of three windings: the same number for all of its branches
    from_g_us: float = 0.0
    from_b_us: float = 0.0
    to_g_us: float = 0.0
    to_b_us: float = 0.0


@dataclass(frozen=True, kw_only=True, eq=False)
class FeederColumns:
    """Columns of a feeder, in the two-port and the signs of `grid.feeder`.

    What is left out is absent: charging, shunts, ratings, limits; all loads are constant power; without `ratio` there
    is no transformer; without `rated_ratio` it is the ratio of the ends' `vn_kv`; all branches are in service; the
    slack is the first bus.
    """

    name: str
    bus_labels: Sequence[int]  # the user's own bus numbers
    vn_kv: Numbers
    load_p_mw: Numbers
    load_q_mvar: Numbers
    branches: Sequence[tuple[int, int]]  # (from, to) by bus label
    r_ohm: Numbers
    x_ohm: Numbers
    back_r_ohm: Numbers | None = None  # as seen from the to end, where that is another; NaN elsewhere
    back_x_ohm: Numbers | None = None
    equivalent: Sequence[bool] | None = None  # of a network or of several windings: r may lie below 0
    in_service: Sequence[bool] | None = None
    max_i_ka: Numbers | None = None
    max_loading_percent: Numbers | None = None
    g_us: Numbers | None = None
    b_us: Numbers | None = None
    ratio: Numbers | None = None
    shift_degree: Numbers | None = None
    rated_ratio: Numbers | None = None
    windings: Sequence[WindingEnds] = ()
    shunt_p_mw: Numbers | None = None
    shunt_q_mvar: Numbers | None = None
    p_current_share: Numbers | None = None  # shares of a bus's load that follow the voltage, and its square
    p_impedance_share: Numbers | None = None
    q_current_share: Numbers | None = None
    q_impedance_share: Numbers | None = None
    slack_bus: int | None = None
    slack_vm_pu: float = 1.0
    held: Sequence[Held] = ()
    own_devices: OwnDevices = NO_DEVICES
    elements: Elements = NO_ELEMENTS
    source: str = ""  # file, folder or net that an error names first
