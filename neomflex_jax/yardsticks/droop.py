"""Reactive power by the voltage at one's own bus, at its fixed point with the grid: IEEE 1547's curve and MAPDN's.

A curve gives a share ``y`` of an inverter's reactive power for a voltage; the voltages answer to all shares. Within a
step ``y <- y + d (curve(v(y)) - y)`` is repeated until no share is further than `tolerance` from its curve. The damping
``d = 1 / (1 + L)``, with ``L`` the largest row sum of ``|d curve(v) / dy|`` at the curve's steepest, in the first
state without sun, makes it contract where the product of slope and grid is monotone. Steps that do not settle in
`max_iterations` are counted.

IEEE 1547-2018, table 8, category B, default: 0.44 of the rated apparent power fed in at 0.92 pu and below, 0 from 0.98
to 1.02, 0.44 drawn at 1.08 and above, straight lines between. What the circle beside active power has no room for is
not delivered, unless the scenario gives reactive power priority. Every kind with reactive power follows the curve, a
battery with a four-quadrant inverter too. MAPDN (Future-Power-Networks/MAPDN, `traditional_control`): straight from all
the room in the circle fed in at 0.95 to all of it drawn at 1.05, no dead band, generation alone. There too it is
damped, by 0.1, up to 100 times.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jaxtyping import Float, Int

from neomflex_jax.environment import Environment, State
from neomflex_jax.environment.step.node_sums import mean_at_devices
from neomflex_jax.environment.step.set_points import set_points
from neomflex_jax.yardsticks.clock_rule import ClockRule

STATIC = {"static": True}


@dataclass(frozen=True)
class Curve:
    """Share of reactive power by voltage: straight between the points, constant beyond them."""

    vm_pu: tuple[float, ...]
    share: tuple[float, ...]  # positive: fed in
    of: str  # "rating", the rated apparent power, or "room": what the circle leaves beside active power
    generation_alone: bool  # True: inverters of storage do not follow the curve

    def __call__(self, vm_pu: Array) -> Array:
        """Share at voltages, elementwise."""
        return jnp.interp(vm_pu, jnp.array(self.vm_pu), jnp.array(self.share))

    @property
    def steepest(self) -> float:
        """Largest slope, per pu."""
        return float(np.max(np.abs(np.diff(self.share) / np.diff(self.vm_pu))))


IEEE_1547_B = Curve((0.92, 0.98, 1.02, 1.08), (0.44, 0.0, 0.0, -0.44), of="rating", generation_alone=False)
MAPDN = Curve((0.95, 1.05), (1.0, -1.0), of="room", generation_alone=True)


class DroopMemory(NamedTuple):
    """Shares, from which the next step starts, the damping, and what did not settle."""

    share: Float[Array, " n_inverter"]
    damping: Float[Array, ""]
    unsettled: Int[Array, ""]  # steps
    furthest: Float[Array, ""]  # largest distance of a share from its curve in any step


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class Droop:
    """The controller: a curve for inverters, and what batteries do by the clock, None for nothing."""

    curve: Curve = field(default=IEEE_1547_B, metadata=STATIC)
    clock: ClockRule | None = field(default=ClockRule(), metadata=STATIC)
    tolerance: float = field(default=1e-4, metadata=STATIC)
    max_iterations: int = field(default=200, metadata=STATIC)

    def start(self, env: Environment) -> DroopMemory:
        """Return shares of 0, and the damping for this grid."""
        state = env.reset(jax.random.key(0))[0]
        dark = replace(env, profiles=env.profiles.in_the_dark())
        inverters = inverters_of(env, self.curve)
        idle, share = jnp.zeros(len(env.action_layout.controls)), jnp.zeros(len(inverters.nodes))

        def voltage(share: Array) -> Array:
            action = inverters.action(dark, state, self.curve, idle, share)
            return mean_at_devices(dark.step(state, action)[1].info["vm_pu"], inverters.nodes)

        gain = self.curve.steepest * jnp.abs(jax.jacfwd(voltage)(share))
        largest = jnp.max(jnp.nan_to_num(jnp.sum(gain, axis=1)), initial=0.0)
        return DroopMemory(share, 1.0 / (1.0 + largest), jnp.zeros((), jnp.int32), jnp.zeros(()))

    def act(
        self,
        env: Environment,
        state: State,
        observation: Float[Array, "n_agents observation_size"],
        memory: DroopMemory,
    ) -> tuple[Float[Array, "n_agents action_size"], DroopMemory]:
        """Return the clock's actions for batteries, and for inverters the shares at the curve's fixed point."""
        inverters = inverters_of(env, self.curve)
        others = jnp.zeros(len(env.action_layout.controls))
        if self.clock is not None:
            others = self.clock.fractions(env, state, others)

        def distance(share: Array) -> Array:
            info = env.step(state, inverters.action(env, state, self.curve, others, share))[1].info
            off = self.curve(mean_at_devices(info["vm_pu"], inverters.nodes)) - share
            return jnp.where(info["converged"], off, jnp.inf)

        def settled(off: Array) -> Array:
            return jnp.max(jnp.abs(off), initial=0.0) <= self.tolerance

        def keep_going(carry: tuple[Array, Array, Array]) -> Array:
            _, off, count = carry
            return ~settled(off) & (count < self.max_iterations)

        def body(carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
            share, off, count = carry
            share = jnp.where(jnp.isfinite(off), share + memory.damping * off, 0.0)
            return share, distance(share), count + 1

        first = (memory.share, distance(memory.share), jnp.zeros((), jnp.int32))
        share, off, _ = lax.while_loop(keep_going, body, first)
        furthest = jnp.maximum(memory.furthest, jnp.max(jnp.abs(off), initial=0.0))
        action = inverters.action(env, state, self.curve, others, share)
        return action, memory._replace(share=share, unsettled=memory.unsettled + ~settled(off), furthest=furthest)


class Inverters(NamedTuple):
    """The devices that follow a curve, generation first; index arrays, all static."""

    column: np.ndarray  # (n_inverter,) of the controls
    nodes: np.ndarray  # (n_inverter, most nodes of a bus), padded
    s_mva: np.ndarray  # (n_inverter,)
    q_first: np.ndarray  # (n_inverter,) bool: reactive power has priority
    of_tables: tuple[tuple[str, np.ndarray], ...]  # which devices of which tables

    def action(self, env: Environment, state: State, curve: Curve, others: Array, share: Array) -> Array:
        """Actions (n_agents, action_size): the shares (n_inverter,) beside the other controls' fractions."""
        columns = env.action_layout
        fraction = share
        if curve.of == "rating":
            action = jnp.append(others, 0.0)[columns.slots]
            delivered = set_points(env, state, action).delivered
            p_mw = jnp.concatenate([delivered.by_table[table].p_mw[which] for table, which in self.of_tables])
            room = jnp.sqrt(jnp.maximum(self.s_mva**2 - p_mw**2, 1e-12))
            fraction = jnp.where(self.q_first, share, share * self.s_mva / room)
        fractions = others.at[self.column].set(jnp.clip(fraction, -1.0, 1.0))
        return jnp.append(fractions, 0.0)[columns.slots]


def inverters_of(env: Environment, curve: Curve) -> Inverters:
    """Find the devices that follow a curve."""
    n_control, parts = len(env.action_layout.controls), []
    for kind in env.kinds:
        if kind.reactive is None or (curve.generation_alone and not kind.reactive.generates):
            continue
        column = env.action_layout.by_device.get(kind.reactive.control, np.zeros(0, int))
        which, params = np.flatnonzero(column < n_control), env.params(kind)
        nodes = env.layout.device_nodes[kind.table][which]
        part = (column[which], nodes, params.s_mva[which], params.q_first[which])
        parts.append((not kind.reactive.generates, kind.table, which, part))
    parts.sort(key=lambda part: part[0])
    joined = (np.concatenate(arrays) for arrays in zip(*(part[3] for part in parts), strict=True))
    column, nodes, s_mva, q_first = joined
    return Inverters(column.astype(int), nodes, s_mva, q_first.astype(bool), tuple(part[1:3] for part in parts))
