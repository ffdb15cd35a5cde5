"""Branch currents of the recorded side, which a trajectory does not hold.

They are what the recorded power-flow method makes of the recorded injections, worked out again. A `calibrated` model
is fitted again as the environment fitted it. Whether this is the method that played is not assumed: its voltages must
be the recorded ones, or there are no currents.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from neomflex_jax.environment.binding import bound_power_flow
from neomflex_jax.environment.make import scenario_profiles
from neomflex_jax.errors import InputError
from neomflex_jax.grid import UnbalancedFeeder
from neomflex_jax.powerflow import PowerFlow, PowerFlowResult, power_flow
from neomflex_jax.powerflow.unbalanced import bind_unbalanced
from validation.recompute.phase_set_points import nodes_of_devices
from validation.recompute.record import Record
from validation.recompute.set_points import SetPoints
from validation.referee.grid_settings import ratios_and_shunts

SAME_VM_PU = 1e-5  # float32 sums in another order; another model is apart by far more


@dataclass(frozen=True, eq=False)
class RecordedCurrents:
    """Currents (n, n_branch) in kA, NaN where the power flow failed; None if they could not be had."""

    branch_i_ka: np.ndarray | None
    source: str


def recorded_currents(record: Record) -> RecordedCurrents:
    """Work out the currents of the method that played."""
    trajectory, feeder = record.trajectory, record.feeder
    method, scenario = trajectory.power_flow, trajectory.scenario
    if isinstance(feeder, UnbalancedFeeder):
        return _kept(record, _flow_with_phases(record, feeder))
    try:
        plain = replace(scenario, variant="").playing("train")  # a variant is played on the plain days' fit
        profiles = scenario_profiles(plain, plain.profiles)
        solver = bound_power_flow(method, feeder, plain, profiles)
    except InputError as error:
        return RecordedCurrents(None, f"not available: `{method}` cannot be set up again ({error})")
    p, q = (jnp.asarray(values, float) for values in (trajectory.p_injection_mw, trajectory.q_injection_mvar))
    points = record.set_points
    assert isinstance(points, SetPoints)
    ratios, shunts = ratios_and_shunts(scenario, points)

    def solve(solver: PowerFlow, p: Array, q: Array) -> PowerFlowResult:
        wanted = ("vm_pu", "branch_i_ka")
        return power_flow(
            feeder,
            p,
            q,
            solver,
            fields=wanted,
            tap_ratio=ratios,
            shunt_mvar=shunts,
            steady_p_mw=points.steady_p_mw,
            steady_q_mvar=points.steady_q_mvar,
        )

    return _kept(record, jax.jit(solve)(solver, p, q))


def _flow_with_phases(record: Record, feeder: UnbalancedFeeder) -> PowerFlowResult:
    """What the equations of a feeder with phases make of the recorded loads and injections."""
    trajectory, nodes = record.trajectory, nodes_of_devices(record.trajectory.scenario, feeder)
    solver = bind_unbalanced(feeder, device_nodes=[feeder.node_labels[node] for node in nodes])
    at = list(nodes)
    return solver.solve(
        jnp.asarray(trajectory.load_p_mw, float),
        jnp.asarray(trajectory.load_q_mvar, float),
        ("vm_pu", "branch_i_ka"),
        p_injection_mw=jnp.asarray(trajectory.p_injection_mw[:, at], float),
        q_injection_mvar=jnp.asarray(trajectory.q_injection_mvar[:, at], float),
    )


def _kept(record: Record, flow: PowerFlowResult) -> RecordedCurrents:
    """Take an answer's currents for the record's if its voltages are the recorded ones."""
    trajectory, method = record.trajectory, record.trajectory.power_flow
    solved = np.asarray(trajectory.converged, bool)
    apart_pu = np.abs(np.asarray(flow.vm_pu, float) - trajectory.vm_pu)[solved]
    if apart_pu.size and not apart_pu.max() <= SAME_VM_PU:
        found = f"largest difference {apart_pu.max():.1e} pu"
        return RecordedCurrents(None, f"not available: `{method}`, set up again, gives other voltages ({found})")
    branch_i_ka = np.where(solved[:, None], np.asarray(flow.branch_i_ka, float), np.nan)
    return RecordedCurrents(branch_i_ka, f"what `{method}` makes of the recorded injections; its voltages are equal")
