"""The coefficients of `calibrated.py`, fitted to AC power flows.

Least squares, branch by branch: ``|J|^2`` of the exact currents on ``|J0|^2 (1, Re J0, Im J0)`` of the lossless ones,
with a ridge that keeps LinDistFlow where the samples show nothing. An error counts by its share of ``|J0|^2``, or else
the heaviest flows alone would decide, and the light ones of a good policy's day would seem to lose less than they do.
"""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from neomflex_jax.errors import InputError
from neomflex_jax.grid.feeder import Feeder
from neomflex_jax.powerflow.methods.ac import Ac
from neomflex_jax.powerflow.methods.calibrated import Calibrated
from neomflex_jax.powerflow.methods.linear import enter_linear, keep_voltages, linear_flows
from neomflex_jax.powerflow.methods.results import bus_current
from neomflex_jax.powerflow.network.per_unit import PerUnitFeeder
from neomflex_jax.powerflow.result import PowerFlowResult

SAMPLE_VALUES = 2_000_000  # buses times samples of a fit around the loads: some 100 MB of features
LIGHT = 0.05  # of the mean |J0|^2: much lighter flows count no more than this one
RIDGE = 1e-5  # relative to each feature's sum of squares
TINY = 1e-30


@jax.jit
def fit_to_ac(
    grid: PerUnitFeeder, exact_grid: PerUnitFeeder, p_samples_mw: Array, q_samples_mvar: Array
) -> tuple[Calibrated, Array]:
    """Fit on sampled injections, shapes (n_samples, n_bus); those without an AC solution are left out.

    `grid` is what the fit is for, `exact_grid` the same feeder in the form that `ac` takes.

    Returns
    -------
    fitted, n_used
        The method with its coefficients, and the number of samples that they rest on, shape ().
    """
    exact = jax.vmap(partial(Ac().solve, exact_grid))(p_samples_mw, q_samples_mvar)
    vm = (exact.vm_pu if grid.scale is None else exact.vm_pu * grid.scale[0])[:, grid.topology.non_slack]
    keep = exact.converged
    vm_squared = jnp.where(keep[:, None], vm**2, 0.0)
    mean_vm_squared = vm_squared.sum(axis=0) / jnp.maximum(keep.sum(), 1)

    def lossless(p: Array, q: Array) -> tuple[Array, Array]:
        p, q = enter_linear(grid, p, q, mean_vm_squared)
        return linear_flows(grid, p, keep_voltages(grid, p, q)[0])

    of_samples = (
        *jax.vmap(lossless)(p_samples_mw, q_samples_mvar),
        jax.vmap(partial(_squared_currents, grid))(p_samples_mw, q_samples_mvar, exact),
    )
    jr, ji, squared = (jnp.where(keep[:, None], part, 0.0) for part in of_samples)
    return Calibrated(_gains(jr, ji, squared, keep), mean_vm_squared), keep.sum()


def _squared_currents(grid: PerUnitFeeder, p_mw: Array, q_mvar: Array, exact: PowerFlowResult) -> Array:
    """Squared currents of the series impedances, (n_branch,), of an exact result."""
    vm, va = exact.vm_pu, jnp.deg2rad(exact.va_degree)
    if grid.scale is not None:
        vm, va = vm * grid.scale[0], va + grid.scale[1]
    if grid.generators is not None and exact.held_q_mvar is not None:
        p_mw = grid.generators.producing(p_mw)
        q_mvar = q_mvar.at[np.array(grid.generators.bus)].add(exact.held_q_mvar)
    others, enter = grid.topology.non_slack, grid.network.enter
    p, q = enter(grid.without_slack(p_mw)), enter(grid.without_slack(q_mvar))
    wr, wi = grid.network.no_load
    rise_r, rise_i = (
        enter(part[others] - grid.network.leave(w)) for part, w in ((vm * jnp.cos(va), wr), (vm * jnp.sin(va), wi))
    )
    jr, ji = grid.network.flows(*bus_current(grid, p, q, wr + rise_r, wi + rise_i))
    return jr**2 + ji**2


def _gains(jr: Array, ji: Array, squared: Array, keep: Array) -> Array:
    """Coefficients (3, n_branch) from currents (n_samples, n_branch) of the samples to keep."""
    lossless = jr**2 + ji**2
    usual = lossless.sum(axis=0) / jnp.maximum(keep.sum(), 1)
    weight = keep[:, None] / (lossless + LIGHT * usual + TINY)
    features = jnp.stack([lossless, lossless * jr, lossless * ji], axis=-1)
    scale = jnp.sqrt(jnp.einsum("nb,nbi->bi", weight, features**2))
    inverse = jnp.where(scale > 0, 1.0 / jnp.where(scale > 0, scale, 1.0), 0.0)  # nothing flows: nothing to add
    scaled = features * inverse
    gram = jnp.einsum("nb,nbi,nbj->bij", weight, scaled, scaled) + RIDGE * jnp.eye(3, dtype=scaled.dtype)
    missing = jnp.einsum("nb,nbi,nb->bi", weight, scaled, squared - lossless)
    more = jnp.linalg.solve(gram, missing[..., None])[..., 0] * inverse
    return more.T + jnp.array([1.0, 0.0, 0.0], more.dtype)[:, None]


def samples_around_loads(feeder: Feeder) -> tuple[np.ndarray, np.ndarray]:
    """Return injections p and q, (n_samples, n_node): every load times -1 to 2, by a fixed seed."""
    n_samples = min(4096, max(512, SAMPLE_VALUES // feeder.n_bus))
    factors = np.random.default_rng(0).uniform(-1.0, 2.0, (2, n_samples, feeder.n_bus))
    return -factors[0] * feeder.load_p_mw, -factors[1] * feeder.load_q_mvar


def checked_samples(
    feeder: Feeder, p_samples_mw: ArrayLike, q_samples_mvar: ArrayLike
) -> tuple[np.ndarray, np.ndarray]:
    """Check samples and return them in float64; `calibrate` says what is refused."""
    p, q = (np.asarray(samples, dtype=float) for samples in (p_samples_mw, q_samples_mvar))
    for name, samples in (("p_samples_mw", p), ("q_samples_mvar", q)):
        if samples.ndim != 2 or samples.shape[1] != feeder.n_bus or samples.shape != p.shape:
            raise InputError(f"{name} has shape {samples.shape}; expected (n_samples, {feeder.n_bus})")
        if not np.isfinite(samples).all():
            raise InputError(f"{name} holds NaN or infinite values")
    if len(p) == 0:
        raise InputError("there is no sample to fit to; give some hundreds at least")
    return p, q
