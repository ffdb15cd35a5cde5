"""Admittance k of a load's branch over its nominal one, as `grid/unbalanced/load_model.py` has it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from neomflex_jax.grid.parts import STATIC
from neomflex_jax.grid.unbalanced.load_model import LoadModel, P
from neomflex_jax.one_line import one_line
from neomflex_jax.powerflow.network.branch_arrays import LEAST, STEEPNESS

NEVER = 1e6  # pu, in the place of no upper limit: its square is finite in float32
LOWEST_LIMIT = 1e-12  # pu, in the place of no lower limit
Shares: TypeAlias = tuple[Array, Array, Array]  # of constant impedance, current and power, p's and q's (2, n_branch)


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class Limits:
    """Voltages between which constant power and current are, and what becomes of them below: (n_branch,) each."""

    v_min: Array
    v_max: Array
    power_line: tuple[Array, Array]  # current of a constant power below v_min: offset + slope m
    current_line: tuple[Array, Array]  # the same of a constant current

    __repr__ = one_line

    def kept(self, m_squared: Array, as_power: Array, as_current: Array) -> tuple[Array, Array, Array]:
        """Admittances of constant power and current with the limits, and where the voltage is beyond one."""
        v_min, v_max = _column(self.v_min, m_squared), _column(self.v_max, m_squared)
        low, high = m_squared <= v_min**2, m_squared > v_max**2
        lines = [
            _column(offset, m_squared) * as_current + _column(slope, m_squared)
            for offset, slope in (self.power_line, self.current_line)
        ]
        as_power = jnp.where(high, 1 / v_max**2, jnp.where(low, lines[0], as_power))
        as_current = jnp.where(high, 1 / v_max, jnp.where(low, lines[1], as_current))
        return as_power, as_current, low | high


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class Follows:
    """Models of branches in arrays; None is what no branch needs, and costs nothing."""

    limits: Limits | None
    v_low: Array | None  # (n_branch,) below which k is 1
    inside: Shares | None  # None: constant power everywhere
    outside: Shares | None  # None: as inside
    exponent: Array | None  # (2, n_branch) in the place of `inside` where it is not NaN
    cut_off: Array | None  # (n_branch,) 0: none
    has_current: bool = field(metadata=STATIC)

    __repr__ = one_line

    def __call__(self, m_squared: Array) -> tuple[Array, Array]:
        """Return k of p and of q at the squared voltage, (n_branch, ...) each; finite without voltage too."""
        m_squared = jnp.maximum(m_squared, LEAST)
        as_power, as_current, beyond = 1 / m_squared, jax.lax.rsqrt(m_squared), None
        if self.limits is not None:
            as_power, as_current, beyond = self.limits.kept(m_squared, as_power, as_current)
        parts = [self._part(part, m_squared, as_power, as_current, beyond) for part in (0, 1)]
        if self.cut_off is not None:
            cut_off = _column(self.cut_off, m_squared)
            on = 0.5 * (1 + jnp.tanh(STEEPNESS * (jnp.sqrt(m_squared) - cut_off)))
            parts = [jnp.where(cut_off > 0, part * on, part) for part in parts]
        if self.v_low is not None:
            at_rest = m_squared <= _column(self.v_low, m_squared) ** 2
            parts = [jnp.where(at_rest, 1.0, part) for part in parts]
        return parts[0], parts[1]

    def _part(self, part: int, m_squared: Array, as_power: Array, as_current: Array, beyond: Array | None) -> Array:
        """Return k of p (0) or q (1) by shares or exponent, before it drops out."""

        def mixed(shares: Shares) -> Array:
            z, i, p = (_column(share[part], m_squared) for share in shares)
            return z + p * as_power + i * as_current if self.has_current else z + p * as_power

        if self.inside is None:
            return as_power
        k = mixed(self.inside)
        if self.exponent is not None:
            exponent = _column(self.exponent[part], m_squared)
            k = jnp.where(jnp.isnan(exponent), k, jnp.exp((0.5 * exponent - 1) * jnp.log(m_squared)))
        if self.outside is not None and beyond is not None:
            k = jnp.where(beyond, mixed(self.outside), k)
        return k


def follows_of(models: Sequence[LoadModel]) -> Follows:
    """Models of branches as arrays, without what none of them needs."""
    sides = ("inside", "outside")
    every = {side: [(getattr(m, f"p_{side}"), getattr(m, f"q_{side}")) for m in models] for side in sides}
    exponents = np.array([[m.p_exponent, m.q_exponent] for m in models], float).reshape(-1, 2).T  # None: NaN
    has_exponent = not np.isnan(exponents).all()
    plain = not has_exponent and all(pair == (P, P) for pairs in every.values() for pair in pairs)
    same = every["inside"] == every["outside"] and not has_exponent
    v_low, cut_off = (np.array([getattr(m, name) for m in models], float) for name in ("v_low_pu", "cut_off_pu"))
    return Follows(
        limits=_limits(models),
        v_low=jnp.asarray(v_low) if (v_low > 0).any() else None,
        inside=None if plain else _shares(every["inside"]),
        outside=None if plain or same else _shares(every["outside"]),
        exponent=jnp.asarray(exponents) if has_exponent else None,
        cut_off=jnp.asarray(cut_off) if (cut_off > 0).any() else None,
        has_current=any(shares[1] for pairs in every.values() for pair in pairs for shares in pair),
    )


def _limits(models: Sequence[LoadModel]) -> Limits | None:
    """Limits of the branches, None where none has any."""
    v_min, v_max, foot = (
        np.array([getattr(model, name) for model in models], float) for name in ("v_min_pu", "v_max_pu", "v_line_pu")
    )
    if (v_min <= 0).all() and (v_max >= NEVER).all():
        return None
    v_min, v_max = np.maximum(v_min, LOWEST_LIMIT), np.minimum(v_max, NEVER)
    lines = []
    for top in (1 / v_min, np.ones_like(v_min)):  # current at v_min of a constant power, and of a constant current
        slope = (top - foot) / np.where(v_min > foot, v_min - foot, np.inf)
        lines.append((jnp.asarray(foot - slope * foot), jnp.asarray(slope)))
    return Limits(jnp.asarray(v_min), jnp.asarray(v_max), lines[0], lines[1])


def _shares(pairs: Sequence[tuple[tuple[float, ...], tuple[float, ...]]]) -> Shares:
    z, i, p = np.moveaxis(np.array(pairs, float).reshape(-1, 2, 3), 0, -1).swapaxes(0, 1)
    return jnp.asarray(z), jnp.asarray(i), jnp.asarray(p)


def _column(values: Array, like: Array) -> Array:
    """Values of branches, (n_branch,), beside an array (n_branch, ...) of many cases."""
    return values.reshape(values.shape + (1,) * (like.ndim - 1))
