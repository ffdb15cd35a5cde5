"""What the host needs of an algorithm, and the choice of one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol, TypeAlias

from jax import Array
from jaxtyping import Float, Int, Key, PyTree

from neomflex_jax.agents.actors import Actors
from neomflex_jax.agents.gradient import GradientLearner
from neomflex_jax.agents.networks import ActorNetwork
from neomflex_jax.agents.sac import Sac
from neomflex_jax.agents.sac.config import AUTO
from neomflex_jax.environment import Environment
from neomflex_jax.errors import InputError
from neomflex_jax.grid.nearest import nearest_territories
from neomflex_jax.training.constraints import constraints_of
from neomflex_jax.training.devices import AXIS, share_of_one_device
from neomflex_jax.training.gradient_loop import GradientTraining, horizon_of
from neomflex_jax.training.options import TrainOptions
from neomflex_jax.training.sac_loop import SacTraining
from neomflex_jax.training.step_metrics import Metrics

Learner: TypeAlias = PyTree  # a pytree, what learning changes
TrainState: TypeAlias = PyTree  # a frozen dataclass with `learner`, `key` and `steps`, () int32 made by every copy


class Algorithm(Protocol):
    """Static and hashable; its functions are pure, for one seed, and made to be compiled."""

    @property
    def n_copies(self) -> int:
        """Copies stepped side by side."""
        ...

    @property
    def chunk_rounds(self) -> int:
        """Rounds of a whole chunk (`rounds.py`)."""
        ...

    @property
    def round_steps(self) -> int:
        """Steps that every copy makes in a round."""
        ...

    @property
    def actors(self) -> Actors:
        """Sizes and kind of the actors."""
        ...

    def places(self) -> PyTree:
        """Return which arrays of a state the devices share: a `PartitionSpec` for each branch of it."""
        ...

    def start(self, env: Environment, key: Key[Array, ""]) -> TrainState:
        """Return fresh networks and fresh days."""
        ...

    def warm_up(self, env: Environment, state: TrainState) -> TrainState:
        """Return the state after what comes before learning: random steps, and scales taken from them."""
        ...

    def advance(
        self, env: Environment, state: TrainState, share: Float[Array, ""], n_rounds: Int[Array, ""]
    ) -> tuple[TrainState, Metrics]:
        """Train for so many rounds, at most a chunk; `share` 0..1 of the budget is used up; a row of metrics each."""
        ...

    def networks(self, learner: Learner) -> tuple[ActorNetwork, ...]:
        """Return the policy as it is now, one network an agent."""
        ...

    def with_networks(self, learner: Learner, networks: Sequence[ActorNetwork], key: Key[Array, ""]) -> Learner:
        """Return the learner with the given policy, one network an agent."""
        ...


def algorithm_for(env: Environment, options: TrainOptions, n_devices: int = 1) -> Algorithm:
    """Bind the options' algorithm to the environment's sizes; `n_devices` share its copies, one has what is bound."""
    axis, constraints = AXIS if n_devices > 1 else None, constraints_of(env, options.constraints)
    observation_sizes, action_sizes = (
        tuple(int(size) for size in mask.sum(axis=1)) for mask in (env.observation_mask, env.action_mask)
    )
    if getattr(options, options.algorithm).n_copies == AUTO:
        raise InputError(f"--{options.algorithm}.n-copies auto is settled by neomflex train; give a number here")
    if options.algorithm == "gradient":
        gradient = share_of_one_device(options.gradient, ("n_copies",), n_devices)
        learner = GradientLearner(gradient, observation_sizes, action_sizes, axis, kinds_of_agents(env))
        horizon_steps = horizon_of(gradient.horizon_days, env)
        return GradientTraining(learner, env.scenario.steps_per_day, horizon_steps, constraints)
    config = options.sac
    if config.critics == "auto":
        config = replace(config, critics="shared" if env.scenario.reward.sharing == "team" else "joint")
    lasting = tuple(tuple(bool(entry) for entry in row) for row in env.action_layout.lasting)
    near: tuple[tuple[int, ...], ...] = ()
    if config.critics == "neighbourhood":
        near = nearest_territories(env.feeder, env.layout.buses, config.neighbours)
    told = lasting, axis, constraints.names, kinds_of_agents(env), near
    whole = SacTraining(Sac(config, observation_sizes, action_sizes, *told), constraints)
    config = replace(config, buffer_size=config.fitting_buffer(whole.transition_bytes))
    sac = share_of_one_device(config, ("n_copies", "batch_size", "buffer_size"), n_devices)
    return replace(whole, sac=replace(whole.sac, config=sac))


def kinds_of_agents(env: Environment) -> tuple[int, ...]:
    """Return the number of every agent's kind, (n_agents,), from 0 on: agents of a kind control the same."""
    layout = env.action_layout
    controls = [
        tuple(layout.controls[slot].control.name for slot in slots[real])
        for slots, real in zip(layout.slots, layout.mask, strict=True)
    ]
    numbers = {each: number for number, each in enumerate(dict.fromkeys(controls))}
    return tuple(numbers[each] for each in controls)
