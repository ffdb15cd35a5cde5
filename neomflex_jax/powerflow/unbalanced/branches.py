"""Branches of all loads in arrays: between which nodes they lie, whose they are, how they follow the voltage.

What devices feed in at nodes is constant power between a node and ground. Where a load's branch lies there already, it
takes that along, for the fixed point is as dear as it has branches; elsewhere there is a branch without a load.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from neomflex_jax.errors import unknown_name
from neomflex_jax.grid.parts import STATIC
from neomflex_jax.grid.unbalanced.element import GROUND
from neomflex_jax.grid.unbalanced.feeder import UnbalancedFeeder
from neomflex_jax.grid.unbalanced.load import Load
from neomflex_jax.one_line import one_line
from neomflex_jax.powerflow.network.branch_arrays import Case as Case
from neomflex_jax.powerflow.unbalanced.admittance import Follows, follows_of


class Consumption(NamedTuple):
    """What branches draw, (n_branch, ...) in MW and Mvar."""

    p: Array  # nominal: it follows the voltage as the branch's model says
    q: Array
    steady_p: Array | None = None  # beside it, at any voltage; None: nothing
    steady_q: Array | None = None


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class Branches:
    """What a power flow needs of the loads; arrays run over their branches."""

    share: Array  # (n_branch,) of the load's power
    follows: Follows
    load: tuple[int, ...] = field(metadata=STATIC)  # (n_branch,) position of the load, n_load without one
    device: tuple[int, ...] = field(metadata=STATIC)  # (n_device_node,) branch of each node at which devices feed in

    __repr__ = one_line

    def of_loads(self, values: Array) -> Array:
        """Share out what loads have, (n_load,) -> (n_branch,)."""
        owner = np.array(self.load, int)
        if (owner >= values.shape[0]).any():
            values = jnp.append(values, jnp.zeros((), values.dtype))
        return values[owner] * self.share

    def consumption(self, case: Case) -> Consumption:
        """What branches draw at loads (n_load,) and injections (n_device_node,)."""
        load_p_mw, load_q_mvar, p_injection_mw, q_injection_mvar = case
        p, q = self.of_loads(load_p_mw), self.of_loads(load_q_mvar)
        if p_injection_mw is None or q_injection_mvar is None:
            return Consumption(p, q)
        at = np.zeros((len(self.device), len(self.load)))
        at[np.arange(len(self.device)), np.array(self.device, int)] = -1.0
        steady_p, steady_q = (values @ jnp.asarray(at, values.dtype) for values in (p_injection_mw, q_injection_mvar))
        if self.follows.inside is None and self.follows.limits is None and self.follows.cut_off is None:
            return Consumption(p + steady_p, q + steady_q)
        return Consumption(p, q, steady_p, steady_q)


def with_device_branches(
    feeder: UnbalancedFeeder, device_nodes: Sequence[int | str]
) -> tuple[UnbalancedFeeder, tuple[int, ...]]:
    """Feeder with a branch between each of the labelled nodes and ground, and which branches these are."""
    ends = [pair for load in feeder.loads for pair in load.branches]
    place = {label: number for number, label in enumerate(feeder.node_labels)}
    loads, found = list(feeder.loads), []
    for label in device_nodes:
        if label not in place:
            raise unknown_name("node", str(label), list(map(str, feeder.node_labels)))
        pair = (place[label], GROUND)
        if pair not in ends:
            loads.append(Load(f"device.{label}", pair, 1, "wye", float(feeder.v_base_kv[pair[0]]), 0.0, 0.0))
            ends.append(pair)
        found.append(ends.index(pair))
    return replace(feeder, loads=tuple(loads)), tuple(found)


def branches_of(feeder: UnbalancedFeeder, device: tuple[int, ...] = ()) -> Branches:
    """Branches of a feeder's loads, and which of them are `device`'s."""
    owners = [number for number, load in enumerate(feeder.loads) for _ in load.branches]
    models = [feeder.loads[owner].model for owner in owners]
    share = [1 / feeder.loads[owner].n_phases for owner in owners]
    return Branches(jnp.asarray(share, float), follows_of(models), tuple(owners), device)


def ends_of(feeder: UnbalancedFeeder) -> tuple[np.ndarray, np.ndarray]:
    """Nodes of all branches, (n_branch, 2) with -1 for ground, and their nominal voltages in kV."""
    pairs = [pair for load in feeder.loads for pair in load.branches]
    kv = [load.v_nominal_kv for load in feeder.loads for _ in load.branches]
    return np.array(pairs, int).reshape(-1, 2), np.array(kv, float)


def nominal_of(feeder: UnbalancedFeeder) -> np.ndarray:
    """Nominal powers of all branches in MVA, (n_branch,) complex."""
    powers = [complex(load.p_mw, load.q_mvar) / load.n_phases for load in feeder.loads for _ in load.branches]
    return np.array(powers, complex)
