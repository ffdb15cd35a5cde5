"""Branches of the loads as their kernel takes them (`sweeps/branch_kernel.py`): models' numbers, and which parts."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jax import Array

from neomflex_jax.powerflow.network.branch_arrays import (
    COLUMNS,
    CURRENT,
    CUT_OFF,
    FED,
    LIMITED,
    LOW,
    MIXED,
    OUTSIDE,
    P_EXPONENT,
    Q_EXPONENT,
    WITHIN,
    BranchArrays,
)
from neomflex_jax.powerflow.unbalanced.admittance import LOWEST_LIMIT, NEVER, Follows
from neomflex_jax.powerflow.unbalanced.branches import Branches
from neomflex_jax.powerflow.unbalanced.network import PortNetwork


def branch_table(network: PortNetwork, branches: Branches, n_load: int, n_fed: int) -> BranchArrays:
    """Branches of a feeder with `n_load` loads and devices at `n_fed` nodes, of which a case may have none."""
    n_branch, follows = len(branches.load), branches.follows
    numbers = _numbers(network, branches)
    fed = np.full(n_branch, n_fed)
    fed[list(branches.device[:n_fed])] = np.arange(n_fed)
    needed = _flags(follows, numbers) + jnp.where(jnp.asarray(fed < n_fed), FED, 0)
    if network.within is not None:
        needed = needed + jnp.where((network.within != 0).any(axis=0), WITHIN, 0)
    return BranchArrays(
        needed.astype(jnp.int32),
        jnp.asarray(np.minimum(np.array(branches.load, int), n_load), jnp.int32),
        jnp.asarray(fed, jnp.int32),
        jnp.stack([jnp.broadcast_to(numbers.get(name, 0.0), (n_branch,)) for name in COLUMNS], axis=1),
    )


def _numbers(network: PortNetwork, branches: Branches) -> dict[str, Array]:
    """Columns that are not 0."""
    n_branch, follows = len(branches.load), branches.follows
    found = {
        "share": branches.share,
        "start_r": network.start[:n_branch],
        "start_i": network.start[n_branch:],
        "r_squared": network.r_squared,
        "own_slope": network.own_slope,
    }
    if follows.limits is not None:
        limits = follows.limits
        found |= {"v_min_squared": limits.v_min**2, "v_max_squared": limits.v_max**2}
        found |= {"high_power": 1 / limits.v_max**2, "high_current": 1 / limits.v_max}
        for name, line in (("power", limits.power_line), ("current", limits.current_line)):
            found |= {f"{name}_offset": line[0], f"{name}_slope": line[1]}
    for side, shares in (("inside", follows.inside), ("outside", follows.outside)):
        if shares is not None:
            for name, values in zip("zic", shares, strict=True):
                found |= {f"{side}_p_{name}": values[0], f"{side}_q_{name}": values[1]}
    if follows.exponent is not None:
        half = 0.5 * follows.exponent - 1
        found |= {"p_exponent": half[0], "q_exponent": half[1]}
    if follows.v_low is not None:
        found["v_low_squared"] = follows.v_low**2
    if follows.cut_off is not None:
        found["cut_off"] = follows.cut_off
    if network.within is not None:
        found |= {"within_p": network.within[0], "within_q": network.within[1]}
    return found


def _flags(follows: Follows, numbers: dict[str, Array]) -> Array:
    """What the branches' models need, (n_branch,)."""
    found = jnp.zeros(len(numbers["share"]), jnp.int32)

    def having(flag: int, where: Array) -> None:
        nonlocal found
        found = found + jnp.where(where, flag, 0)

    if follows.limits is not None:
        having(LIMITED, (follows.limits.v_min > 2 * LOWEST_LIMIT) | (follows.limits.v_max < NEVER))
    if follows.inside is not None:
        z, i, c = follows.inside
        having(MIXED, ((z != 0) | (i != 0) | (c != 1)).any(axis=0))
        sides = [shares for shares in (follows.inside, follows.outside) if shares is not None]
        having(CURRENT, jnp.stack([(shares[1] != 0).any(axis=0) for shares in sides]).any(axis=0))
    if follows.inside is not None and follows.outside is not None:
        other = [own != out for own, out in zip(follows.inside, follows.outside, strict=True)]
        if follows.exponent is not None:
            other.append(~jnp.isnan(follows.exponent))
        having(OUTSIDE, jnp.stack(other).any(axis=(0, 1)))
    if follows.exponent is not None:
        having(P_EXPONENT, ~jnp.isnan(follows.exponent[0]))
        having(Q_EXPONENT, ~jnp.isnan(follows.exponent[1]))
    if follows.v_low is not None:
        having(LOW, follows.v_low > 0)
    if follows.cut_off is not None:
        having(CUT_OFF, follows.cut_off > 0)
    return found
