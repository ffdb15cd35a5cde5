"""A power-flow method bound to a feeder: the one thing the environment calls."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from neomflex_jax.errors import InputError, unknown_name
from neomflex_jax.grid.feeder import Feeder
from neomflex_jax.grid.parts import STATIC
from neomflex_jax.jax_settings import nan_is_a_value, platform_is_there
from neomflex_jax.powerflow.batch import solve_cases
from neomflex_jax.powerflow.methods.ac import AcConfig, solve_ac
from neomflex_jax.powerflow.methods.calibrated import CalibratedFit, solve_calibrated
from neomflex_jax.powerflow.methods.calibrated_fit import fit_to_ac
from neomflex_jax.powerflow.methods.dc import solve_dc
from neomflex_jax.powerflow.methods.lindistflow import solve_lindistflow
from neomflex_jax.powerflow.methods.newton import solve_newton
from neomflex_jax.powerflow.network.per_unit import PerUnitFeeder, per_unit
from neomflex_jax.powerflow.network.tree import TreeNetwork
from neomflex_jax.powerflow.result import PowerFlowResult

SAMPLE_VALUES = 2_000_000  # buses times samples of a fit around the loads: some 100 MB of features
METHODS = ("ac", "calibrated", "dc", "lindistflow", "newton")


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class PowerFlow:
    """A method with everything it needs, as a pytree. Build it with `bind` or `calibrate`."""

    grid: PerUnitFeeder
    fit: CalibratedFit | None
    method: str = field(metadata=STATIC)
    ac_config: AcConfig = field(default=AcConfig(), metadata=STATIC)

    def __repr__(self) -> str:
        return f"PowerFlow({self.method!r}, {self.grid.topology.n_bus} buses, {type(self.grid.network).__name__})"

    @nan_is_a_value()
    def __call__(self, p_injection_mw: Array, q_injection_mvar: Array) -> PowerFlowResult:
        """Solve one case: injections positive into the grid, shapes (n_bus,)."""
        # never below the precision of the impedances, which is single or double
        dtype = jnp.result_type(p_injection_mw, q_injection_mvar, self.grid.r)
        p_injection_mw, q_injection_mvar = (jnp.asarray(values, dtype) for values in (p_injection_mw, q_injection_mvar))
        with jax.default_matmul_precision("highest"):  # accelerators would round float32 products to 10 bits
            flow = self._solve(p_injection_mw, q_injection_mvar)
        slack = self.grid.topology.slack  # what is at the slack's bus moves its import and nothing else
        return replace(
            flow,
            slack_p_mw=flow.slack_p_mw - p_injection_mw[slack],
            slack_q_mvar=flow.slack_q_mvar - q_injection_mvar[slack],
        )

    @nan_is_a_value()
    def on(self, feeder: Feeder) -> PowerFlow:
        """Give the same method on other impedances, traced ones perhaps, of the same topology; a fit stays as it is."""
        form = "tree" if isinstance(self.grid.network, TreeNetwork) else "dense"
        grid = per_unit(feeder, form, lossless=self.method == "dc")
        return replace(self, grid=replace(grid, swept=self.grid.swept))

    def _solve(self, p_injection_mw: Array, q_injection_mvar: Array) -> PowerFlowResult:
        if self.method == "ac":
            return solve_ac(self.grid, p_injection_mw, q_injection_mvar, self.ac_config)
        if self.method == "newton":
            return solve_newton(self.grid, p_injection_mw, q_injection_mvar, self.ac_config)
        if self.method == "lindistflow":
            return solve_lindistflow(self.grid, p_injection_mw, q_injection_mvar)
        if self.method == "dc":
            return solve_dc(self.grid, p_injection_mw, q_injection_mvar)
        assert self.fit is not None  # `bind` and `calibrate` see to it
        return solve_calibrated(self.grid, self.fit, p_injection_mw, q_injection_mvar)


def check_method(method: str) -> str:
    """Return the name if there is such a method, raise `InputError` if not."""
    if method not in METHODS:
        raise unknown_name("power-flow method", method, METHODS)
    return method


@platform_is_there()
@nan_is_a_value()
def bind(feeder: Feeder, method: str = "ac", ac_config: AcConfig = AcConfig(), *, network: str = "auto") -> PowerFlow:
    """Bind a method, by name, to a feeder; `calibrated` is fitted around the feeder's own loads.

    `network` is the form of the impedances: `dense`, `tree` or `sweep` (radial feeders), or `auto` for the fastest.

    Raises
    ------
    InputError
        If there is no such method or form, or a tree is asked for and the feeder has a loop.
    """
    if check_method(method) == "calibrated":
        return calibrate(feeder, *_samples_around_loads(feeder), network=network)
    grid = per_unit(feeder, network, lossless=method == "dc")
    return PowerFlow(replace(grid, swept=grid.swept and method == "ac"), None, method, ac_config)


@platform_is_there()
@nan_is_a_value()
def calibrate(
    feeder: Feeder, p_samples_mw: ArrayLike, q_samples_mvar: ArrayLike, *, network: str = "auto"
) -> PowerFlow:
    """Fit the `calibrated` method to AC on sampled injections, shapes (n_samples, n_bus), positive into the grid.

    `network` as in `bind`.

    Raises
    ------
    InputError
        If the samples have another shape, hold NaN or infinite values, or none of them has an AC solution.
    """
    if any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves((feeder, p_samples_mw, q_samples_mvar))):
        raise InputError(
            "`calibrated` is fitted outside jit, grad and vmap: calibrate first, then pass the fitted method"
        )
    p, q = (np.asarray(samples, dtype=float) for samples in (p_samples_mw, q_samples_mvar))
    for name, samples in (("p_samples_mw", p), ("q_samples_mvar", q)):
        if samples.ndim != 2 or samples.shape[1] != feeder.n_bus or samples.shape != p.shape:
            raise InputError(f"{name} has shape {samples.shape}; expected (n_samples, {feeder.n_bus})")
        if not np.isfinite(samples).all():
            raise InputError(f"{name} holds NaN or infinite values")
    if len(p) == 0:
        raise InputError("there is no sample to fit to; give some hundreds at least")
    grid = per_unit(feeder, network)
    with jax.default_matmul_precision("highest"):
        fit, n_used = fit_to_ac(grid, p, q)
    concrete = not isinstance(n_used, jax.core.Tracer)  # no tracer among the samples, and yet inside a jit
    if concrete and n_used == 0:
        raise InputError(f"none of the {len(p)} samples has an AC solution; give injections that the feeder can carry")
    if concrete and not all(bool(jnp.isfinite(leaf).all()) for leaf in jax.tree.leaves(fit)):
        raise InputError(f"the fit to {len(p)} samples is not finite; give more, or more different, samples")
    return PowerFlow(grid, fit, "calibrated")


@platform_is_there()
@nan_is_a_value()
def power_flow(
    feeder: Feeder,
    p_injection_mw: ArrayLike,
    q_injection_mvar: ArrayLike,
    method: str | PowerFlow = "ac",
    ac_config: AcConfig = AcConfig(),
    fields: Sequence[str] | None = None,
) -> PowerFlowResult:
    """Solve the power flow of a feeder for one case or any batch of them.

    Parameters
    ----------
    feeder
        The grid; its nominal loads are not added to the injections.
    p_injection_mw, q_injection_mvar
        Net injections, positive into the grid, shape (..., n_bus); the slack's own entry moves the
        slack's import alone.
    method
        `ac`, `newton`, `calibrated`, `lindistflow`, `dc`, or a bound method from `bind` or `calibrate`, which
        answers for the impedances and in the precision that it was bound with.
    ac_config
        Tolerance and iteration limit of `ac` and `newton`.
    fields
        What is needed of the result, `("vm_pu", "converged")` say; the rest is None and is not computed, which for
        large batches more than doubles the speed. None gives all.

    Returns
    -------
    PowerFlowResult
        Fields with the same leading axes. Failure is a value: look at `converged` and `residual_mva`.

    Raises
    ------
    InputError
        On an unknown method or field, or a last axis of another length; outside jit also on NaN or infinite injections.
    """
    p, q = _checked_injections(feeder, p_injection_mw, q_injection_mvar)
    fields = (fields,) if isinstance(fields, str) else fields
    for name in fields or ():
        if name not in PowerFlowResult.__dataclass_fields__:
            raise unknown_name("field of the result", name, PowerFlowResult.__dataclass_fields__)
    solver = method if isinstance(method, PowerFlow) else bind(feeder, method, ac_config)
    if solver.grid.topology != feeder.topology:
        raise InputError(f"the method was bound to another feeder than {feeder.name!r}; calibrate it to this one")
    chosen = None if fields is None else tuple(fields)
    # one quick pass beside the solving; in a trace it has no value
    total = _total([values for values in (p, q) if not isinstance(values, jax.core.Tracer)])
    if p.ndim == 2:  # nothing to reshape, and a reshape at the top level is a copy
        flow = solve_cases(solver, p, q, chosen)
    else:
        flow = solve_cases(solver, p.reshape(-1, feeder.n_bus), q.reshape(-1, feeder.n_bus), chosen)
        flow = jax.tree.map(lambda leaf: leaf.reshape(p.shape[:-1] + leaf.shape[1:]), flow)
    _check_finite(total, p, q)
    return flow


def _checked_injections(feeder: Feeder, p_injection_mw: ArrayLike, q_injection_mvar: ArrayLike) -> tuple[Array, Array]:
    """Bring injections to one shape and precision; `power_flow` says what is refused."""
    p, q = jnp.asarray(p_injection_mw), jnp.asarray(q_injection_mvar)
    if p.shape != q.shape:
        try:
            p, q = jnp.broadcast_arrays(p, q)
        except ValueError:
            raise InputError(f"p_injection_mw {p.shape} and q_injection_mvar {q.shape} do not fit together") from None
    if p.ndim == 0 or p.shape[-1] != feeder.n_bus:
        raise InputError(f"injections have shape {p.shape}; the last axis must be n_bus = {feeder.n_bus}")
    for name, values in (("p_injection_mw", p), ("q_injection_mvar", q)):
        if jnp.iscomplexobj(values):
            raise InputError(f"{name} is complex; give its real numbers, p and q apart")
    return p, q


def _check_finite(total: Array, p: Array, q: Array) -> None:
    """Look for what is not finite where the sum of all injections is not, by an overflow perhaps."""
    if isinstance(total, jax.core.Tracer) or np.isfinite(total):
        return
    for name, values in (("p_injection_mw", p), ("q_injection_mvar", q)):
        bad = np.zeros(()) if isinstance(values, jax.core.Tracer) else ~np.isfinite(np.asarray(values))
        if bad.any():
            where = np.argwhere(bad)[0].tolist()
            raise InputError(f"{name}{where} is {values[tuple(where)]}; injections must be finite")


@jax.jit
def _total(values: list[Array]) -> Array:
    return sum((jnp.sum(part) for part in values), jnp.zeros(()))


def _samples_around_loads(feeder: Feeder) -> tuple[np.ndarray, np.ndarray]:
    """Every load scaled by itself, -1 to 2 times its nominal value (reverse flow included), by a fixed seed."""
    n_samples = min(4096, max(512, SAMPLE_VALUES // feeder.n_bus))
    factors = np.random.default_rng(0).uniform(-1.0, 2.0, (2, n_samples, feeder.n_bus))
    return -factors[0] * feeder.load_p_mw, -factors[1] * feeder.load_q_mvar
