"""A feeder's branches and shunts in per unit, transformers scaled away.

With ``k`` the product of the complex ratios on the way from the slack, the voltages ``u = k v`` obey a network of plain
impedances ``|k|^2 z``, and powers stay what they are. Source: the per-unit system for off-nominal ratios, J. J.
Grainger, W. D. Stevenson, "Power System Analysis", 1994, chapter 2, here carried along the whole tree.
"""

from __future__ import annotations

from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np

from neomflex_jax.grid.feeder import Feeder
from neomflex_jax.grid.parts import HostArray
from neomflex_jax.grid.topology import path_matrix, spanning_tree
from neomflex_jax.one_line import one_line

Pair = tuple[HostArray, HostArray]  # real and imaginary part, or magnitude and angle


@dataclass(frozen=True, eq=False)
class Scaled:
    """Branches and shunts, on the host or traced as the feeder is. None stands for what the feeder does not have."""

    r: HostArray  # (n_branch,)
    x: HostArray  # (n_branch,)
    i_base_ka: HostArray  # (n_branch,) at the to end
    scale: Pair | None  # (n_bus,) magnitude of k, and its angle in rad
    from_ratio: Pair | None  # (n_branch,) polar: voltage behind the ideal transformer at the from end over u there
    from_current: HostArray | None  # (n_branch,) from-end current, as a share of its rating, per to-end current
    charging: Pair | None  # (n_branch,) half-admittances g and b of the branches, one at each end
    shunt: Pair | None  # (n_bus,) admittances g and b

    __repr__ = one_line


def scaled_branches(feeder: Feeder, *, along_tree: bool) -> Scaled:
    """Scale a feeder's branches and shunts along its tree; else nothing is scaled, and ratios stay at their branches.

    The latter is for feeders that are solved on their admittances (`Feeder.needs_admittances`).
    """
    topology = feeder.topology
    start, end = np.array(topology.from_bus), np.array(topology.to_bus)
    z_base_ohm = feeder.vn_kv[end] ** 2 / feeder.s_base_mva
    r, x = feeder.r_ohm / z_base_ohm, feeder.x_ohm / z_base_ohm
    scale = magnitude = from_ratio = from_current = None
    if feeder.transformers is not None:
        ratio, shift = feeder.transformers.ratio, feeder.transformers.shift_degree * (np.pi / 180.0)
        if along_tree:
            magnitude, angle = scale = _scales(feeder)
            r, x = r * magnitude[end] ** 2, x * magnitude[end] ** 2
            if not topology.is_radial:
                from_ratio = (magnitude[end] / (magnitude[start] * ratio), angle[end] - angle[start] - shift)
        else:
            from_ratio = (1.0 / ratio, -shift)
        from_current = feeder.transformers.rated_ratio * feeder.vn_kv[end] / feeder.vn_kv[start] / ratio
    return Scaled(
        r=r,
        x=x,
        i_base_ka=feeder.s_base_mva
        / (np.sqrt(3.0) * feeder.vn_kv[end])
        * (1.0 if magnitude is None else magnitude[end]),
        scale=scale,
        from_ratio=from_ratio,
        from_current=from_current,
        charging=_charging(feeder, z_base_ohm, magnitude),
        shunt=_shunt(feeder, magnitude),
    )


def _scales(feeder: Feeder) -> Pair:
    """Magnitude and angle of every bus's k: the product of the ratios on its way from the slack."""
    assert feeder.transformers is not None
    ratio, shift = feeder.transformers.ratio, feeder.transformers.shift_degree * (np.pi / 180.0)
    topology, tree = feeder.topology, spanning_tree(feeder.topology)
    if isinstance(ratio, np.ndarray) and isinstance(shift, np.ndarray):
        magnitude, angle = np.ones(topology.n_bus), np.zeros(topology.n_bus)
        for bus in tree.order[1:]:
            branch, sign, above = tree.parent_branch[bus], tree.direction[bus], tree.parent[bus]
            magnitude[bus] = magnitude[above] * ratio[branch] ** sign
            angle[bus] = angle[above] + sign * shift[branch]
        return magnitude, angle
    path = np.insert(path_matrix(topology), topology.slack, 0.0, axis=0)
    return jnp.exp(path @ jnp.log(ratio)), path @ shift


def _charging(feeder: Feeder, z_base_ohm: HostArray, magnitude: HostArray | None) -> Pair | None:
    if feeder.charging is None:
        return None
    half = 0.5e-6 * z_base_ohm
    if magnitude is not None:
        half = half / magnitude[np.array(feeder.topology.to_bus)] ** 2
    half = half * np.array(feeder.topology.in_service)
    return feeder.charging.g_us * half, feeder.charging.b_us * half


def _shunt(feeder: Feeder, magnitude: HostArray | None) -> Pair | None:
    if feeder.shunts is None:
        return None
    base = feeder.s_base_mva * (1.0 if magnitude is None else magnitude**2)
    return feeder.shunts.p_mw / base, -feeder.shunts.q_mvar / base


def cartesian(magnitude: HostArray, angle: HostArray) -> Pair:
    """Real and imaginary part."""
    xp = np if isinstance(magnitude, np.ndarray) and isinstance(angle, np.ndarray) else jnp
    return magnitude * xp.cos(angle), magnitude * xp.sin(angle)
