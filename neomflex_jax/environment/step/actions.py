"""Actions to requests.

An agent's vector in [-1, 1] holds the controls of its devices in the order of `scenario/controls.py`: its batteries
first, then its PV inverters, then what options add. Padded entries are never read.
"""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from neomflex_jax.errors import InputError
from neomflex_jax.grid.territories import pad
from neomflex_jax.one_line import one_line
from neomflex_jax.scenario import Scenario
from neomflex_jax.scenario.controls import KINDS, LASTING, Control, controls_of


@dataclass(frozen=True, eq=False)
class ActionLayout:
    """Where every control stands in the padded actions."""

    controls: tuple[Control, ...]
    slots: np.ndarray  # (n_agents, action_size) control of each entry, n_control where padded
    mask: np.ndarray  # (n_agents, action_size) True where real
    lasting: np.ndarray  # (n_agents, action_size) True where later steps depend on it
    by_device: dict[str, np.ndarray]  # for each kind in use, (n_device,) its control, n_control where it has none

    __repr__ = one_line


def lay_out_actions(scenario: Scenario) -> ActionLayout:
    """Lay out the actions of a scenario."""
    controls = controls_of(scenario)
    owners = np.array([scenario.owner(control.bus) for control in controls])
    rows = [np.flatnonzero(owners == agent) for agent in range(len(scenario.agents))]
    slots, mask = pad(rows, fill=len(controls))
    sizes = {"battery": len(scenario.batteries), "pv": len(scenario.pv_inverters), "load": len(scenario.flexible_loads)}
    by_device = {}
    for kind in KINDS:
        own = [(control.number, index) for index, control in enumerate(controls) if control.kind == kind]
        if own or kind in ("battery_p", "pv_q"):
            by_device[kind] = np.full(sizes[kind.split("_")[0]], len(controls))
            for number, index in own:
                by_device[kind][number] = index
    # where a violation ends the day, whatever moves a voltage decides whether there is a later
    lasts = [scenario.rules.on_violation == "end_day" or control.kind in LASTING for control in controls]
    return ActionLayout(controls, slots, mask, np.array([*lasts, False])[slots], by_device)


def requests_of(action: Array, layout: ActionLayout) -> dict[str, Array]:
    """Give the requests in [-1, 1] by kind of control and device, each (n_device,), 0 for devices without the control.

    Values outside [-1, 1] are clipped; NaN counts as 0, so that a broken policy cannot poison the state.
    """
    where = np.array([np.argwhere(layout.slots == index)[0] for index in range(len(layout.controls))], int)
    fractions = action[where.reshape(-1, 2)[:, 0], where.reshape(-1, 2)[:, 1]]
    fractions = jnp.clip(jnp.where(jnp.isnan(fractions), 0.0, fractions), -1.0, 1.0)
    padded = None
    requests = {}
    for kind, index in layout.by_device.items():
        if len(index) and (np.diff(index) == 1).all() and index[-1] < len(layout.controls):  # a slice is no gather
            requests[kind] = fractions[index[0] : index[-1] + 1]
        else:
            padded = jnp.append(fractions, 0.0) if padded is None else padded
            requests[kind] = padded[index]
    return requests


def misuse_of(action: Array, layout: ActionLayout) -> dict[str, Array]:
    """Count, for every agent, the real entries that were clipped and those that were NaN, (n_agents,) each."""
    clipped = (jnp.abs(action) > 1.0) & layout.mask
    return {
        "clipped_actions": jnp.sum(clipped, axis=-1, dtype=jnp.int32),
        "nan_actions": jnp.sum(jnp.isnan(action) & layout.mask, axis=-1, dtype=jnp.int32),
    }


def check_action(action: Array, layout: ActionLayout, agents: tuple[str, ...]) -> None:
    """Raise `InputError` on another shape; outside jit, where values are known, on NaN too, naming agent and entry."""
    if jnp.shape(action) != layout.mask.shape:
        raise InputError(f"action has shape {jnp.shape(action)}; expected (n_agents, action_size) {layout.mask.shape}")
    if isinstance(action, jax.core.Tracer):
        return
    bad = np.argwhere(np.isnan(np.asarray(action)) & layout.mask)
    if bad.size:
        agent, entry = bad[0]
        control = layout.controls[layout.slots[agent, entry]]
        raise InputError(
            f"the action of {agents[agent]}, entry {entry} ({control.device} {control.kind}), is NaN; "
            "actions are numbers in [-1, 1]"
        )
