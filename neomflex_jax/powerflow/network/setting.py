"""What is set anew in each case: ratios of tap changers, shunts that are switched, what devices feed in.

A ratio is multiplied by t: the current at its branch's from end becomes ``1/t`` of what it was, the voltage behind its
ideal transformer too, and so half of the branch's charging counts there ``1/t^2`` as much. A shunt of `shunt_mvar`
feeds in ``q = shunt_mvar vm^2``. Where loads follow the voltage, all that is injected at a bus does, but for the part
that is said to be steady: what devices set is constant power.

`ac` solves radial cases with a setting by sweeps in machine code (`sweeps/setting_kernel.py`), others and derivatives
by matrix products, on impedances that all cases share (`taps.py`). What that costs on two cores, 4,096 cases of
case33bw in float32, voltages alone, in one process: sweeps 4.9 M flows/s, with a ratio and a shunt of each case's own
4.8 M; products 1.5 M, with both 0.8 M. `newton` takes settings too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float

from neomflex_jax.errors import InputError
from neomflex_jax.one_line import one_line
from neomflex_jax.powerflow.network.per_unit import PerUnitFeeder
from neomflex_jax.powerflow.network.scaling import Pair


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class Setting:
    """One case's own; under `vmap` every field gains leading axes. None: as the feeder has them."""

    tap_ratio: Float[Array, "... n_tap"] | None = None  # factors t on the ratios of the branches that were bound
    shunt_mvar: Float[Array, "... n_node"] | None = None  # feed-in at 1 pu, beside the feeder's own
    capacitor_share: Float[Array, "... n_capacitor"] | None = None  # in 0..1, of a feeder's with phases that were bound
    steady_p_mw: Float[Array, "... n_node"] | None = None  # part of the injections that follows no voltage
    steady_q_mvar: Float[Array, "... n_node"] | None = None

    __repr__ = one_line


class Own(NamedTuple):
    """Parts of a grid that a setting makes a case's own; the rest is shared by a batch."""

    tap_factor: Array | None  # (..., n_tap)
    bus_admittance: tuple[Array, Array] | None  # (..., n_bus - 1)
    steady: tuple[Array, Array] | None  # (..., n_bus - 1)


def apart(grid: PerUnitFeeder) -> tuple[PerUnitFeeder, Own | None]:
    """Split a grid of one case into what a batch shares and the case's own; None without a setting."""
    if not grid.is_set and grid.steady is None:
        return grid, None
    bare = replace(grid, steady=None)
    if not grid.is_set:
        return bare, Own(None, None, _each(grid.network.leave, grid.steady))
    # from_ratio and the like are not needed to solve
    bare = replace(bare, tap_factor=None, bus_admittance=None, shunt=None, from_ratio=None, from_current=None)
    leave = grid.network.leave
    return bare, Own(grid.tap_factor, _each(leave, grid.bus_admittance), _each(leave, grid.steady))


def together(grid: PerUnitFeeder, own: Own) -> PerUnitFeeder:
    """Put a case's own parts back, or those of a batch, with its axes first."""
    enter = grid.network.enter
    grid = replace(grid, steady=_each(enter, own.steady))
    if not grid.is_set:
        return grid
    return replace(grid, tap_factor=own.tap_factor, bus_admittance=_each(enter, own.bus_admittance))


def _each(change: Callable[[Array], Array], pair: tuple[Array, Array] | None) -> tuple[Array, Array] | None:
    return None if pair is None else (change(pair[0]), change(pair[1]))


def with_setting(grid: PerUnitFeeder, setting: Setting) -> PerUnitFeeder:
    """Return the grid of one case, with its own ratios (n_tap,), shunts (n_node,) and steady powers (n_node,)."""
    if setting.capacitor_share is not None:
        raise InputError("setting has capacitor_share, which balanced feeders do not take; set shunt_mvar")
    if setting.steady_p_mw is not None and setting.steady_q_mvar is not None and grid.dependence is not None:
        grid = replace(grid, steady=_steady(grid, setting.steady_p_mw, setting.steady_q_mvar))
    if setting.tap_ratio is None and setting.shunt_mvar is None:
        return grid
    return _with_ratios_and_shunts(replace(grid, is_set=True), setting)


def _steady(grid: PerUnitFeeder, p_mw: Array, q_mvar: Array) -> Pair:
    """Per unit, in the network's layout, or (n_bus,) where more voltages than the slack's are held."""
    if grid.form is None:
        return p_mw / grid.s_base_mva, q_mvar / grid.s_base_mva
    enter = grid.network.enter
    return enter(grid.without_slack(p_mw)), enter(grid.without_slack(q_mvar))


def _with_ratios_and_shunts(grid: PerUnitFeeder, setting: Setting) -> PerUnitFeeder:
    inverse = None
    if setting.tap_ratio is not None and grid.tap_branches:
        branches = np.array(grid.tap_branches)
        inverse = jnp.ones_like(grid.r).at[branches].set(1.0 / setting.tap_ratio)
        if grid.taps is not None:
            grid = replace(grid, tap_factor=grid.taps.factors(setting.tap_ratio))
    more_g, more_b = _more_admittance(grid, inverse)
    if inverse is not None:
        from_current = inverse if grid.from_current is None else grid.from_current * inverse
        ones = (jnp.ones_like(inverse), jnp.zeros_like(inverse))
        cr, ci = ones if grid.from_ratio is None else grid.from_ratio
        grid = replace(grid, from_current=from_current, from_ratio=(cr * inverse, ci * inverse))
    if setting.shunt_mvar is not None:
        scale = 1.0 if grid.scale is None else grid.scale[0] ** 2
        own = setting.shunt_mvar / (grid.s_base_mva * scale)  # feeds in: draws -q = b vm^2
        more_b = own if more_b is None else more_b + own
        shunt = (jnp.zeros_like(own), own) if grid.shunt is None else (grid.shunt[0], grid.shunt[1] + own)
        grid = replace(grid, shunt=shunt)
    if more_b is None or grid.form is None:
        return grid
    others, enter = grid.topology.non_slack, grid.network.enter
    more = tuple(enter(part[others]) for part in (jnp.zeros_like(more_b) if more_g is None else more_g, more_b))
    base = (0.0, 0.0) if grid.bus_admittance is None else grid.bus_admittance
    return replace(grid, bus_admittance=(base[0] + more[0], base[1] + more[1]))


def _more_admittance(grid: PerUnitFeeder, inverse: Array | None) -> Pair | tuple[None, None]:
    """What other ratios add to the admittances at all buses, (n_bus,): charging behind the ideal transformers."""
    if inverse is None or grid.charging is None:
        return None, None
    squared = 1.0 if grid.from_ratio is None else grid.from_ratio[0] ** 2 + grid.from_ratio[1] ** 2
    share, start = squared * (inverse**2 - 1.0), np.array(grid.topology.from_bus)
    nothing = jnp.zeros(grid.topology.n_bus, share.dtype)
    g, b = (nothing.at[start].add(part * share) for part in grid.charging)
    return g, b
