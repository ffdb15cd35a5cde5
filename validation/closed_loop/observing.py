"""What a policy observes in closed loop: the record's observations, with the loop's own voltages and stores in them.

Voltages, stores and users' own observations are looked up in what has been shown since play began; before that there
is none, and the first is seen in its place. All else (Demand, Solar, forecasts, prices, the clock) no action can
change: it stays as recorded.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np

from validation.recompute.observations import LOADING, USERS, Entry, frame_of
from validation.recompute.record import Record
from validation.recompute.twins import series_names, stores_of
from validation.recompute.users_twins import Steps, users_observation

Quantity = tuple[str, str]  # kind and table of observed entries
VOLTAGE: Quantity = ("vm", "")
LOADINGS: Quantity = (LOADING, "")


@dataclass(frozen=True, eq=False)
class _Places:
    """Where the padded observations hold one quantity, (n_entry,) each."""

    agent: np.ndarray
    slot: np.ndarray
    age: np.ndarray  # steps ago
    number: np.ndarray  # bus position, limited branch, or device


class Observing:
    """Observations of one closed loop; `start` forgets what was seen."""

    def __init__(self, record: Record) -> None:
        scenario = record.trajectory.scenario
        self._trajectory, self._feeder = record.trajectory, record.feeder
        frames = [frame_of(scenario, record.feeder, agent) for agent in range(len(scenario.agents))]
        self.sizes = [len(frame) * scenario.observation.history for frame in frames]  # of each agent, unpadded
        self._recorded, self._history = record.trajectory.observations, scenario.observation.history
        self._stores = {(store.entry, table): (store, devices) for table, store, devices in stores_of(scenario)}
        self._users = [(name, USERS) for name in scenario.observations]
        quantities = [VOLTAGE, LOADINGS, *self._stores, *self._users]
        self._places = {quantity: _places(frames, quantity, self._history) for quantity in quantities}
        self._seen: dict[Quantity, deque[np.ndarray]] = {}
        self._goes_on = False

    def start(self, *, goes_on: bool) -> None:
        """Forget what was seen; where play `goes_on` from before the record, that stays as the record has it."""
        self._seen = {quantity: deque(maxlen=self._history) for quantity in self._places}
        self._goes_on = goes_on

    def see(self, row: int, vm_pu: np.ndarray, loadings: np.ndarray, carried: dict[str, np.ndarray]) -> None:
        """Take in what is known before a step of the record.

        These are voltages (n_node,), loadings (n_limited,) as shares of ratings, and what devices carry, by name.
        """
        self._seen[VOLTAGE].append(vm_pu - 1.0)
        self._seen[LOADINGS].append(loadings)
        for quantity, (store, devices) in self._stores.items():
            values = np.asarray(carried[store.after], float)
            observed = [store.observed(device, value) for device, value in zip(devices, values, strict=True)]
            self._seen[quantity].append(np.array(observed, float))
        if self._users:
            before = self._before(row, vm_pu, carried)
            for name, table in self._users:
                self._seen[name, table].append(users_observation(name, before)[0])

    def _before(self, row: int, vm_pu: np.ndarray, carried: dict[str, np.ndarray]) -> Steps:
        """What is known before one step, for the twins of users' observations."""
        trajectory = self._trajectory
        names = series_names(trajectory.scenario)
        known = {name: np.asarray(getattr(trajectory, name)[row : row + 1], float) for name in names}
        known |= {store.after: np.asarray(carried[store.after], float)[None] for store, _ in self._stores.values()}
        return Steps(trajectory.scenario, self._feeder, trajectory.step[row : row + 1], vm_pu[None], known)

    def observe(self, row: int) -> np.ndarray:
        """Return the padded observations before a step of the record, (n_agents, observation_size)."""
        observation = np.array(self._recorded[row].padded, np.float32)
        for quantity, places in self._places.items():
            if len(places.slot):
                newest_first = np.array(self._seen[quantity])[::-1]
                age = np.minimum(places.age, len(newest_first) - 1)
                seen = newest_first[age, places.number]
                recorded = observation[places.agent, places.slot]
                unknown = np.isnan(seen) | (self._goes_on & (places.age > age))
                observation[places.agent, places.slot] = np.where(unknown, recorded, seen)
        return observation


def _places(frames: list[tuple[Entry, ...]], quantity: Quantity, history: int) -> _Places:
    rows = [
        (agent, age * len(frame) + slot, age, entry.number)
        for agent, frame in enumerate(frames)
        for age in range(history)
        for slot, entry in enumerate(frame)
        if (entry.kind, entry.table) == quantity
    ]
    return _Places(*np.array(rows, int).reshape(-1, 4).T)
