"""JaxMARL: a `MultiAgentEnv` of jaxmarl 0.2 or later, for its wrappers and baselines.

action        by agent: Box(-1, 1) of its real entries
observation   by agent: Box of its real entries
reward        by agent: `timestep.reward`, what the scenario gives learners (its own, or the team's mean)
done          terminated or truncated, for all agents and ``"__all__"`` at once
info          `timestep.info`, and ``terminated``, ``truncated``, ``final_observation`` (by agent): a day that ends is
              truncated, so bootstrap from the final observation unless terminated
step          starts the next day by the scenario's rule, as `AutoReset`, and not afresh as JaxMARL's own environments
              do; a `reset_state` takes that day's place. The key it is given goes unused: days are drawn from the key
              of `reset`, so they are the same as through the JAX interface.

``make(..., padded=True)`` is for baselines whose agents share one network: all spaces have the largest agent's size,
the real entries first, and an observation begins with the agent's number, one-hot. Padded action entries do nothing.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jax import Array
from jaxtyping import Bool, Float, Num, PRNGKeyArray

from neomflex_jax import environment as core
from neomflex_jax.adapters.extras import missing
from neomflex_jax.errors import InputError
from neomflex_jax.loose_types import FieldValue, Info
from neomflex_jax.scenario import Scenario

try:
    from jaxmarl.environments import multi_agent_env as base
    from jaxmarl.environments import spaces
except ImportError as error:
    raise missing("jaxmarl", "jaxmarl") from error

Observations = dict[str, Float[Array, " _"]]  # (n_observation of the agent,) by agent
Actions = dict[str, Num[Array, " _"]]
Rewards = dict[str, Float[Array, ""]]
Flags = dict[str, Bool[Array, ""]]


@struct.dataclass
class State(base.State):
    """JaxMARL's `done` and `step`, the environment's own state, and what its agents observe in it."""

    day: core.State
    observation: Float[Array, "... n_agents observation_size"]  # padded


class ActionBox(spaces.Box):
    """A Box that says its number of entries as `n`, where JaxMARL's rollout manager looks for valid actions."""

    @property
    def n(self) -> int:
        """Number of entries."""
        return int(np.prod(self.shape))


class NeomFlex(base.MultiAgentEnv):
    """The environment under JaxMARL's names; `make` builds it."""

    def __init__(self, env: core.Environment, padded: bool = False) -> None:
        super().__init__(env.n_agents)
        self.env, self.padded = env, padded
        self.agents = list(env.agents)
        self._acts, self._sees = np.copy(env.action_mask), np.copy(env.observation_mask)
        if padded:
            self._acts[:], self._sees[:] = True, True
        low, high = (self._seen(jnp.asarray(bound)) for bound in (env.observation_low, env.observation_high))
        self.observation_spaces = {
            agent: spaces.Box(low[agent], high[agent], low[agent].shape) for agent in self.agents
        }
        self.action_spaces = {
            agent: ActionBox(-1.0, 1.0, (int(self._acts[i].sum()),)) for i, agent in enumerate(self.agents)
        }

    @partial(jax.jit, static_argnums=(0,))
    def reset(self, key: PRNGKeyArray) -> tuple[Observations, State]:
        """Start a first day."""
        state = self._state(*self.env.reset(key))
        return self.get_obs(state), state

    @partial(jax.jit, static_argnums=(0,))
    def step(
        self, key: PRNGKeyArray, state: State, actions: Actions, reset_state: State | None = None
    ) -> tuple[Observations, State, Rewards, Flags, Info]:
        """Step, then start the next day if this one ended, or go on from `reset_state`."""
        _, stepped, rewards, dones, info = self.step_env(key, state, actions)
        started = self._state(*self.env.next_day(stepped.day)) if reset_state is None else reset_state
        following = jax.tree.map(lambda new, old: jnp.where(stepped.done, new, old), started, stepped)
        return self.get_obs(following), following, rewards, dones, info

    def step_env(  # type: ignore[override]
        self, key: PRNGKeyArray, state: State, actions: Actions
    ) -> tuple[Observations, State, Rewards, Flags, Info]:
        """Play one step; no auto-reset.

        Raises
        ------
        InputError
            If an agent's action is missing or has another shape.
        """
        day, timestep = self.env.step(state.day, self._action(actions))
        following = self._state(day, timestep)
        rewards = {agent: timestep.reward[i] for i, agent in enumerate(self.agents)}
        dones = dict.fromkeys([*self.agents, "__all__"], following.done)
        info: Info = dict(timestep.info)
        info |= {"terminated": timestep.terminated, "truncated": timestep.truncated}
        info["final_observation"] = self._seen(timestep.final_observation)
        return self.get_obs(following), following, rewards, dones, info

    def get_obs(self, state: State) -> Observations:  # type: ignore[override]
        """Observations by agent."""
        return self._seen(state.observation)

    @partial(jax.jit, static_argnums=(0,))
    def get_avail_actions(self, state: State) -> dict[str, Bool[Array, " _"]]:
        """Which action entries are real, by agent."""
        return {agent: jnp.asarray(self.env.action_mask[i, self._acts[i]]) for i, agent in enumerate(self.agents)}

    @property
    def agent_classes(self) -> dict[str, list[str]]:
        """Agents that can share a network: all if padded, else each for itself."""
        return {"agents": self.agents} if self.padded else {agent: [agent] for agent in self.agents}

    def _state(self, day: core.State, timestep: core.TimeStep) -> State:
        ended = timestep.terminated | timestep.truncated
        return State(done=ended, step=day.step, day=day, observation=timestep.observation)

    def _seen(self, rows: Float[Array, "n_agents observation_size"]) -> Observations:
        """Split padded rows by agent."""
        values = {agent: rows[i, self._sees[i]] for i, agent in enumerate(self.agents)}
        if self.padded:
            number = jnp.eye(len(self.agents), dtype=rows.dtype)
            values = {agent: jnp.concatenate([number[i], values[agent]]) for i, agent in enumerate(self.agents)}
        return values

    def _action(self, actions: Actions) -> Num[Array, "n_agents action_size"]:
        """Stack actions by agent to padded rows."""
        rows = []
        for agent in self.agents:
            if agent not in actions:
                raise InputError(f"actions: {agent} is missing; the agents are {', '.join(self.agents)}")
            given, expected = jnp.shape(actions[agent]), self.action_spaces[agent].shape
            if given != expected:
                hint = "" if self.padded else "; for agents that share one network use make(..., padded=True)"
                raise InputError(f"action of {agent} has shape {given}; expected {expected}{hint}")
            rows.append(jnp.pad(jnp.asarray(actions[agent]), (0, self.env.action_size - expected[0])))
        return jnp.stack(rows)


def make(scenario: str | Path | Scenario = "neom33", *, padded: bool = False, **fields: FieldValue) -> NeomFlex:
    """Build the environment.

    Parameters
    ----------
    scenario
        A packaged scenario's name, a TOML file, or a `Scenario`.
    padded
        Give all agents spaces of one size.
    **fields
        As for `neomflex_jax.make`, for example ``power_flow="ac"``, ``profiles="my.csv"``.

    Raises
    ------
    InputError
        As `neomflex_jax.make`.
    """
    return NeomFlex(core.make(scenario, **fields), padded)
