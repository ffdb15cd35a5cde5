"""A recorded run: every step of every day, as NumPy arrays; enough to replay it in any power-flow program.

Rows are steps in the order played. Grid quantities are NaN where the power flow failed (`converged` false). What kinds
of devices record lies in `devices` by its name, and is read, given and replaced like any other field. Observations and
actions of very unequal agents are kept without padding (`agent_rows.py`), and padded where they are asked for.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from neomflex_jax.errors import InputError, shown
from neomflex_jax.evaluation.agent_rows import AgentRows
from neomflex_jax.evaluation.trajectory_layout import (
    BY_ENTRY,
    HELD,
    INDEX,
    LOADING,
    check_numbers,
    joined_sizes_of,
    wanted_arrays,
    wanted_with_phases,
)
from neomflex_jax.files.json_values import parse_json
from neomflex_jax.files.same_bytes import write_npz
from neomflex_jax.files.stored_arrays import Wanted, open_arrays
from neomflex_jax.files.whole_files import whole_file
from neomflex_jax.grid.nodes import Nodes
from neomflex_jax.loose_types import BusLabel, Keywords
from neomflex_jax.one_line import one_line
from neomflex_jax.scenario import Scenario, scenario_from_dict

FORMAT_VERSION = 2
MAX_BYTES = 4 * 1024**3  # unpacked: a year of 5-minute steps on 1,000 buses has some 3 GiB
MAX_HEADER_BYTES = 64 * 1024**2  # the scenario of 10,000 buses has some 2 MiB


@dataclass(frozen=True, eq=False, init=False)
class Trajectory:
    """One run; n_steps = n_days x steps_per_day rows."""

    run: str  # controlled, baseline, ...
    scenario: Scenario
    power_flow: str  # the method that answered
    nodes: Nodes  # columns of the grid's arrays
    profiles_sha256: str
    dataset_index: Int[np.ndarray, " n_steps"]  # row of the profiles
    demand: Float[np.ndarray, " n_steps"]  # factor on nominal loads
    solar: Float[np.ndarray, " n_steps"]  # per unit of a rating
    load_q_factor: Float[np.ndarray, " n_steps"]  # what multiplies every load's nominal q
    observations: AgentRows  # before the action
    actions: AgentRows
    p_injection_mw: Float[np.ndarray, "n_steps n_node"]  # net, positive into the grid; with phases devices' alone
    q_injection_mvar: Float[np.ndarray, "n_steps n_node"]
    load_p_mw: Float[np.ndarray, "n_steps n_load"]  # consumption by node, with phases load by load, see `load_buses`
    load_q_mvar: Float[np.ndarray, "n_steps n_load"]  # after curtailing and shifting
    price: Float[np.ndarray, " n_steps"]  # per MWh, 0 without a tariff
    vm_pu: Float[np.ndarray, "n_steps n_node"]
    loss_mw: Float[np.ndarray, " n_steps"]
    slack_p_mw: Float[np.ndarray, " n_steps"]  # import
    slack_q_mvar: Float[np.ndarray, " n_steps"]
    converged: Bool[np.ndarray, " n_steps"]
    residual_mva: Float[np.ndarray, " n_steps"]
    violated: Bool[np.ndarray, " n_steps"]  # outside the hard limits, or failed
    local_reward: Float[np.ndarray, "n_steps n_agents"]
    reward: Float[np.ndarray, "n_steps n_agents"]  # what a learner would have got
    # (n_steps, n_device) each: what kinds record, after the step and before it; what else a step's record
    # has of `environment/step/info.py`: held_p_mw, held_q_mvar, held_at_limit, by_fallback (n_steps,),
    # session_energy_mwh, session_power_mw, session_ends, outdoor_temperature_c (n_steps,), vuf_percent
    # (n_steps, n_three_phase_bus)
    devices: Mapping[str, Shaped[np.ndarray, "n_steps ..."]]
    load_buses: tuple[str, ...] = ()  # bus of each load of a feeder with phases; empty: loads are known by node
    branches: tuple[str, ...] = ()  # names of those that the scenario limits the loading of
    branch_loading_percent: Float[np.ndarray, "n_steps n_limited"] | None = None  # of ratings; None: nothing is limited

    __repr__ = one_line

    def __init__(
        self,
        *,
        devices: Mapping[str, Shaped[np.ndarray, "n_steps ..."]] | None = None,
        bus_labels: Sequence[int] | None = None,
        **values: object,
    ) -> None:
        """Set the fields by name.

        `bus_labels` may stand in the place of `nodes` where every bus is one node, and `observation` and `action`,
        padded, in the place of `observations` and `actions`.
        """
        if bus_labels is not None:
            values["nodes"] = Nodes.one_a_bus(bus_labels)
        for name, field in BY_ENTRY.items():
            if name in values:
                values[field] = AgentRows(np.asarray(values.pop(name)))
        values = {"branches": (), "load_buses": (), LOADING: None} | values
        own = {name: values.pop(name) for name in FIELDS}
        for name, value in (own | {"devices": {**(devices or {}), **values}}).items():
            object.__setattr__(self, name, value)

    def __getattr__(self, name: str) -> Shaped[np.ndarray, "n_steps ..."]:
        if name.startswith("_") or name not in self.__dict__.get("devices", {}):
            raise AttributeError(f"a trajectory has no {name}")
        return self.devices[name]

    @property
    def bus_labels(self) -> tuple[int, ...]:
        """Labels of the feeder's buses, in array order."""
        return self.nodes.bus_labels

    @property
    def observation(self) -> Float[np.ndarray, "n_steps n_agents observation_size"]:
        """Padded observations before the action; made anew where the record holds them without padding."""
        return self.observations.padded

    @property
    def action(self) -> Float[np.ndarray, "n_steps n_agents action_size"]:
        """Padded actions; made anew where the record holds them without padding."""
        return self.actions.padded

    def load_at(self, bus: BusLabel) -> Float[np.ndarray, " n_steps"]:
        """Return what the loads at a bus consume.

        Parameters
        ----------
        bus
            Its label.

        Returns
        -------
        np.ndarray
            MW, (n_steps,).
        """
        at = [load for load, own in enumerate(self.load_buses) if own == bus] if self.load_buses else self.nodes.at[bus]
        total: np.ndarray = self.load_p_mw[:, at].sum(axis=1)
        return total

    @property
    def n_steps(self) -> int:
        """Rows."""
        return len(self.dataset_index)

    @property
    def _arrays(self) -> dict[str, Shaped[np.ndarray, "n_steps ..."]]:
        """Every array but the devices', by name, as it is kept."""
        loading = {} if self.branch_loading_percent is None else {LOADING: self.branch_loading_percent}
        by_entry = {name: getattr(self, field).values for name, field in BY_ENTRY.items()}
        own = {name: by_entry[name] if name in by_entry else getattr(self, name) for name in ARRAY_FIELDS}
        return own | loading

    @property
    def day(self) -> Int[np.ndarray, " n_steps"]:
        """Day of each row, counted from 0."""
        return np.arange(self.n_steps) // self.scenario.steps_per_day

    @property
    def step(self) -> Int[np.ndarray, " n_steps"]:
        """Step of the day of each row."""
        return np.arange(self.n_steps) % self.scenario.steps_per_day

    @property
    def cost(self) -> Float[np.ndarray, " n_steps"]:
        """Minus the team reward (the sum of the local rewards) of each row."""
        return -self.local_reward.sum(axis=1)

    def rows(self, which: Shaped[np.ndarray, " n_chosen"] | slice) -> Trajectory:
        """Return some of the steps.

        Parameters
        ----------
        which
            Row numbers, a mask (n_steps,), or a slice.

        Returns
        -------
        Trajectory
            Of those rows alone.
        """
        own: Keywords = {name: values[which] for name, values in self._arrays.items() if name not in BY_ENTRY}
        own |= {field: getattr(self, field)[which] for field in BY_ENTRY.values()}
        devices = {name: values[which] for name, values in self.devices.items()}
        return dataclasses.replace(self, **own, devices=devices)

    def check(self, where: str) -> None:
        """Check that the arrays hold what a recorded step can hold.

        Parameters
        ----------
        where
            Begins the message.

        Raises
        ------
        InputError
            On NaN or an infinite number but for what a failed power flow leaves unknown, a number beyond 1e30, or a row
            below 0.
        """
        for name, values in (self._arrays | dict(self.devices)).items():
            check_numbers(where, name, values)

    def save(self, path: Path) -> None:
        """Write as .npz: plain arrays and one JSON header, no pickled objects.

        Parameters
        ----------
        path
            Of the file, whose folder is there.
        """
        header: Keywords = {name: getattr(self, name) for name in ("run", "power_flow")}
        header |= {"bus_labels": self.nodes.bus, "profiles_sha256": self.profiles_sha256}
        header |= {"format_version": FORMAT_VERSION, "scenario": self.scenario.as_dict()}
        if self.nodes.labels != self.nodes.bus:
            header["node_labels"] = self.nodes.labels
        header |= {name: stated for name in ("branches", "load_buses") if (stated := getattr(self, name))}
        joined = {name: getattr(self, field).sizes for name, field in BY_ENTRY.items()}
        header |= {f"{name}_sizes": sizes for name, sizes in joined.items() if sizes is not None}
        arrays = self._arrays | dict(self.devices)
        with whole_file(path) as partial:
            write_npz(partial, {"header": np.array(json.dumps(header)), **arrays})

    @staticmethod
    def load(path: Path) -> Trajectory:
        """Read what `save` wrote.

        Parameters
        ----------
        path
            Of the file.

        Returns
        -------
        Trajectory
            Checked.

        Raises
        ------
        InputError
            If the file is missing, cut off, no trajectory, of another format version or far too large, or its arrays do
            not belong together. Nothing in it is run: arrays of objects are refused.
        """
        with open_arrays(path, "trajectory") as stored:
            header = parse_json(f"{path}: header", stored.text("header", MAX_HEADER_BYTES))
            stated, scenario = _read_header(path, header)
            joined = joined_sizes_of(f"{path}", header, scenario)
            index = stored.read(INDEX, Wanted("i", (None,)), MAX_BYTES)
            arrays: Keywords = {INDEX: index}
            left = MAX_BYTES - index.nbytes
            sizes = len(stated["nodes"]), len(stated["branches"]), len(index)
            wanted_here = wanted_arrays(scenario, *sizes, joined)
            wanted_here |= wanted_with_phases(stated["nodes"], len(stated["load_buses"]), len(index))
            wanted_here |= {name: Wanted("f", (len(index), None)) for name in HELD if name in stored.names}
            wanted_here |= {name: Wanted("b", (len(index),)) for name in ("by_fallback",) if name in stored.names}
            if "held_at_limit" in stored.names:
                wanted_here["held_at_limit"] = Wanted("i", (len(index), None))
            for name, wanted in wanted_here.items():
                arrays[name] = stored.read(name, wanted, left)
                left -= arrays[name].nbytes
        arrays |= {field: AgentRows(arrays.pop(name), joined.get(name)) for name, field in BY_ENTRY.items()}
        trajectory = Trajectory(scenario=scenario, **stated, **arrays)
        trajectory.check(f"{path}")
        return trajectory


def scenario_of(path: Path) -> Scenario:
    """Read the scenario of a trajectory's file, and none of its arrays.

    Parameters
    ----------
    path
        Of a file that `Trajectory.save` wrote.

    Returns
    -------
    Scenario
        That the run was played in.

    Raises
    ------
    InputError
        See `Trajectory.load`.
    """
    with open_arrays(path, "trajectory") as stored:
        return _read_header(path, parse_json(f"{path}: header", stored.text("header", MAX_HEADER_BYTES)))[1]


def _read_header(path: Path, header: object) -> tuple[Keywords, Scenario]:
    """Check a trajectory file's header, and return its plain fields by name, and its scenario."""
    if not isinstance(header, dict) or header.get("format_version") != FORMAT_VERSION:
        raise InputError(f"{path}: trajectory format {shown(header)}; this version reads format {FORMAT_VERSION}")
    texts = {name: header.get(name) for name in ("run", "power_flow", "profiles_sha256")}
    buses = header.get("bus_labels")  # of every node its bus's
    labels = header.get("node_labels", buses)
    if not all(isinstance(text, str) for text in texts.values()) or not isinstance(buses, list):
        raise InputError(f"{path}: the header is incomplete; record the trajectory again")
    load_buses = header.get("load_buses", [])
    if not all(type(label) is (str if load_buses else int) for label in buses):
        raise InputError(
            f"{path}: the header is incomplete (bus_labels must be integers, texts with load_buses); record again"
        )
    if not isinstance(load_buses, list) or not all(type(label) is str for label in load_buses):
        raise InputError(f"{path}: the header is incomplete (load_buses must be texts); record again")
    if not isinstance(labels, list) or [type(each) in (int, str) for each in labels] != [True] * len(buses):
        raise InputError(
            f"{path}: the header is incomplete (node_labels must be integers or texts, one for each of bus_labels)"
        )
    scenario = scenario_from_dict(header.get("scenario", {}), f"{path}: scenario")
    branches = header.get("branches", [])
    named = isinstance(branches, list) and all(isinstance(name, str) for name in branches)
    if not named or bool(branches) != scenario.loading.is_limited or len(set(branches)) < len(branches):
        raise InputError(f"{path}: the header is incomplete (branches must name each that the scenario limits)")
    nodes, named_buses = Nodes(tuple(labels), tuple(buses)), tuple(load_buses)
    if not set(named_buses) <= set(buses):
        raise InputError(f"{path}: the header is incomplete (load_buses must be some of bus_labels); record again")
    return {**texts, "nodes": nodes, "branches": tuple(branches), "load_buses": named_buses}, scenario


_ALL = [field for field in dataclasses.fields(Trajectory) if field.name != "devices"]
FIELDS = tuple(field.name for field in _ALL)
ARRAY_FIELDS = tuple(  # those that every trajectory has, by their names in files
    {field: name for name, field in BY_ENTRY.items()}.get(field.name, field.name)
    for field in _ALL
    if str(field.type).startswith(("AgentRows", "Bool[np", "Float[np", "Int[np"))
    and field.default is dataclasses.MISSING
)
