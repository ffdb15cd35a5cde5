"""Reactive power by the voltage at one's own bus, at its fixed point with the grid: IEEE 1547's curve and MAPDN's.

A curve gives a share ``y`` of an inverter's reactive power for a voltage; the voltages answer to all shares. Within a
step ``y <- y + d (curve(v(y)) - y)`` is repeated until no share is further than `tolerance` from its curve. The damping
``d = 1 / (1 + L)``, with ``L`` the largest row sum of ``|d curve(v) / dy|`` at the curve's steepest, in the first
state without sun, makes it contract where the product of slope and grid is monotone. Steps that do not settle in
`max_iterations` are counted.

IEEE 1547-2018, table 8, category B, default: 0.44 of the rated apparent power fed in at 0.92 pu and below, 0 from 0.98
to 1.02, 0.44 drawn at 1.08 and above, straight lines between. What the circle beside active power has no room for is
not delivered, unless the scenario gives reactive power priority. A battery with a four-quadrant inverter follows the
same curve. MAPDN (Future-Power-Networks/MAPDN, `traditional_control`): straight from all the room in the circle fed in
at 0.95 to all of it drawn at 1.05, no dead band, PV alone. There too it is damped, by 0.1, up to 100 times.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from neomflex_jax.environment.step.dispatch import rating
from neomflex_jax.environment.step.set_points import set_points
from neomflex_jax.yardsticks.clock_rule import ClockRule

if TYPE_CHECKING:
    from neomflex_jax.environment import Environment, State

STATIC = {"static": True}


@dataclass(frozen=True)
class Curve:
    """Share of reactive power by voltage: straight between the points, constant beyond them."""

    vm_pu: tuple[float, ...]
    share: tuple[float, ...]  # positive: fed in
    of: str  # "rating" or "room": what the circle leaves beside active power
    batteries: bool  # whether batteries with reactive power follow it too

    def __call__(self, vm_pu: Array) -> Array:
        """Share at voltages, elementwise."""
        return jnp.interp(vm_pu, jnp.array(self.vm_pu), jnp.array(self.share))

    @property
    def steepest(self) -> float:
        """Largest slope, per pu."""
        return float(np.max(np.abs(np.diff(self.share) / np.diff(self.vm_pu))))


IEEE_1547_B = Curve((0.92, 0.98, 1.02, 1.08), (0.44, 0.0, 0.0, -0.44), of="rating", batteries=True)
MAPDN = Curve((0.95, 1.05), (1.0, -1.0), of="room", batteries=False)


class DroopMemory(NamedTuple):
    """Shares, from which the next step starts, the damping, and what did not settle."""

    share: Array  # (n_inverter,)
    damping: Array  # ()
    unsettled: Array  # () int32 steps
    furthest: Array  # () largest distance of a share from its curve in any step


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class Droop:
    """The controller: a curve for inverters, and what batteries do by the clock, None for nothing."""

    curve: Curve = field(default=IEEE_1547_B, metadata=STATIC)
    clock: ClockRule | None = field(default=ClockRule(), metadata=STATIC)
    tolerance: float = field(default=1e-4, metadata=STATIC)
    max_iterations: int = field(default=200, metadata=STATIC)

    def start(self, env: Environment) -> DroopMemory:
        """Choose the damping for this grid."""
        state = env.reset(jax.random.key(0))[0]
        dark = replace(env, profiles=replace(env.profiles, solar=jnp.zeros_like(env.profiles.solar)))
        inverters = inverters_of(env, self.curve)
        idle, share = jnp.zeros(len(env.action_layout.controls)), jnp.zeros(len(inverters.bus))

        def voltage(share: Array) -> Array:
            action = inverters.action(dark, state, self.curve, idle, share)
            return dark.step(state, action)[1].info["vm_pu"][inverters.bus]

        gain = self.curve.steepest * jnp.abs(jax.jacfwd(voltage)(share))
        largest = jnp.max(jnp.nan_to_num(jnp.sum(gain, axis=1)), initial=0.0)
        return DroopMemory(share, 1.0 / (1.0 + largest), jnp.zeros((), jnp.int32), jnp.zeros(()))

    def act(self, env: Environment, state: State, observation: Array, memory: DroopMemory) -> tuple[Array, DroopMemory]:
        """Let batteries do what the clock says, and find the shares that go with the voltages then."""
        inverters = inverters_of(env, self.curve)
        others = jnp.zeros(len(env.action_layout.controls))
        if self.clock is not None:
            others = self.clock.fractions(env, state, others)

        def distance(share: Array) -> Array:
            info = env.step(state, inverters.action(env, state, self.curve, others, share))[1].info
            off = self.curve(info["vm_pu"][inverters.bus]) - share
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
    """The devices that follow a curve: PV inverters first, then batteries; index arrays, all static."""

    column: np.ndarray  # (n_inverter,) of the controls
    bus: np.ndarray  # (n_inverter,) position
    s_mva: np.ndarray  # (n_inverter,)
    q_first: np.ndarray  # (n_inverter,) bool: reactive power has priority
    pv: np.ndarray  # numbers of the PV inverters
    battery: np.ndarray  # numbers of the batteries

    def action(self, env: Environment, state: State, curve: Curve, others: Array, share: Array) -> Array:
        """Actions (n_agents, action_size): the shares (n_inverter,) beside the other controls' fractions."""
        columns = env.action_layout
        fraction = share
        if curve.of == "rating":
            action = jnp.append(others, 0.0)[columns.slots]
            delivered = set_points(env, state, action).delivered
            p_mw = jnp.concatenate([delivered.pv_p_mw[self.pv], delivered.battery_p_mw[self.battery]])
            room = jnp.sqrt(jnp.maximum(self.s_mva**2 - p_mw**2, 1e-12))
            fraction = jnp.where(self.q_first, share, share * self.s_mva / room)
        fractions = others.at[self.column].set(jnp.clip(fraction, -1.0, 1.0))
        return jnp.append(fractions, 0.0)[columns.slots]


def inverters_of(env: Environment, curve: Curve) -> Inverters:
    """Find the devices that follow a curve."""
    scenario, layout, by_device = env.scenario, env.layout, env.action_layout.by_device
    pv = np.arange(len(scenario.pv_inverters))
    battery_q = by_device.get("battery_q", np.zeros(0, int)) if curve.batteries else np.zeros(0, int)
    battery = np.flatnonzero(battery_q < len(env.action_layout.controls))
    sizes = [rating(scenario, kind)["s_mva"] for kind in ("pv_inverters", "batteries")]
    q_first = [scenario.pv_inverters[number].priority == "q" for number in pv]
    return Inverters(
        column=np.concatenate([by_device["pv_q"][pv], battery_q[battery]]).astype(int),
        bus=np.concatenate([layout.pv_bus[pv], layout.battery_bus[battery]]).astype(int),
        s_mva=np.concatenate([sizes[0][pv], sizes[1][battery]]),
        q_first=np.array([*q_first, *([False] * len(battery))], bool),
        pv=pv,
        battery=battery,
    )
