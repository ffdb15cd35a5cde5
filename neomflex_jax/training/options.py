"""What a training run is told, and reading it back from its folder."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import jax

from neomflex_jax._version import __version__
from neomflex_jax.agents.gradient.config import GradientConfig
from neomflex_jax.agents.sac.config import SacConfig
from neomflex_jax.errors import InputError
from neomflex_jax.fields import FrozenDict, build, check_choice
from neomflex_jax.one_line import one_line
from neomflex_jax.powerflow import METHODS
from neomflex_jax.profiles import profiles_hash, resolve_profiles
from neomflex_jax.scenario import Scenario
from neomflex_jax.scenario.load import check_method_of_feeder, completed
from neomflex_jax.training.run_folder import RunFolder

TUNED_STEPS = {"sac": 500_000, "gradient": 1_000_000}  # that the settings' defaults are tuned for
ALGORITHM_NAMES = tuple(TUNED_STEPS)


@dataclass(frozen=True)
class TrainOptions:
    """What a training run is told.

    Attributes
    ----------
    seed, n_seeds
        `n_seeds` trainings side by side, with the seeds from `seed` on.
    total_steps
        Budget in steps, all copies of a seed together. None: no bound where `max_seconds` is one, else `TUNED_STEPS`.
    max_seconds
        Budget in seconds from the start of training, compilation included; None: no bound. The learning rate's decay
        goes by whichever budget is nearer to its end.
    finish_on, finish_fraction
        Power flow of the last part of the budget, for example `ac` after the surrogate; None: none.
    initial_policies
        Folder of policies to start from, or a trajectory's file, to whose actions they are fitted; None: fresh ones.
    devices
        Devices of each process that share the copies, or the seeds where there are several.
    target_day_cost
        Stop when a chunk's mean day cost, in training, is at most this; None: don't.
    constraints
        By name of a constraint (`environment/step/constraint_costs.py`), the share of steps that may break it, 0..1.
    compared_days
        Days on which the policies are compared with no control and a droop at the end; 0: they are not.
    """

    scenario: Scenario
    seed: int = 0
    n_seeds: int = 1
    total_steps: int | None = None
    max_seconds: float | None = None
    finish_on: str | None = None
    finish_fraction: float = 0.2
    initial_policies: str | None = None
    target_day_cost: float | None = None
    devices: int = 1
    compared_days: int = 8
    constraints: Mapping[str, float] = FrozenDict()
    sac: SacConfig = field(default_factory=SacConfig)
    gradient: GradientConfig = field(default_factory=GradientConfig)
    algorithm: str = "sac"

    __repr__ = one_line

    def __post_init__(self) -> None:
        check_choice("algorithm", self.algorithm, ALGORITHM_NAMES)
        for name in ("total_steps", "n_seeds", "devices"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise InputError(f"{name} = {value} must be at least 1")
        if self.compared_days < 0:
            raise InputError(f"compared_days = {self.compared_days} must be at least 0")
        if self.max_seconds is not None and not self.max_seconds > 0:
            raise InputError(f"max_seconds = {self.max_seconds} must be above 0")
        if not 0 <= self.seed < 2**31 - self.n_seeds:
            raise InputError(f"seed = {self.seed} must lie in 0..2147483647")
        for name, limit in self.constraints.items():
            if not 0 <= limit < 1:
                raise InputError(
                    f"constraint {name} = {limit}: give the share of steps that may break it, at least 0 and below 1"
                )
        object.__setattr__(self, "constraints", FrozenDict(self.constraints))  # hashable, whatever mapping was given
        if self.finish_on is not None:
            check_choice("finish_on", self.finish_on, METHODS)
            check_method_of_feeder(self.scenario.feeder, self.finish_on)
        if not 0 < self.finish_fraction <= 1:
            raise InputError(f"finish_fraction = {self.finish_fraction} must lie above 0 and at most at 1")

    @property
    def most_steps(self) -> float:
        """Steps of all copies of a seed that end the run; infinite where time alone does."""
        if self.total_steps is not None:
            return self.total_steps
        return TUNED_STEPS[self.algorithm] if self.max_seconds is None else math.inf

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds."""
        return tuple(range(self.seed, self.seed + self.n_seeds))


def read_options(folder: RunFolder) -> TrainOptions:
    """Return the options that a run was made with."""
    config = folder.read_config()
    where = str(folder.config)
    names = {field.name for field in dataclasses.fields(TrainOptions)}
    values = {name: value for name, value in config.items() if name in names}
    if "scenario" in values:
        values["scenario"] = completed(values["scenario"])
    return build(TrainOptions, values, where)


def config_of(options: TrainOptions) -> dict[str, object]:
    """Return what a run's config.json says: options, versions, device, hashes of what was trained on."""
    return {
        "neomflex_jax": __version__,
        "jax": jax.__version__,
        "device": jax.devices()[0].device_kind,
        "profiles_sha256": profiles_hash(resolve_profiles(options.scenario.profiles)),
        "scenario_sha256": options.scenario.hash(),
        **dataclasses.asdict(options),
        "scenario": options.scenario.as_dict(),
    }
