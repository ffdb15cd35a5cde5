"""`power_flow`: one case or any batch of them, by any method."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike
from jaxtyping import Num

from neomflex_jax.errors import InputError, unknown_name
from neomflex_jax.grid.feeder import Feeder
from neomflex_jax.grid.unbalanced.feeder import UnbalancedFeeder
from neomflex_jax.jax_settings import nan_is_a_value, platform_is_there
from neomflex_jax.powerflow.batch import solve_cases
from neomflex_jax.powerflow.bound import PowerFlow, bind
from neomflex_jax.powerflow.labelled import in_order_of, labelled_setting, with_steady
from neomflex_jax.powerflow.network.setting import Setting
from neomflex_jax.powerflow.result import PowerFlowResult
from neomflex_jax.powerflow.stopping import AcConfig
from neomflex_jax.powerflow.unbalanced.linear import AROUND_OWN_LOADS


@platform_is_there()
@nan_is_a_value()
def power_flow(
    feeder: Feeder | UnbalancedFeeder,
    p_injection_mw: Num[ArrayLike, "*#batch #n_node"] | float,
    q_injection_mvar: Num[ArrayLike, "*#batch #n_node"] | float,
    method: str | PowerFlow = "ac",
    ac_config: AcConfig = AcConfig(),
    fields: Sequence[str] | None = None,
    *,
    fallback: str = "",
    sweeps: bool = True,
    tap_ratio: Mapping[tuple[int, int], ArrayLike] | None = None,
    shunt_mvar: Mapping[int, ArrayLike] | None = None,
    enforce_q_lims: bool = False,
    steady_p_mw: Num[ArrayLike, "*#batch #n_node"] | float | None = None,
    steady_q_mvar: Num[ArrayLike, "*#batch #n_node"] | float | None = None,
) -> PowerFlowResult:
    """Solve the power flow of a feeder for one case or any batch of them.

    Parameters
    ----------
    feeder
        The grid; its nominal loads are not added to the injections. Of an unbalanced one `ac`, `lindistflow`,
        `ac_config` and `fields` alone are known, and injections are constant powers between a node and ground; `bind`
        solves it by its loads.
    p_injection_mw, q_injection_mvar
        Net injections in MW and Mvar, positive into the grid, shapes (..., n_node), broadcast to each other; the
        slack's own entry moves the slack's import alone.
    method
        `ac`, `newton`, `calibrated`, `lindistflow`, `dc`, or a bound method from `bind` or `calibrate`, which
        keeps the impedances and the precision that it was bound with.
    ac_config
        Tolerance and iteration limit of `ac` and `newton`.
    fields
        What is needed of the result, `("vm_pu", "converged")` say; the rest is None and is not computed, which for
        large batches more than doubles the speed. None takes all.
    fallback, enforce_q_lims
        `newton` for the cases that `ac` gives up, and True to keep generators within their limits of reactive power, as
        in `bind`; a bound method keeps its own.
    sweeps
        False takes matrix products in the place of machine code, as in `bind`, for a bound method too.
    tap_ratio
        Factors on the ratios of branches, each by the labels of its from and to bus, shapes (...): above 1 lowers the
        voltage at the `to` end. On a line too, which then has a regulator at its `from` end. `ac` and `newton` alone.
    shunt_mvar
        Reactive power that shunts feed in at 1 pu, ``q = shunt_mvar vm^2``, beside the feeder's own, by bus label,
        shapes (...). `ac` and `newton` alone.
    steady_p_mw, steady_q_mvar
        Of the injections, what is constant power where the feeder's loads follow the voltage, devices say; shapes as
        theirs. None: all that is injected at such a bus follows, as in `pandapower.runpp`.

    Returns
    -------
    PowerFlowResult
        Fields with the injections' leading axes. Failure is a value: look at `converged` and `residual_mva`.

    Raises
    ------
    InputError
        On an unknown method, fallback or field, or a last axis of another length; outside jit also on NaN or infinite
        injections; on a branch or bus that there is not, or a method that knows no taps.
    """
    if isinstance(feeder, UnbalancedFeeder):
        options = fallback, enforce_q_lims, tap_ratio, shunt_mvar, steady_p_mw is not None
        if any(options) or isinstance(method, PowerFlow):
            raise InputError("an unbalanced feeder takes a method's name and ac_config, and no other options")
        if AROUND_OWN_LOADS.get(str(method)):
            raise InputError(f"power_flow knows no loads to be {method!r} around; bind(feeder, {method!r}) does")
        at_nodes = bind(feeder.with_loads_at_nodes(), str(method), ac_config)
        return at_nodes.solve(-jnp.asarray(p_injection_mw), -jnp.asarray(q_injection_mvar), _checked_fields(fields))
    p, q = _checked_injections(feeder, p_injection_mw, q_injection_mvar)
    chosen, taps, shunts = _checked_fields(fields), dict(tap_ratio or {}), dict(shunt_mvar or {})
    if isinstance(method, PowerFlow):
        solver, taps = _checked_bound(method, feeder, sweeps), in_order_of(method, feeder, taps)
    else:
        solver = bind(
            feeder, method, ac_config, fallback=fallback, sweeps=sweeps, taps=tuple(taps), enforce_q_lims=enforce_q_lims
        )
    # one quick pass beside the solving; in a trace it has no value
    total = _total([values for values in (p, q) if not isinstance(values, jax.core.Tracer)])
    setting = labelled_setting(feeder, taps, shunts, p.shape[:-1], p.dtype)
    setting = with_steady(setting, steady_p_mw, steady_q_mvar, p.shape)
    flow = _solve(solver, (p, q, setting), chosen)
    _check_finite(total, p, q)
    return flow


def _solve(
    solver: PowerFlow, cases: tuple[Array, Array, Setting | None], fields: tuple[str, ...] | None
) -> PowerFlowResult:
    """Solve cases of any leading axes, p and q (..., n_node)."""
    p = cases[0]
    if p.ndim == 2:  # nothing to reshape, and a reshape at the top level is a copy
        return solve_cases(solver, cases, fields)
    n_axes = p.ndim - 1
    flat = jax.tree.map(lambda values: values.reshape(-1, *values.shape[n_axes:]), cases)
    flow = solve_cases(solver, flat, fields)
    return jax.tree.map(lambda leaf: leaf.reshape(p.shape[:-1] + leaf.shape[1:]), flow)


def _checked_bound(method: PowerFlow, feeder: Feeder, sweeps: bool) -> PowerFlow:
    """Check that a bound method is of this feeder, and return it, by matrix products if it shall not sweep."""
    if method.grid.topology != feeder.topology:
        raise InputError(f"the method was bound to another feeder than {feeder.name!r}; calibrate it to this one")
    return method if sweeps else method.by_products()


def _checked_injections(feeder: Feeder, p_injection_mw: ArrayLike, q_injection_mvar: ArrayLike) -> tuple[Array, Array]:
    """Check injections and return them in one shape; `power_flow` says what is refused."""
    # `asarray` takes its time with arrays that are JAX's already
    p, q = (x if isinstance(x, Array) else jnp.asarray(x) for x in (p_injection_mw, q_injection_mvar))
    if p.shape != q.shape:
        try:
            p, q = jnp.broadcast_arrays(p, q)
        except ValueError:
            raise InputError(f"p_injection_mw {p.shape} and q_injection_mvar {q.shape} do not fit together") from None
    if p.ndim == 0 or p.shape[-1] != feeder.n_bus:
        raise InputError(f"injections have shape {p.shape}; the last axis must be n_bus = {feeder.n_bus}")
    for name, values in (("p_injection_mw", p), ("q_injection_mvar", q)):
        if values.dtype.kind == "c":
            raise InputError(f"{name} is complex; give its real numbers, p and q apart")
    return p, q


def _checked_fields(fields: Sequence[str] | None) -> tuple[str, ...] | None:
    """Check names of the result's fields and return them in a tuple, one bare name too; None for all."""
    if fields is None:
        return None
    names = (fields,) if isinstance(fields, str) else tuple(fields)
    for name in names:
        if name not in PowerFlowResult.__dataclass_fields__:
            raise unknown_name("field of the result", name, PowerFlowResult.__dataclass_fields__)
    return names


def _check_finite(total: Array, p: Array, q: Array) -> None:
    """Raise for the first injection that is not finite; looks for one where the sum, `total`, is not finite."""
    if isinstance(total, jax.core.Tracer) or np.isfinite(total):
        return
    for name, values in (("p_injection_mw", p), ("q_injection_mvar", q)):
        bad = np.zeros(()) if isinstance(values, jax.core.Tracer) else ~np.isfinite(np.asarray(values))
        if bad.any():
            where = np.argwhere(bad)[0].tolist()
            raise InputError(f"{name}{where} is {values[tuple(where)]}; injections must be finite")


@jax.jit
def _total(values: list[Array]) -> Array:
    """Sum over all arrays, shape ()."""
    return sum((jnp.sum(part) for part in values), jnp.zeros(()))
