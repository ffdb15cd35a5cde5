"""Actions to requests.

An agent's vector in [-1, 1] holds the controls of its devices in the order of `scenario/controls.py`. Padded entries
are never read.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float, Int

from neomflex_jax.errors import InputError
from neomflex_jax.grid.territories import pad
from neomflex_jax.one_line import one_line
from neomflex_jax.packing import Packing
from neomflex_jax.scenario import Scenario
from neomflex_jax.scenario.controls import ActionEntry, controls_of, ordered_controls


@dataclass(frozen=True, eq=False)
class ActionLayout:
    """Where every control stands in the padded actions."""

    controls: tuple[ActionEntry, ...]  # (n_control,) of all agents
    slots: np.ndarray  # (n_agents, action_size) index into the controls, n_control where padded
    mask: np.ndarray  # (n_agents, action_size) True where real
    lasting: np.ndarray  # (n_agents, action_size) True where later steps depend on it
    by_device: dict[str, np.ndarray]  # for each control in use, (n_device,) its index, n_control where it has none
    packing: Packing | None = None  # arrays over agents are packed as it says; None: as above

    __repr__ = one_line

    def packed(self, packing: Packing) -> ActionLayout:
        """Return the layout of packed actions."""
        slots, mask, lasting = (packing.packed(each) for each in (self.slots, self.mask, self.lasting))
        return replace(self, slots=slots, mask=mask, lasting=lasting, packing=packing)


def lay_out_actions(scenario: Scenario) -> ActionLayout:
    """Lay out the actions of a scenario."""
    controls = controls_of(scenario)
    owners = np.array([scenario.owner(entry.bus) for entry in controls])
    rows = [np.flatnonzero(owners == agent) for agent in range(len(scenario.agents))]
    slots, mask = pad(rows, fill=len(controls))
    by_device = {}
    for kind, control in ordered_controls(scenario.kinds):
        own = [(entry.number, index) for index, entry in enumerate(controls) if entry.control == control]
        if own or control.option is None:
            by_device[control.name] = np.full(len(scenario.of(kind)), len(controls))
            for number, index in own:
                by_device[control.name][number] = index
    # where a violation ends the day, whatever moves a voltage decides whether there is a later
    lasts = [scenario.rules.on_violation == "end_day" or entry.control.lasting for entry in controls]
    return ActionLayout(controls, slots, mask, np.array([*lasts, False])[slots], by_device)


def requests_of(
    action: Float[Array, "n_rows action_size"], layout: ActionLayout
) -> dict[str, Float[Array, " _n_device"]]:
    """Requests in [-1, 1] by name of control, each (n_device,), 0 for devices without the control.

    Values outside [-1, 1] are clipped; NaN counts as 0, so that a broken policy cannot poison the state.
    """
    where = np.array([np.argwhere(layout.slots == index)[0] for index in range(len(layout.controls))], int)
    fractions = action[where.reshape(-1, 2)[:, 0], where.reshape(-1, 2)[:, 1]]
    fractions = jnp.clip(jnp.where(jnp.isnan(fractions), 0.0, fractions), -1.0, 1.0)
    padded = None
    requests = {}
    for name, index in layout.by_device.items():
        if len(index) and (np.diff(index) == 1).all() and index[-1] < len(layout.controls):  # a slice is no gather
            requests[name] = fractions[index[0] : index[-1] + 1]
        else:
            padded = jnp.append(fractions, 0.0) if padded is None else padded
            requests[name] = padded[index]
    return requests


class Misuse(NamedTuple):
    """Real entries of every agent's action that no action should have."""

    clipped: Int[Array, " n_agents"]  # outside -1..1
    nan: Int[Array, " n_agents"]


def misuse_of(action: Float[Array, "n_rows action_size"], layout: ActionLayout) -> Misuse:
    """Count what is wrong with an action."""
    clipped = (jnp.abs(action) > 1.0) & layout.mask
    nan = jnp.isnan(action) & layout.mask
    if layout.packing is not None:
        return Misuse(*(layout.packing.sums(each.astype(jnp.int32)) for each in (clipped, nan)))
    return Misuse(jnp.sum(clipped, axis=-1, dtype=jnp.int32), jnp.sum(nan, axis=-1, dtype=jnp.int32))


def check_action(action: Array, layout: ActionLayout, agents: tuple[str, ...]) -> None:
    """Raise `InputError` on another shape; outside jit, where values are known, on NaN too, naming agent and entry."""
    if jnp.shape(action) != layout.mask.shape:
        raise InputError(f"action has shape {jnp.shape(action)}; expected (n_agents, action_size) {layout.mask.shape}")
    if isinstance(action, jax.core.Tracer):
        return
    bad = np.argwhere(np.isnan(np.asarray(action)) & layout.mask)
    if bad.size:
        agent, entry = bad[0]
        at = layout.controls[layout.slots[agent, entry]]
        raise InputError(
            f"the action of {agents[agent]}, entry {entry} ({at.device} {at.control.name}), is NaN; "
            "actions are numbers in [-1, 1]"
        )
