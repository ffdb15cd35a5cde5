"""What the arrays of a trajectory's file must be: kinds and shapes before one is read, the range of numbers after."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import numpy as np

from neomflex_jax.devices import Kind
from neomflex_jax.errors import InputError, shown
from neomflex_jax.fields import LARGEST
from neomflex_jax.files.stored_arrays import Wanted
from neomflex_jax.grid.nodes import Nodes
from neomflex_jax.profiles.config import SESSION_TABLES
from neomflex_jax.scenario import Scenario
from neomflex_jax.scenario.controls import controls_of
from neomflex_jax.scenario.parts import FOLLOW

INDEX = "dataset_index"  # says how many rows there are
MOST_ENTRIES = 10**7  # of an agent
FLAGS = ("converged", "violated")
BY_STEP = (
    *("demand", "solar", "load_q_factor", "price"),
    *("loss_mw", "slack_p_mw", "slack_q_mvar", "residual_mva"),
)
VUF = "vuf_percent"  # by three-phase bus, of feeders with phases
# of a feeder's own controls, where they are followed: by regulator, by capacitor, by step
FEEDER_TAPS, FEEDER_STEPS = "feeder_tap_ratio", "feeder_bank_steps"
BY_CONTROL = (FEEDER_TAPS, f"{FEEDER_TAPS}_before", FEEDER_STEPS, f"{FEEDER_STEPS}_before")
CONTROLS_SETTLED = "feeder_controls_settled"
LOADING = "branch_loading_percent"  # by limited branch, where there is one
BY_NODE = ("p_injection_mw", "q_injection_mvar", "load_p_mw", "load_q_mvar", "vm_pu")
OUTDOOR = "outdoor_temperature_c"  # where its column is named
SESSIONS = ("session_energy_mwh", "session_power_mw", "session_ends")  # by device, where a file has its sessions
HELD = ("held_p_mw", "held_q_mvar")  # of feeders that hold voltages beside the slack's
# where a power flow failed
MAY_BE_UNKNOWN = ("vm_pu", "loss_mw", "slack_p_mw", "slack_q_mvar", "residual_mva", LOADING, VUF, *HELD)
BY_AGENT = ("local_reward", "reward")
BY_ENTRY = {"observation": "observations", "action": "actions"}  # and the trajectory's fields that hold them


def wanted_arrays(
    scenario: Scenario, n_node: int, n_limited: int, n_steps: int, joined: Mapping[str, tuple[int, ...]]
) -> dict[str, Wanted]:
    """Kind and shape of every array of a trajectory of so many rows but `INDEX`, by name.

    `joined` are the agents' sizes in arrays that have no row an agent (`agent_rows.py`).
    """
    n_agents = len(scenario.agents)
    widths = {
        **dict.fromkeys(BY_NODE, n_node),
        **{name: len(scenario.of(kind)) for kind in scenario.kinds for name in columns_of_kind(kind)},
        **dict.fromkeys(BY_AGENT, n_agents),
        **({LOADING: n_limited} if n_limited else {}),
    }
    if scenario.series.sessions_file:
        n_device = sum(len(scenario.of(kind)) for kind in scenario.kinds if kind.table in SESSION_TABLES)
        widths |= dict.fromkeys(SESSIONS, n_device)
    by_step = (*BY_STEP, *([OUTDOOR] if scenario.series.outdoor_temperature else []))
    largest = {"observation": None, "action": max(action_sizes(scenario))}  # the first is as the feeder's nodes have it
    by_entry = {
        name: (n_steps, sum(joined[name])) if name in joined else (n_steps, n_agents, size)
        for name, size in largest.items()
    }
    follows = scenario.feeder_controls == FOLLOW
    return {
        **{name: Wanted("b", (n_steps,)) for name in (*FLAGS, *([CONTROLS_SETTLED] if follows else []))},
        **{name: Wanted("f", (n_steps, None)) for name in (BY_CONTROL if follows else ())},
        **{name: Wanted("f", (n_steps,)) for name in by_step},
        **{name: Wanted("f", (n_steps, width)) for name, width in widths.items()},
        **{name: Wanted("f", shape) for name, shape in by_entry.items()},
    }


def wanted_with_phases(nodes: Nodes, n_load: int, n_steps: int) -> dict[str, Wanted]:
    """Return what else a run on a feeder with phases has; nothing without loads one by one."""
    if not n_load:
        return {}
    widths = {"load_p_mw": n_load, "load_q_mvar": n_load, VUF: len(nodes.three_phase_buses)}
    return {name: Wanted("f", (n_steps, width)) for name, width in widths.items()}


def joined_sizes_of(where: str, header: Mapping[str, object], scenario: Scenario) -> dict[str, tuple[int, ...]]:
    """Return the sizes that a file's header states of agents whose numbers are joined, by the array's name.

    Raises
    ------
    InputError
        If they are no sizes of the scenario's agents.
    """
    n_agents, joined = len(scenario.agents), dict[str, tuple[int, ...]]()
    for name in (name for name in BY_ENTRY if f"{name}_sizes" in header):
        sizes = header[f"{name}_sizes"]
        listed: list[int] = sizes if isinstance(sizes, list) and len(sizes) == n_agents else [-1]
        if not all(type(size) is int and 0 <= size <= MOST_ENTRIES for size in listed):
            raise InputError(
                f"{where}: {name}_sizes = {shown(sizes)} must be whole numbers of 0..{MOST_ENTRIES}, one for each of "
                f"{n_agents} agents; record the trajectory again"
            )
        joined[name] = tuple(listed)
    if joined.get("action", expected := action_sizes(scenario)) != expected:
        raise InputError(f"{where}: action_sizes are not those of the scenario's agents; record the trajectory again")
    return joined


def columns_of_kind(kind: Kind) -> tuple[str, ...]:
    """Names of what a kind records in a trajectory: after the step, and of what its store holds also before."""
    return tuple(name for column in kind.recorded for name in (column.before, column.name) if name)


def check_numbers(where: str, name: str, values: np.ndarray) -> None:
    """Raise `InputError` where a number is negative as a row, or beyond what sums and products of it could bear."""
    if name == INDEX:
        bad = values < 0
    elif name in MAY_BE_UNKNOWN:
        bad = np.isfinite(values) & (np.abs(values) > LARGEST)
    else:
        bad = ~(np.abs(values) <= LARGEST) if values.dtype.kind == "f" else np.zeros(0, bool)
    if bad.any():
        place = np.unravel_index(int(np.argmax(bad)), bad.shape)
        allowed = "at least 0" if name == INDEX else f"a number of at most {LARGEST:g}"
        raise InputError(f"{where}: {name} is {values[place]:g} at step {place[0]}; it must be {allowed}")


def action_sizes(scenario: Scenario) -> tuple[int, ...]:
    """Return the number of entries of each agent's actions."""
    owned = Counter(scenario.owner(control.bus) for control in controls_of(scenario))
    return tuple(owned[agent] for agent in range(len(scenario.agents)))
