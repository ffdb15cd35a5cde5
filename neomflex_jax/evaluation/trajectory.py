"""A recorded run: every step of every day, as NumPy arrays; enough to replay it in any power-flow program.

Rows are steps in the order played. Grid quantities are NaN where the power flow failed (`converged` false).
"""

from __future__ import annotations

import dataclasses
import json
import tokenize
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from neomflex_jax.errors import InputError
from neomflex_jax.one_line import one_line
from neomflex_jax.same_bytes import write_npz
from neomflex_jax.scenario import Scenario, scenario_from_dict
from neomflex_jax.whole_files import whole_file

FORMAT_VERSION = 2
MAX_BYTES = 4 * 1024**3  # unpacked: a year of 5-minute steps on 1,000 buses has some 3 GiB
UNREADABLE = (
    *(OSError, ValueError, KeyError, EOFError, RecursionError, NotImplementedError, MemoryError),
    *(zipfile.BadZipFile, zlib.error, SyntaxError, tokenize.TokenError),  # the last two: from an array's header
)


@dataclass(frozen=True, eq=False)
class Trajectory:
    """One run; n = n_days x steps_per_day rows."""

    run: str  # controlled, baseline, ...
    scenario: Scenario
    power_flow: str  # the method that answered
    bus_labels: tuple[int, ...]
    profiles_sha256: str
    dataset_index: np.ndarray  # (n,) row of the profiles
    demand: np.ndarray  # (n,)
    solar: np.ndarray  # (n,)
    load_q_factor: np.ndarray  # (n,) what multiplies every load's nominal q
    observation: np.ndarray  # (n, n_agents, observation_size) before the action, padded
    action: np.ndarray  # (n, n_agents, action_size) padded
    p_injection_mw: np.ndarray  # (n, n_bus) net, positive into the grid
    q_injection_mvar: np.ndarray  # (n, n_bus)
    load_p_mw: np.ndarray  # (n, n_bus) consumption, after curtailing and shifting
    load_q_mvar: np.ndarray  # (n, n_bus)
    load_curtailed_mw: np.ndarray  # (n, n_flexible) not served
    load_owed_before_mwh: np.ndarray  # (n, n_flexible) deferred and not caught up, before the step
    load_owed_mwh: np.ndarray  # (n, n_flexible) after the step
    battery_p_mw: np.ndarray  # (n, n_battery) positive discharging
    battery_q_mvar: np.ndarray  # (n, n_battery)
    battery_soc_before: np.ndarray  # (n, n_battery) before the step
    battery_soc: np.ndarray  # (n, n_battery) after the step
    pv_p_mw: np.ndarray  # (n, n_pv)
    pv_q_mvar: np.ndarray  # (n, n_pv)
    pv_available_mw: np.ndarray  # (n, n_pv) before any curtailment
    price: np.ndarray  # (n,) per MWh, 0 without a tariff
    vm_pu: np.ndarray  # (n, n_bus)
    loss_mw: np.ndarray  # (n,)
    slack_p_mw: np.ndarray  # (n,) import
    slack_q_mvar: np.ndarray  # (n,)
    converged: np.ndarray  # (n,) bool
    residual_mva: np.ndarray  # (n,)
    violated: np.ndarray  # (n,) bool: outside the hard limits, or failed
    local_reward: np.ndarray  # (n, n_agents)
    reward: np.ndarray  # (n, n_agents) what a learner would have got

    __repr__ = one_line

    @property
    def n_steps(self) -> int:
        """Rows."""
        return len(self.dataset_index)

    @property
    def day(self) -> np.ndarray:
        """Day of each row, counted from 0, (n,)."""
        return np.arange(self.n_steps) // self.scenario.steps_per_day

    @property
    def step(self) -> np.ndarray:
        """Step of the day of each row, (n,)."""
        return np.arange(self.n_steps) % self.scenario.steps_per_day

    @property
    def cost(self) -> np.ndarray:
        """Minus the team reward (the sum of the local rewards) of each row, (n,)."""
        return -self.local_reward.sum(axis=1)

    def save(self, path: Path) -> None:
        """Write as .npz: plain arrays and one JSON header, no pickled objects."""
        header = {name: getattr(self, name) for name in ("run", "power_flow", "bus_labels", "profiles_sha256")}
        header |= {"format_version": FORMAT_VERSION, "scenario": self.scenario.as_dict()}
        arrays = {name: getattr(self, name) for name in ARRAY_FIELDS}
        with whole_file(path) as partial:
            write_npz(partial, {"header": np.array(json.dumps(header)), **arrays})

    @staticmethod
    def load(path: Path) -> Trajectory:
        """Read what `save` wrote.

        Raises
        ------
        InputError
            If the file is missing, cut off, no trajectory, of another format version or far too large, or its arrays do
            not belong together. Nothing in it is run: arrays of objects are refused.
        """
        try:
            with zipfile.ZipFile(path) as archive:
                size = sum(member.file_size for member in archive.infolist())
                if size > MAX_BYTES:
                    raise InputError(f"{path}: {size} bytes unpacked, more than {MAX_BYTES}; this is no trajectory")
                damaged = archive.testzip()  # NumPy reads an array to its last byte, and no checksum after it
                if damaged is not None:
                    raise InputError(f"{path}: not a readable trajectory file ({damaged} is damaged)")
            with np.load(path, allow_pickle=False) as stored:
                contents = {name: stored[name] for name in stored.files}
            header = json.loads(str(contents.pop("header")))
        except InputError:
            raise
        except UNREADABLE as error:
            raise InputError(f"{path}: not a readable trajectory file ({str(error)[:80]})") from error
        if not isinstance(header, dict) or header.get("format_version") != FORMAT_VERSION:
            raise InputError(f"{path}: trajectory format {header!r:.60}; this version reads format {FORMAT_VERSION}")
        missing = [name for name in ARRAY_FIELDS if name not in contents]
        if missing:
            raise InputError(f"{path}: array {missing[0]!r} is missing; record the trajectory again")
        n = len(np.atleast_1d(contents["dataset_index"]))
        uneven = [name for name in ARRAY_FIELDS if contents[name].shape[:1] != (n,)]
        if uneven:
            raise InputError(f"{path}: {uneven[0]!r} has {contents[uneven[0]].shape[:1]} rows, dataset_index has {n}")
        try:
            stated: dict[str, Any] = {name: str(header[name]) for name in ("run", "power_flow", "profiles_sha256")}
            stated |= {"bus_labels": tuple(int(label) for label in header["bus_labels"])}
            scenario = header["scenario"]
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"{path}: the header is incomplete ({error!r:.80}); record again") from error
        return Trajectory(
            scenario=scenario_from_dict(scenario, f"{path}: scenario"),
            **stated,
            **{name: contents[name] for name in ARRAY_FIELDS},
        )


ARRAY_FIELDS = tuple(field.name for field in dataclasses.fields(Trajectory) if field.type == "np.ndarray")
