"""What the arrays of a trajectory's file must be: kinds and shapes before one is read, the range of numbers after."""

from __future__ import annotations

from collections import Counter

import numpy as np

from neomflex_jax.devices import Kind
from neomflex_jax.errors import InputError
from neomflex_jax.fields import LARGEST
from neomflex_jax.files.stored_arrays import Wanted
from neomflex_jax.profiles.config import SESSION_TABLES
from neomflex_jax.scenario import Scenario
from neomflex_jax.scenario.controls import controls_of

INDEX = "dataset_index"  # says how many rows there are
FLAGS = ("converged", "violated")
BY_STEP = (
    *("demand", "solar", "load_q_factor", "price"),
    *("loss_mw", "slack_p_mw", "slack_q_mvar", "residual_mva"),
)
LOADING = "branch_loading_percent"  # by limited branch, where there is one
BY_NODE = ("p_injection_mw", "q_injection_mvar", "load_p_mw", "load_q_mvar", "vm_pu")
OUTDOOR = "outdoor_temperature_c"  # where its column is named
SESSIONS = ("session_energy_mwh", "session_power_mw", "session_ends")  # by device, where a file has its sessions
HELD = ("held_p_mw", "held_q_mvar")  # of feeders that hold voltages beside the slack's
# where a power flow failed
MAY_BE_UNKNOWN = ("vm_pu", "loss_mw", "slack_p_mw", "slack_q_mvar", "residual_mva", LOADING, *HELD)
BY_AGENT = ("local_reward", "reward")


def wanted_arrays(scenario: Scenario, n_node: int, n_limited: int, n_steps: int) -> dict[str, Wanted]:
    """Kind and shape of every array of a trajectory of so many rows but `INDEX`, by name."""
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
    return {
        **{name: Wanted("b", (n_steps,)) for name in FLAGS},
        **{name: Wanted("f", (n_steps,)) for name in by_step},
        **{name: Wanted("f", (n_steps, width)) for name, width in widths.items()},
        "observation": Wanted("f", (n_steps, n_agents, None)),  # as wide as the feeder's nodes have it
        "action": Wanted("f", (n_steps, n_agents, _action_size(scenario))),
    }


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


def _action_size(scenario: Scenario) -> int:
    return max(Counter(scenario.owner(control.bus) for control in controls_of(scenario)).values())
