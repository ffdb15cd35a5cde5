"""A feeder some of whose buses have several nodes, and a power flow that answers for nodes: doubles of three phases."""

from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

import neomflex_jax as nf
from neomflex_jax.environment import Environment
from neomflex_jax.environment.binding import day_start_flow, layout_of
from neomflex_jax.environment.make import evaluation_scenario, scenario_profiles
from neomflex_jax.grid.nodes import Nodes
from neomflex_jax.scenario import load_scenario

PHASES = {0: 3, 7: 3, 16: 2, 24: 2}  # buses with several: the slack, a battery, a PV inverter, neither


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class SeveralNodes(nf.Feeder):
    """A feeder with `PHASES`."""

    @cached_property
    def nodes(self) -> Nodes:
        """Labels as OpenDSS has them."""
        phases = [(bus, phase) for bus in self.bus_labels for phase in range(1, PHASES.get(bus, 1) + 1)]
        return Nodes(tuple(f"{bus}.{phase}" for bus, phase in phases), tuple(bus for bus, _ in phases))


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class NodeFlow:
    """A voltage at each node that depends on what is injected there, and nothing else."""

    feeder: SeveralNodes
    method = "double"

    def __call__(self, p_injection_mw: Array, q_injection_mvar: Array, setting: None = None) -> nf.PowerFlowResult:
        """Solve one case; injections (n_node,), and no settings of taps."""
        at_slack = self.feeder.nodes.bus_position == self.feeder.topology.slack
        phase = jnp.arange(self.feeder.n_node) % 3
        vm_pu = jnp.where(at_slack, 1.0, 0.98 - 0.02 * phase + 0.05 * p_injection_mw + 0.03 * q_injection_mvar)
        branch, nothing = jnp.zeros(self.feeder.topology.n_branch), jnp.zeros(())
        return nf.PowerFlowResult(
            vm_pu=vm_pu,
            va_degree=jnp.zeros_like(vm_pu),
            loss_mw=nothing,
            slack_p_mw=-p_injection_mw.sum(),
            slack_q_mvar=-q_injection_mvar.sum(),
            branch_i_ka=branch,
            branch_loading_percent=branch,
            converged=jnp.ones((), bool),
            residual_mva=nothing,
            iterations=jnp.zeros((), jnp.int32),
        )


def feeder_of_several_nodes(balanced: nf.Feeder) -> SeveralNodes:
    """The balanced feeder with each bus's load spread unequally over its nodes."""
    own = {field.name: getattr(balanced, field.name) for field in fields(balanced)}
    nodes = SeveralNodes(**own).nodes
    weight = np.arange(1.0, len(nodes) + 1)
    share = weight / np.bincount(nodes.bus_position, weight)[nodes.bus_position]
    own |= {name: own[name][nodes.bus_position] * share for name in ("load_p_mw", "load_q_mvar")}
    return SeveralNodes(**own)


def environment_of_several_nodes(profiles: Path) -> Environment:
    """`neom33` as it is judged, on the doubles."""
    scenario = evaluation_scenario(load_scenario("neom33"))
    host = feeder_of_several_nodes(nf.load_feeder("case33bw"))
    days = scenario_profiles(scenario, profiles)
    feeder: SeveralNodes = jax.tree.map(jnp.asarray, host)
    flow = NodeFlow(feeder)
    return Environment(
        feeder, days, scenario, layout_of(scenario, host), False, flow, day_start_flow(feeder, days, flow)
    )
