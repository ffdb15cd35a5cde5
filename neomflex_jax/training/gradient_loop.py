"""The gradient learner's compiled loop: draw days, play them with the actors inside, differentiate, step, repeat.

Each update starts every copy on a random day with random energies and lets `horizon_days` follow each other in the
order of the file, energies carried over midnight, whatever the scenario's own rules are: a return that ends at midnight
would teach the batteries to be empty then. Where no action lasts beyond its step, as of reactive power alone, nothing
but what is observed couples one step to the next; there, if days are long, each update plays `UNCOUPLED_STEPS` from
random rows on. A violation ends no day here; its penalty is a step, which has no gradient, so that what keeps policies
inside the hard limits is the voltage term.

A battery that is empty and asked to discharge delivers nothing, whatever is asked: no gradient could ever teach it to
charge. So requests that are not delivered cost something at first, `clipping_weight (1 - share)` times their mean sum,
which leads back to where the gradient lives.

Inverters that answer a voltage of the step before move the next one. Along this way the derivative is multiplied by the
loop's Jacobian in every step: where ninety inverters ring, by 1.4, which is 1e15 within a day and drowns the rest.
`observed_gradient` is its share in each step; a half keeps every loop in bounds whose Jacobian is below 2. What it
leaves out is 0 where later actions are best for what they see, for then the cost does not depend on them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float, Int, Key, PyTree

from neomflex_jax.agents.actors import Actors
from neomflex_jax.agents.gradient import GradientLearner, GradientState
from neomflex_jax.agents.gradient.learner import Acting
from neomflex_jax.agents.networks import ActorNetwork
from neomflex_jax.environment import AutoReset, Environment, State
from neomflex_jax.environment.day_start import flow_at, start_day
from neomflex_jax.environment.days import draw_day
from neomflex_jax.environment.make import WHOLE_DAYS
from neomflex_jax.environment.step.answers import answer_to_loads
from neomflex_jax.environment.step.loads import loads_of_row
from neomflex_jax.fields import with_overrides
from neomflex_jax.one_line import one_line
from neomflex_jax.training.constraints import UNCONSTRAINED, Constraints, Multipliers
from neomflex_jax.training.devices import EVERYWHERE, part_of_device
from neomflex_jax.training.packed import packed_for
from neomflex_jax.training.rounds import make_rounds
from neomflex_jax.training.step_metrics import Metrics, share_at_bounds, step_metrics, summed_up

DAYS = 2  # of an update where something lasts
UNCOUPLED_STEPS = 24  # of an update where nothing does, and so many days have more than
LONG_STEPS = 96
CHUNK_UPDATES = 10  # a quarter of a second on two cores
KEPT_BYTES = 2**28  # of the actors' layers over a horizon, at most


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class GradientTrainState:
    """All that a training run is: saving it and loading it back continues the run bit for bit."""

    learner: GradientState
    key: Array  # () typed PRNG key
    steps: Array  # () int32 steps made by every copy

    __repr__ = one_line


@dataclass(frozen=True)
class GradientTraining:
    """The gradient learner as an `Algorithm`; `n_copies` are those of one device."""

    learner: GradientLearner
    steps_per_day: int
    horizon_steps: int  # of an update
    constraints: Constraints = UNCONSTRAINED

    __repr__ = one_line

    @property
    def n_copies(self) -> int:
        """Copies stepped side by side."""
        return self.learner.config.n_copies

    @property
    def chunk_rounds(self) -> int:
        """Updates of a whole chunk."""
        return CHUNK_UPDATES

    @property
    def round_steps(self) -> int:
        """Steps that every copy makes in an update: the horizon."""
        return self.horizon_steps

    @property
    def begins_anywhere(self) -> bool:
        """True if copies begin with any row, False if with a day's first."""
        return self.horizon_steps < self.steps_per_day

    @property
    def actors(self) -> Actors:
        """Sizes and kind of the actors."""
        return self.learner.actors

    def places(self) -> PyTree:
        """Return which arrays of a state the devices share: none, as the copies are drawn anew for every update."""
        return EVERYWHERE

    def start(self, env: Environment, key: Key[Array, ""]) -> GradientTrainState:
        """Return fresh networks."""
        key, learner_key = jax.random.split(key)
        learner = replace(self.learner.init(learner_key), multipliers=self.constraints.start())
        return GradientTrainState(learner, key, jnp.zeros((), jnp.int32))

    def warm_up(self, env: Environment, state: GradientTrainState) -> GradientTrainState:
        """Play random actions and fix the observation normalisation from what is seen."""
        config, mask = self.learner.config, self.learner.actors.action_mask
        key, reset_key, act_key = jax.random.split(state.key, 3)
        own = self._packed(env)
        environments, _ = self._reset(own, reset_key)

        def body(carry: State, key: Array) -> tuple[State, Array]:
            drawn = jax.random.uniform(key, (self._copies_of_all, *mask.shape), minval=-1.0, maxval=1.0)
            carry, timestep = jax.vmap(AutoReset(own).step)(carry, self._part(drawn) * mask)
            return carry, timestep.observation

        keys = jax.random.split(act_key, config.warmup_steps)
        _, seen = jax.lax.scan(body, environments, keys)
        learner = self.learner.with_statistics(state.learner, seen.reshape(-1, *seen.shape[2:]))
        return replace(state, learner=learner, key=key, steps=state.steps + config.warmup_steps)

    def advance(
        self, env: Environment, state: GradientTrainState, share: Float[Array, ""], n_rounds: Int[Array, ""]
    ) -> tuple[GradientTrainState, Metrics]:
        """Make so many updates, at most a chunk of them."""

        def update(state: GradientTrainState) -> tuple[GradientTrainState, Metrics]:
            key, reset_key = jax.random.split(state.key)

            def cost(act: Acting) -> tuple[Array, Metrics]:
                day_cost, clipped, metrics = self._play(env, act, reset_key, state.learner.multipliers)
                return day_cost + self.learner.config.clipping_weight * (1.0 - share) * clipped, metrics

            learner, metrics = self.learner.update(state.learner, cost, share)
            made, scale, axis = self.n_copies * self.round_steps, metrics["day_cost"], self.learner.mesh_axis
            multipliers, metrics = self.constraints.ascended(learner.multipliers, metrics, made, scale, axis)
            learner = replace(learner, multipliers=multipliers)
            return replace(state, learner=learner, key=key, steps=state.steps + self.round_steps), metrics

        return make_rounds(update, state, n_rounds, self.chunk_rounds, self.learner.mesh_axis)

    def networks(self, learner: GradientState) -> tuple[ActorNetwork, ...]:
        """Return the trained policy, one network an agent."""
        return self.learner.networks(learner)

    def with_networks(self, learner: GradientState, networks: Sequence[ActorNetwork], key: Array) -> GradientState:
        """Return the learner with the given policy, one network an agent."""
        return self.learner.with_networks(learner, networks, key)

    @property
    def kept_of_layers(self) -> int:
        """Outputs of hidden layers that are kept of a copy and step; 0 of many agents: they are faster made twice."""
        outputs = self.actors.n_agents * sum(self.learner.config.hidden_sizes)
        return outputs if 4 * outputs * self.n_copies * self.round_steps <= KEPT_BYTES else 0

    def _reset(self, env: Environment, key: Array) -> tuple[State, Array]:
        """Start all copies on random days with random energies, whatever the rules of `env` are."""

        def start(key: Array) -> tuple[State, Array]:
            draw = draw_day(env, key)
            row, flow = draw.day_row, flow_at(env, env.day_start_flow, draw.day_row)
            if self.begins_anywhere:
                ahead = max(self.horizon_steps, self.learner.config.warmup_steps)
                row = jax.random.randint(jax.random.fold_in(key, 0), (), 0, max(1, env.profiles.n_rows - ahead))
                p_mw, q_mvar = loads_of_row(env.feeder, env.profiles, row)
                flow = answer_to_loads(env.power_flow, p_mw, q_mvar)
            state, timestep = start_day(env, flow, draw, row, draw.stores)
            return state, timestep.observation

        environments, observation = jax.vmap(start)(self._part(jax.random.split(key, self._copies_of_all)))
        return environments, observation

    @property
    def _copies_of_all(self) -> int:
        axis = self.learner.mesh_axis
        return self.n_copies * (1 if axis is None else jax.lax.axis_size(axis))

    def _part(self, drawn: Array) -> Array:
        """Draw for all and take a part: what is learned does not depend on how many devices share the copies."""
        return part_of_device(drawn, self.n_copies, self.learner.mesh_axis)

    def _packed(self, env: Environment) -> Environment:
        return packed_for(self.learner.actors, env)

    def _play(
        self, env: Environment, act: Acting, key: Array, multipliers: Multipliers | None = None
    ) -> tuple[Array, Array, Metrics]:
        """Play the horizon.

        Returns the mean cost of a day with what broken constraints cost, the mean of what was asked in vain, and
        metrics.
        """
        clipping = env.constraint_names.index("clipping")
        whole = self._packed(replace(env, scenario=with_overrides(env.scenario, WHOLE_DAYS)))
        play = whole.step if self.begins_anywhere else AutoReset(whole).step
        act = act if self.kept_of_layers else jax.checkpoint(act)

        def step(carry: tuple[State, Array], _: None) -> tuple[tuple[State, Array], tuple[Array, Metrics]]:
            state, observation = carry
            observation = _damped(observation, self.learner.config.observed_gradient)
            action = act(observation)
            state, timestep = jax.vmap(play)(state, action)
            metrics = step_metrics(env, timestep) | {"at_bounds": share_at_bounds(self.learner.actors.actions, action)}
            clipped = timestep.info["constraint_cost"][..., clipping].sum(axis=-1).mean()
            metrics |= self.constraints.metrics(env, timestep)
            return (state, timestep.observation), (clipped, metrics)

        _, (clipped, metrics) = jax.lax.scan(step, self._reset(whole, key), None, length=self.round_steps)
        cost = self.constraints.priced(metrics["day_cost"].mean(), metrics, multipliers or {}, self.steps_per_day)
        return cost, clipped.mean(), summed_up(jax.lax.stop_gradient(metrics))


def horizon_of(horizon_days: int, env: Environment) -> int:
    """Return the steps of an update: so many days; 0: two, or a few steps where no action lasts and days are long."""
    steps = (horizon_days or DAYS) * env.scenario.steps_per_day
    uncoupled = horizon_days == 0 and not env.action_layout.lasting.any()
    return UNCOUPLED_STEPS if uncoupled and steps > LONG_STEPS else steps


def _damped(observation: Array, share: float) -> Array:
    """Return the observation with this share of its gradient."""
    return observation if share == 1 else share * observation + (1 - share) * jax.lax.stop_gradient(observation)
