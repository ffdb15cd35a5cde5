"""LinDistFlow corrected by least squares on AC answers: the surrogate to train on.

``v^2 = lindistflow(p, q) + A [p; q] + C s + b``, with ``s_b = P_b^2 + Q_b^2`` of the `CURVED` branches that lose most,
P and Q the lossless branch flows: the losses that LinDistFlow leaves out of the voltages. Losses are LinDistFlow's plus
``sum_b (w_b P_b^2 + u_b Q_b^2) + affine(P_b, Q_b)``. All coefficients minimise the squared error against `ac` on given
injections, with a ridge that keeps LinDistFlow in directions the samples do not show (all loads moving together, say);
in two more passes, samples with far larger errors than most get more weight, which brings the largest error down at
little cost to the mean one. On feeders of more than `RANK` buses A and C together have that rank, for the errors of all
buses move together. Per unit, injections positive into the grid. Branch currents and angles are LinDistFlow's.
Source of the idea: affine fits of power-flow data, Y. Liu et al., "Data-driven power flow linearization", IEEE Trans.
Smart Grid 10(3), 2019; of the low rank, reduced-rank regression, A. J. Izenman, J. Multivariate Analysis 5, 1975.

Good on injections like those it was fitted to, and nowhere else: fit it on the scenario's own. Its errors have both
signs, and an optimiser finds those that flatter it. Not for final numbers; validate against AC.
"""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jax import Array

from neomflex_jax.powerflow.ac import AcConfig, solve_ac
from neomflex_jax.powerflow.answer import root_or_nan
from neomflex_jax.powerflow.dense import DenseNetwork
from neomflex_jax.powerflow.lindistflow import solve_lindistflow, squared_voltages
from neomflex_jax.powerflow.linear import enter_linear, linear_answer, linear_flows
from neomflex_jax.powerflow.per_unit import PerUnitFeeder
from neomflex_jax.powerflow.result import PowerFlowResult

TAIL, TAIL_PASSES = 4.0, 2  # samples whose error is some times the mean one count more in another fit
TINY = 1e-30
CURVED = 16  # branches; on case33bw half as many leave four times the error
RANK = 64  # of the correction on large feeders
RIDGE = 1e-2  # relative to each feature's variance: keeps the normal equations well-conditioned in float32


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class CalibratedFit:
    """Coefficients of the corrections to LinDistFlow."""

    vm_squared_factors: tuple[Array, Array]  # F (2 n + CURVED, rank) on [p, q, s] and G (rank, n), n = n_bus - 1
    vm_squared_offset: Array  # (n,)
    flow_matrix: Array  # (2 n, 2 CURVED) flows P and Q of the branches in s on [p, q]
    flow_offset: Array  # (2 CURVED,)
    loss_matrix: Array  # (4 n_branch, 2) active and reactive losses on `_loss_features`
    loss_offset: Array  # (2,)


def _loss_features(grid: PerUnitFeeder, p: Array, q: Array) -> Array:
    flow_p, flow_q = linear_flows(grid, p, q)
    return jnp.concatenate([flow_p**2, flow_q**2, flow_p, flow_q])


def _losses(grid: PerUnitFeeder, fit: CalibratedFit, p: Array, q: Array, kind: int) -> Array:
    """Active (kind 0) or reactive (1) losses: LinDistFlow's and their correction, in one pass over the branches."""
    flow_p, flow_q = linear_flows(grid, p, q)
    of_p_squared, of_q_squared, of_p, of_q = fit.loss_matrix[:, kind].reshape(4, -1)
    impedance = (grid.r, grid.x)[kind]
    by_branch = flow_p * (flow_p * (impedance + of_p_squared) + of_p)
    by_branch += flow_q * (flow_q * (impedance + of_q_squared) + of_q)
    return jnp.sum(by_branch) + fit.loss_offset[kind]


def solve_calibrated(
    grid: PerUnitFeeder, fit: CalibratedFit, p_injection_mw: Array, q_injection_mvar: Array
) -> PowerFlowResult:
    """Solve one case, shapes (n_bus,)."""
    network, (factor, spread) = grid.network, fit.vm_squared_factors
    of_injections, of_losses = jnp.split(factor, [len(fit.flow_matrix)])
    p, q = enter_linear(grid, p_injection_mw, q_injection_mvar)
    linear_vm_squared, va = squared_voltages(grid, p, q)
    plain = jnp.concatenate([network.leave(p), network.leave(q)])
    if isinstance(network, DenseNetwork):  # one matrix and one product
        n = network.n
        matrix = 2.0 * jnp.concatenate([network.r[:n, :n], network.x[:n, :n]]) + of_injections @ spread
        wr, wi = (network.leave(part) for part in network.no_load)
        linear, flows = jnp.split(plain @ jnp.concatenate([matrix, fit.flow_matrix], axis=1), [n])
        vm_squared = wr**2 + wi**2 + linear
    else:
        vm_squared, flows = linear_vm_squared + (plain @ of_injections) @ spread, plain @ fit.flow_matrix
    vm_squared = vm_squared + fit.vm_squared_offset + (_squares(flows + fit.flow_offset) @ of_losses) @ spread
    return linear_answer(
        grid,
        p_injection_mw,
        q_injection_mvar,
        vm=root_or_nan(vm_squared),
        va=va,
        loss=_losses(grid, fit, p, q, 0),
        q_loss=_losses(grid, fit, p, q, 1),
    )


@jax.jit
def fit_to_ac(grid: PerUnitFeeder, p_samples_mw: Array, q_samples_mvar: Array) -> tuple[CalibratedFit, Array]:
    """Fit on sampled injections, shapes (n_samples, n_bus); those without an AC solution are left out.

    Returns
    -------
    fit, n_used
        The coefficients and the number of samples they rest on.
    """
    exact = jax.vmap(lambda p, q: solve_ac(grid, p, q, AcConfig()))(p_samples_mw, q_samples_mvar)
    linear = jax.vmap(lambda p, q: solve_lindistflow(grid, p, q))(p_samples_mw, q_samples_mvar)
    p, q = jax.vmap(lambda p, q: enter_linear(grid, p, q))(p_samples_mw, q_samples_mvar)
    keep = exact.converged & linear.converged

    u_scale = 1.0 if grid.scale is None else grid.scale[0]
    error = ((u_scale * exact.vm_pu) ** 2 - (u_scale * linear.vm_pu) ** 2)[:, grid.topology.non_slack]
    error = jnp.where(keep[:, None], error, 0.0)
    leave = jax.vmap(grid.network.leave)
    spread = _main_directions(error, RANK)
    plain, target = jnp.concatenate([leave(p), leave(q)], axis=1), error @ spread.T
    flow_matrix, flow_offset = _main_flows(grid, p, q, keep)
    features = jnp.concatenate([plain, _squares(plain @ flow_matrix + flow_offset)], axis=1)
    weight = keep.astype(error.dtype)
    factor, offset = _ridge_regression(features, target, weight)
    for _ in range(TAIL_PASSES):
        left = jnp.max(jnp.abs(error - (features @ factor + offset) @ spread), axis=1) * keep
        usual = left.sum() / jnp.maximum(keep.sum(), 1)
        weight = weight * (1.0 + (left / jnp.maximum(TAIL * usual, TINY)) ** 4)
        weight = weight / jnp.max(weight, initial=1.0)
        factor, offset = _ridge_regression(features, target, weight)

    # the same charging and shunts are in both, at voltages a little apart: the fit takes up the difference
    loss_error = jnp.stack([exact.loss_mw - linear.loss_mw, exact.slack_q_mvar - linear.slack_q_mvar], axis=1)
    features = jax.vmap(lambda p, q: _loss_features(grid, p, q))(p, q)
    loss_matrix, loss_offset = _ridge_regression(features, loss_error / grid.s_base_mva, keep.astype(error.dtype))
    voltages = (factor, spread), offset @ spread, flow_matrix, flow_offset
    return CalibratedFit(*voltages, loss_matrix, loss_offset), keep.sum()


def _squares(flows: Array) -> Array:
    """``P^2 + Q^2`` of flows (..., 2 n), the n P before the n Q."""
    flow_p, flow_q = jnp.split(flows, 2, axis=-1)
    return flow_p**2 + flow_q**2


def _main_flows(grid: PerUnitFeeder, p: Array, q: Array, keep: Array) -> tuple[Array, Array]:
    """Flows of the branches that lose most on the samples to keep, as an affine map of [p, q]."""
    flow_p, flow_q = jax.vmap(lambda p, q: linear_flows(grid, p, q))(p, q)
    lost = grid.r * jnp.sum(jnp.where(keep[:, None], flow_p**2 + flow_q**2, 0.0), axis=0)
    _, main = jax.lax.top_k(lost, min(CURVED, len(lost)))

    def flows(plain: Array) -> Array:
        pair = linear_flows(grid, *(grid.network.enter(part) for part in jnp.split(plain, 2)))
        return jnp.concatenate([part[main] for part in pair])

    nothing = jnp.zeros(2 * (grid.topology.n_bus - 1), lost.dtype)
    offset, linear = jax.linearize(flows, nothing)
    columns = jax.vmap(jax.linear_transpose(linear, nothing))(jnp.eye(len(offset), dtype=lost.dtype))
    return columns[0].T, offset


def _main_directions(errors: Array, rank: int) -> Array:
    """Orthonormal rows (rank or n, n) that span most of the errors (n_samples, n): a subspace iteration."""
    n = errors.shape[1]
    if n <= rank:
        return jnp.eye(n, dtype=errors.dtype)
    start = jax.random.normal(jax.random.key(0), (n, rank), errors.dtype)
    for _ in range(2):
        start, _ = jnp.linalg.qr(errors.T @ (errors @ start))
    return start.T


def _ridge_regression(features: Array, targets: Array, weight: Array) -> tuple[Array, Array]:
    """Coefficients (n_features, n_targets) and offsets of a ridge fit on standardised features, rows weighted."""
    weight = weight / jnp.maximum(weight.sum(), TINY)
    features = jnp.where(weight[:, None] > 0, features, 0.0)
    targets = jnp.where(weight[:, None] > 0, targets, 0.0)
    feature_mean, target_mean = weight @ features, weight @ targets
    centred = features - feature_mean
    scale = jnp.sqrt(weight @ centred**2)
    varies = scale > 1e-5 * jnp.abs(feature_mean)  # a constant feature gets no say, whatever its size
    inverse_scale = jnp.where(varies, 1.0 / jnp.where(varies, scale, 1.0), 0.0)
    root_weight = jnp.sqrt(weight)[:, None]
    scaled, missing = root_weight * centred * inverse_scale, root_weight * (targets - target_mean)
    n_samples, n_features = scaled.shape
    ridge = RIDGE * jnp.eye(min(n_samples, n_features), dtype=features.dtype)
    if n_features <= n_samples:
        matrix = jax.scipy.linalg.solve(scaled.T @ scaled + ridge, scaled.T @ missing, assume_a="pos")
    else:  # the same coefficients from the smaller system
        matrix = scaled.T @ jax.scipy.linalg.solve(scaled @ scaled.T + ridge, missing, assume_a="pos")
    matrix = matrix * inverse_scale[:, None]
    return matrix, target_mean - feature_mean @ matrix
