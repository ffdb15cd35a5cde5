"""Branches of all loads in arrays: between which nodes they lie, whose they are, how they follow the voltage."""

from __future__ import annotations

from dataclasses import dataclass, field

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from neomflex_jax.grid.parts import STATIC
from neomflex_jax.grid.unbalanced.feeder import UnbalancedFeeder
from neomflex_jax.one_line import one_line
from neomflex_jax.powerflow.unbalanced.admittance import Follows, follows_of


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class Branches:
    """What a power flow needs of the loads; arrays run over their branches."""

    share: Array  # (n_branch,) of the load's power
    follows: Follows
    load: tuple[int, ...] = field(metadata=STATIC)  # (n_branch,) position of the load

    __repr__ = one_line

    def of_loads(self, values: Array) -> Array:
        """Share out what loads have, (..., n_load) -> (..., n_branch)."""
        return values[..., np.array(self.load, int)] * self.share


def branches_of(feeder: UnbalancedFeeder) -> Branches:
    """Branches of a feeder's loads."""
    owners = [number for number, load in enumerate(feeder.loads) for _ in load.branches]
    models = [feeder.loads[owner].model for owner in owners]
    share = [1 / feeder.loads[owner].n_phases for owner in owners]
    return Branches(jnp.asarray(share, float), follows_of(models), tuple(owners))


def ends_of(feeder: UnbalancedFeeder) -> tuple[np.ndarray, np.ndarray]:
    """Nodes of all branches, (n_branch, 2) with -1 for ground, and their nominal voltages in kV."""
    pairs = [pair for load in feeder.loads for pair in load.branches]
    kv = [load.v_nominal_kv for load in feeder.loads for _ in load.branches]
    return np.array(pairs, int).reshape(-1, 2), np.array(kv, float)


def nominal_of(feeder: UnbalancedFeeder) -> np.ndarray:
    """Nominal powers of all branches in MVA, (n_branch,) complex."""
    powers = [complex(load.p_mw, load.q_mvar) / load.n_phases for load in feeder.loads for _ in load.branches]
    return np.array(powers, complex)
