"""SAC's settings; the defaults are tuned on `neom33` (see `benchmarks/README.md`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import jax
import jax.numpy as jnp
from jax import Array

from neomflex_jax.agents.networks import ACTIVATIONS, ActivationName
from neomflex_jax.agents.optimiser import DECAYS, Decay
from neomflex_jax.agents.sharing import SHARING, SharingName
from neomflex_jax.errors import InputError
from neomflex_jax.fields import check_choice

CriticsName = Literal["auto", "local", "neighbourhood", "joint", "shared"]
CRITICS = get_args(CriticsName)
AUTO = 0  # copies: as many as memory holds, on the command line `auto`
RewardScale = float | Literal["auto"]
TargetStep = float | Literal["auto"]
DaysName = Literal["random", "scenario"]
DAYS = get_args(DaysName)


@dataclass(frozen=True)
class SacConfig:
    """Settings of the SAC learner.

    Attributes
    ----------
    n_copies
        Copies of the environment stepped side by side; each step adds as many transitions. auto (0 in Python): as many
        as the device's memory holds, at most those of the preset (`training/sizes.py`).
    batch_size
        Transitions that a gradient update learns from.
    updates_per_step
        Gradient updates after each step of all copies.
    buffer_size
        Latest transitions that are kept to learn from; one step of one copy is one transition.
    buffer_gib
        Memory that they may take: where so many take more, as those of hundreds of agents do, fewer are kept, but never
        fewer than the warm-up makes.
    days
        `random`: copies begin random days with random energies and play them to their end, whatever the rules of the
        scenario are; `scenario`: as these say. In the order of a file all copies play one and the same day.
    warmup_steps
        Steps of every copy with random actions before learning starts; they also fix the observation normalisation.
    hidden_sizes
        Width of each hidden layer, of actors and critics.
    critics
        `local`: an agent's critic sees its own observation and action; `joint`: everyone's, in training only;
        `neighbourhood`: that of its neighbours too; of a shared reward these learn the neighbourhood's part;
        `shared`: as joint, but one critic for all, of the team's reward: right if all agents get the same reward;
        `auto`: shared where the scenario shares the reward, else joint.
    neighbours
        How many of the electrically nearest agents a neighbourhood has beside an agent itself.
    split
        Learn the step's reward apart from what comes later (`agents/sac/critics.py` says why).
    reward_huber
        Error of the step's reward, in scaled units, beyond which its loss is linear (Huber). Where chance alone makes
        rewards jump, take it larger, or rare ones are missed.
    layer_norm_critics
        Layer normalisation after each hidden layer of the critics.
    activation
        Of the actors' hidden layers: relu or tanh.
    actors
        `independent`: every agent its own parameters; `shared`: one trunk for all, with a last layer each; `by-kind`:
        one set for all agents that control the same. Agents that share are told apart (`agents/sharing.py`).
    share_actor
        The same as actors = shared.
    n_steps
        Rewards summed before a target bootstraps.
    normalise_observations
        Subtract the warm-up's mean from each entry of an observation and divide by its standard deviation.
    learning_rate_decay
        Over the run's budget: none, linear or cosine, down to a hundredth; for networks and temperatures.
    gamma
        Discount of one step.
    tau
        Step size of the target critics: new = tau * online + (1 - tau) * target; `auto`: 0.05 of a critic that all
        share, 0.01 of an agent's own.
    learning_rate
        Of actors and critics, at first.
    temperature_learning_rate
        Of the temperatures, at first.
    initial_temperature
        Weight of the entropy beside the reward, at first.
    target_entropy_per_action
        Per real action dimension; the temperature is driven to reach it.
    reward_scale
        Factor on the reward before it is learned from: a number, or `auto`, taken from the warm-up's rewards
        (`agents/sac/reward.py`).
    reward_tail
        Scaled reward beyond which its logarithm takes its place, at first (`agents/sac/reward.py`).
    max_gradient_norm
        Norm that each agent's gradient is clipped to.
    actor_average
        Step size of the moving average of the actors that is taken as the trained policy.
    """

    n_copies: int = 256
    batch_size: int = 64
    updates_per_step: int = 16
    buffer_size: int = 196_608
    buffer_gib: float = 2.0
    days: DaysName = "random"
    warmup_steps: int = 48
    hidden_sizes: tuple[int, ...] = (64, 64)
    critics: CriticsName = "auto"
    neighbours: int = 4
    split: bool = True
    reward_huber: float = 1.0
    layer_norm_critics: bool = False
    activation: ActivationName = "relu"
    actors: SharingName = "independent"
    share_actor: bool = False
    n_steps: int = 1
    normalise_observations: bool = True
    learning_rate_decay: Decay = "cosine"
    gamma: float = 0.98
    tau: TargetStep = "auto"
    learning_rate: float = 3e-3
    temperature_learning_rate: float = 1e-3
    initial_temperature: float = 0.1
    target_entropy_per_action: float = -2.0
    reward_scale: RewardScale = "auto"
    reward_tail: float = 12.0
    max_gradient_norm: float = 10.0
    actor_average: float = 0.001

    def fitting_buffer(self, n_bytes: int) -> int:
        """Return the transitions that are kept where one takes so many bytes: all copies' of whole steps."""
        fitting = int(self.buffer_gib * 2**30 / n_bytes) // self.n_copies
        least = max(self.warmup_steps, -(-self.batch_size // self.n_copies))
        return min(self.buffer_size, max(fitting, least) * self.n_copies)

    def __post_init__(self) -> None:
        check_choice("critics", self.critics, CRITICS)
        check_choice("days", self.days, DAYS)
        check_choice("activation", self.activation, tuple(ACTIVATIONS))
        check_choice("actors", self.actors, SHARING)
        check_choice("learning_rate_decay", self.learning_rate_decay, DECAYS)
        if self.n_copies < AUTO:
            raise InputError(f"n_copies = {self.n_copies} must be at least 1, or {AUTO} for auto")
        for name in (
            "batch_size",
            "updates_per_step",
            "buffer_size",
            "warmup_steps",
            "n_steps",
            "neighbours",
        ):
            if getattr(self, name) < 1:
                raise InputError(f"{name} = {getattr(self, name)} must be at least 1")
        if self.n_copies != AUTO and self.buffer_size % self.n_copies:
            lower = self.buffer_size // self.n_copies * self.n_copies
            nearest = [str(size) for size in (lower, lower + self.n_copies) if size]
            raise InputError(
                f"buffer_size = {self.buffer_size} must be a multiple of n_copies = {self.n_copies}; "
                f"nearest: {' or '.join(nearest)}"
            )
        if self.warmup_steps * self.n_copies > self.buffer_size:
            raise InputError(
                f"warmup_steps x n_copies = {self.warmup_steps * self.n_copies} transitions do not fit into "
                f"buffer_size = {self.buffer_size}"
            )
        if self.batch_size > self.buffer_size:
            raise InputError(f"batch_size = {self.batch_size} is larger than buffer_size = {self.buffer_size}")
        if self.n_steps > self.warmup_steps:
            raise InputError(
                f"n_steps = {self.n_steps} must be at most warmup_steps = {self.warmup_steps}, made before learning"
            )
        if not self.hidden_sizes or min(self.hidden_sizes) < 1:
            raise InputError(f"hidden_sizes = {self.hidden_sizes} must hold at least one positive size")
        for name in ("gamma", "actor_average"):
            if not 0 < getattr(self, name) <= 1:
                raise InputError(f"{name} = {getattr(self, name)} must lie above 0 and at most at 1")
        step: object = self.tau
        if step != "auto" and not (isinstance(step, int | float) and 0 < step <= 1):
            raise InputError(f"tau = {step!r} must lie above 0 and at most at 1, or be 'auto'")
        for name in (
            "learning_rate",
            "temperature_learning_rate",
            "initial_temperature",
            "reward_tail",
            "reward_huber",
            "max_gradient_norm",
            "buffer_gib",
        ):
            if not getattr(self, name) > 0:
                raise InputError(f"{name} = {getattr(self, name)} must be above 0")
        scale: object = self.reward_scale
        if scale != "auto" and not (isinstance(scale, int | float) and scale > 0):
            raise InputError(f"reward_scale = {scale!r} must be a number above 0, or 'auto'")


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class Settings:
    """The settings that are traced: other values need no new compilation, and several can run side by side."""

    gamma: Array  # () each
    tau: Array  # 0: by whose critics they are, see `Critics.followed`
    learning_rate: Array
    temperature_learning_rate: Array
    target_entropy_per_action: Array
    reward_scale: Array  # 0: the one that was measured in the warm-up
    reward_tail: Array
    max_gradient_norm: Array
    actor_average: Array


def settings_of(config: SacConfig) -> Settings:
    """Return the traced settings of a configuration."""
    return Settings(**{name: jnp.asarray(value, float) for name, value in traced_values(config).items()})


def traced_values(config: SacConfig) -> dict[str, float]:
    """Return the values of the traced settings by name."""
    named = {name: getattr(config, name) for name in Settings.__dataclass_fields__}
    return {name: 0.0 if value == "auto" else float(value) for name, value in named.items()}
