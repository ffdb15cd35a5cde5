"""The gradient learner's settings; the defaults are tuned on `neom33` (see `benchmarks/README.md`)."""

from __future__ import annotations

from dataclasses import dataclass

from neomflex_jax.agents.networks import ACTIVATIONS, ActivationName
from neomflex_jax.agents.optimiser import DECAYS, Decay
from neomflex_jax.agents.sharing import SHARING, SharingName
from neomflex_jax.errors import InputError
from neomflex_jax.fields import check_choice


@dataclass(frozen=True)
class GradientConfig:
    """Settings of the gradient learner.

    Attributes
    ----------
    n_copies
        Copies of the environment an update averages over, each from a random day and random energies. auto (0 in
        Python): as many as the device's memory holds, at most those of the preset (`training/sizes.py`).
    horizon_days
        Days that follow each other in an update, energies carried over midnight: the return is summed over all of
        them, so that what a battery keeps for tomorrow counts on every day but the last. 0: two, or where no
        action lasts beyond its step and days are long a few steps from a random one on, see
        `training/gradient_loop.py`.
    warmup_steps
        Steps of every copy with random actions beforehand; they fix the observation normalisation.
    hidden_sizes
        Width of each hidden layer of the actors.
    activation
        Of the hidden layers: relu or tanh.
    actors
        `independent`: every agent its own parameters; `shared`: one trunk for all, with a last layer each; `by-kind`:
        one set for all agents that control the same. Agents that share are told apart (`agents/sharing.py`).
    share_actor
        The same as actors = shared.
    normalise_observations
        Subtract the warm-up's mean from each entry of an observation and divide by its standard deviation.
    learning_rate
        At first.
    learning_rate_decay
        Over the run's budget: none, linear or cosine, down to a hundredth.
    max_gradient_norm
        Norm that each agent's gradient is clipped to; it is larger nearly always, so that steps depend on its direction
        alone.
    clipping_weight
        Cost of asking devices for what they cannot deliver, at the run's start; see `training/gradient_loop.py`.
    observed_gradient
        Share of the gradient that passes in each step through what later actions see, 0 to 1; 1 is the exact
        gradient, which explodes where many inverters answer each other's voltages; see `training/gradient_loop.py`.
    """

    n_copies: int = 8
    horizon_days: int = 0
    warmup_steps: int = 48
    hidden_sizes: tuple[int, ...] = (64, 64)
    activation: ActivationName = "tanh"
    actors: SharingName = "independent"
    share_actor: bool = False
    normalise_observations: bool = True
    learning_rate: float = 8e-3
    learning_rate_decay: Decay = "cosine"
    max_gradient_norm: float = 1.0
    clipping_weight: float = 3.0
    observed_gradient: float = 0.5

    def __post_init__(self) -> None:
        check_choice("activation", self.activation, tuple(ACTIVATIONS))
        check_choice("actors", self.actors, SHARING)
        check_choice("learning_rate_decay", self.learning_rate_decay, DECAYS)
        if self.n_copies < 0:
            raise InputError(f"n_copies = {self.n_copies} must be at least 1, or 0 for auto")
        if self.warmup_steps < 1:
            raise InputError(f"warmup_steps = {self.warmup_steps} must be at least 1")
        if self.horizon_days < 0:
            raise InputError(f"horizon_days = {self.horizon_days} must be at least 1, or 0 to derive it from the task")
        if not self.hidden_sizes or min(self.hidden_sizes) < 1:
            raise InputError(f"hidden_sizes = {self.hidden_sizes} must hold at least one positive size")
        if not 0 <= self.observed_gradient <= 1:
            raise InputError(f"observed_gradient = {self.observed_gradient} must lie in 0..1")
        if not self.clipping_weight >= 0:
            raise InputError(f"clipping_weight = {self.clipping_weight} must be at least 0")
        for name in ("learning_rate", "max_gradient_norm"):
            if not getattr(self, name) > 0:
                raise InputError(f"{name} = {getattr(self, name)} must be above 0")
