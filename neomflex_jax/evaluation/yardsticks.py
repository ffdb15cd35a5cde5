"""The yardsticks by name, played on the same days as trained policies, with a line on what each run rests on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from neomflex_jax._version import __version__
from neomflex_jax.agents.policy import NoControl, Policy
from neomflex_jax.environment import Environment
from neomflex_jax.errors import InputError, unknown_name
from neomflex_jax.evaluation.kept import Kept
from neomflex_jax.evaluation.rollout import record_with_memory
from neomflex_jax.evaluation.trajectory import Trajectory
from neomflex_jax.files.same_bytes import write_npz
from neomflex_jax.files.stored_arrays import Wanted, open_arrays
from neomflex_jax.files.whole_files import whole_file
from neomflex_jax.grid.fingerprint import feeder_hash
from neomflex_jax.jax_settings import nan_is_a_value
from neomflex_jax.one_line import one_line
from neomflex_jax.powerflow import method_named
from neomflex_jax.scenario import Uncertainty
from neomflex_jax.yardsticks import (
    IEEE_1547_B,
    MAPDN,
    Controller,
    Droop,
    ModelPredictive,
    Optimum,
    Schedule,
    find_optimum,
)
from neomflex_jax.yardsticks.clock_rule import ClockRule
from neomflex_jax.yardsticks.perfect_foresight import SEARCH, SETTLE

YARDSTICKS = ("no_control", "volt_var", "mapdn_droop", "perfect_foresight", "model_predictive")
OPTIMUM = "perfect_foresight"
PLANNED_IN = "ac"  # where the days are played on a surrogate
KEPT = ("action", "day_cost", "residual", "starts")  # of an optimum, in its file
OnProgress = Callable[[int, int, str], None]  # done, of how many, of what
MAX_BYTES = 1024**3  # of one of them


@dataclass(frozen=True, eq=False)
class YardstickRun:
    """A run, named after its yardstick, and what to know of it."""

    trajectory: Trajectory
    note: str

    __repr__ = one_line


@nan_is_a_value()
def record_yardstick(
    env: Environment,
    name: str,
    n_days: int | None = None,
    *,
    profiles_sha256: str = "",
    cache: Path | None = None,
    on_progress: OnProgress | None = None,
) -> YardstickRun:
    """Play a yardstick on the first days of an environment (None: all).

    Parameters
    ----------
    env
        As from `evaluation_environment`; all are played on its power flow. Perfect foresight plans on it too if it is
        exact, and in `ac` if it is a surrogate.
    name
        One of `YARDSTICKS`.
    cache
        Folder where the yardsticks that plan ahead keep what they have found, and how far they have come, by the
        hashes of scenario and profiles; None or unknown profiles: nothing is kept.
    on_progress
        Told now and then how many of how many, and of what: days or iterations.

    Raises
    ------
    InputError
        If there is no such yardstick, or perfect foresight is asked for where days are disturbed at random.
    """
    tell = on_progress or (lambda done, total, unit: None)
    asked = _Asked(env, n_days, profiles_sha256, cache, tell)
    players: dict[str, Callable[[], YardstickRun]] = {
        "no_control": lambda: YardstickRun(asked.play(NoControl(env.action_size), "no_control")[0], "all devices idle"),
        "volt_var": lambda: _droop(asked, "volt_var", Droop(IEEE_1547_B, ClockRule())),
        "mapdn_droop": lambda: _droop(asked, "mapdn_droop", Droop(MAPDN, None)),
        "model_predictive": lambda: _model_predictive(asked),
        OPTIMUM: lambda: _perfect_foresight(asked),
    }
    if name not in players:
        raise unknown_name("yardstick", name, YARDSTICKS)
    return players[name]()


@dataclass(frozen=True, eq=False)
class _Asked:
    """What `record_yardstick` was asked for."""

    env: Environment
    n_days: int | None
    profiles_sha256: str
    cache: Path | None
    tell: OnProgress

    def play(self, controller: Policy | Controller, run: str, kept: Kept | None = None) -> tuple[Trajectory, PyTree]:
        """Return the trajectory and the memory that the controller ends with."""

        def on_day(done: int, of: int) -> None:
            self.tell(done, of, "days")

        days, profiles = self.n_days, self.profiles_sha256
        return record_with_memory(self.env, controller, run, days, profiles, on_day=on_day, kept=kept)

    def file(self, name: str, planner: Environment, *settings: object) -> Path | None:
        """Return the path of a file in the cache that is named after all that a plan depends on; None without one."""
        key = _key(planner, self.n_days, self.profiles_sha256, *settings)
        return None if self.cache is None or key is None else self.cache / f"{name}_{key}.npz"


def _droop(asked: _Asked, name: str, droop: Droop) -> YardstickRun:
    trajectory, memory = asked.play(droop, name)
    note = (
        f"{int(memory.unsettled)} of {trajectory.n_steps} steps not settled within {droop.tolerance:g} of the curve "
        f"in {droop.max_iterations} iterations, furthest {float(memory.furthest):.1e}"
    )
    return YardstickRun(trajectory, note)


def _model_predictive(asked: _Asked) -> YardstickRun:
    controller = ModelPredictive()
    file = asked.file("model_predictive", asked.env, controller.horizon, asdict(controller.config))
    trajectory, _ = asked.play(controller, "model_predictive", None if file is None else Kept(file))
    note = (
        f"{controller.horizon} steps ahead, persistence forecast, {controller.config.n_iterations} iterations every "
        f"step, model {asked.env.power_flow.method}"
    )
    return YardstickRun(trajectory, note)


def _perfect_foresight(asked: _Asked) -> YardstickRun:
    env = asked.env
    if env.scenario.uncertainty != Uncertainty() or env.scenario.observation.missing_probability > 0:
        raise InputError("perfect foresight needs days without random disturbances; evaluate without them")
    exact = method_named(env.power_flow.method).exact
    planner = env if exact else env.with_power_flow(PLANNED_IN)
    n_days = env.profiles.n_days if asked.n_days is None else asked.n_days
    file = asked.file("optimum", planner, asdict(SEARCH), asdict(SETTLE))
    optimum = None if file is None else _load(file, planner, n_days)
    if optimum is None:
        unfinished = None if file is None else Kept(file.with_name(f"unfinished_{file.name}"))
        optimum = find_optimum(
            planner, n_days, on_iterations=lambda done, of: asked.tell(done, of, "iterations"), keeper=unfinished
        )
        if file is not None and unfinished is not None:
            _save(file, optimum)
            unfinished.remove()
    trajectory, _ = asked.play(Schedule(optimum.action), OPTIMUM)
    note = (
        f"local optimum in {planner.power_flow.method}, {optimum.mean_day_cost:z.4f} a day as optimised, "
        f"{trajectory.cost.sum() / n_days:z.4f} played in {env.power_flow.method}; stationarity residual "
        f"{optimum.residual:.3f} a day"
    )
    return YardstickRun(trajectory, note)


def _key(planner: Environment, n_days: int | None, profiles_sha256: str, *settings: object) -> str | None:
    """Return a hash of all that a plan depends on; None where the profiles are not known."""
    if not profiles_sha256:
        return None
    days = planner.profiles.n_days if n_days is None else n_days
    method = planner.power_flow.method
    parts = [
        planner.scenario.hash(),
        feeder_hash(planner.feeder),
        profiles_sha256,
        days,
        method,
        *settings,
        __version__,
        jax.__version__,
    ]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


def _save(file: Path, optimum: Optimum) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    kept = {name: np.asarray(getattr(optimum, name)) for name in KEPT}
    with whole_file(file) as partial:
        write_npz(partial, kept)


def _load(file: Path, planner: Environment, n_days: int) -> Optimum | None:
    """Read a kept optimum; None if there is none that can be used."""
    shapes: dict[str, tuple[int, ...]] = {"day_cost": (n_days,), "residual": (), "starts": (1,)}
    shapes["action"] = (n_days * planner.scenario.steps_per_day, *planner.action_mask.shape)
    try:
        with open_arrays(file, "optimum") as kept:
            values = {name: kept.read(name, Wanted("f", shapes[name]), MAX_BYTES) for name in KEPT}
    except InputError:
        return None
    if not all(np.isfinite(value).all() for value in values.values()):
        return None
    starts = tuple(float(cost) for cost in values["starts"])
    return Optimum(jnp.asarray(values["action"]), jnp.asarray(values["day_cost"]), float(values["residual"]), starts)
