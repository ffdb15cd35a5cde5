"""Wrappers around one environment that keep its interface."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike
from jaxtyping import Num

from neomflex_jax.environment.days import draw_day_if
from neomflex_jax.environment.environment import Environment
from neomflex_jax.environment.state import State, TimeStep
from neomflex_jax.jax_settings import nan_is_a_value
from neomflex_jax.powerflow import PowerFlow


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class AutoReset:
    """Start the next day, by the scenario's rule, within the step that ends one.

    `observation` is then the new day's first; `final_observation` stays the successor of the action. Everything else
    is the wrapped environment's.
    """

    env: Environment

    def __repr__(self) -> str:
        return f"AutoReset({self.env!r})"

    def _repr_html_(self) -> str:
        return self.env._repr_html_()

    def reset(self, key: Array) -> tuple[State, TimeStep]:
        """Start a first day, as `Environment.reset` does.

        Parameters
        ----------
        key
            JAX PRNG key, of `jax.random.key` or `jax.random.PRNGKey`.

        Returns
        -------
        State, TimeStep
            The day's state and first observation.
        """
        return self.env.reset(key)

    @nan_is_a_value()
    def step(self, state: State, action: Num[ArrayLike, "n_rows action_size"]) -> tuple[State, TimeStep]:
        """Step, then start the next day if this one ended.

        Parameters
        ----------
        state
            As the step or reset before returned it.
        action
            Shape (n_agents, action_size), in [-1, 1]; padded entries are not read.

        Returns
        -------
        State, TimeStep
            As `Environment.step`; after the day's last step the state and the `observation` are the next day's first.

        Raises
        ------
        InputError
            As `Environment.step`.
        """
        stepped, timestep = self.env.step(state, action)
        ended = timestep.terminated | timestep.truncated
        started, first = self.env.next_day(stepped, draw_day_if(self.env, ended, stepped))
        next_state = jax.tree.map(lambda new, old: jnp.where(ended, new, old), started, stepped)
        observation = jnp.where(ended, first.observation, timestep.observation)
        return next_state, dataclasses.replace(timestep, observation=observation)

    def with_power_flow(self, power_flow: str | PowerFlow) -> AutoReset:
        """Return the same task on another power flow.

        Parameters
        ----------
        power_flow
            As for `Environment.with_power_flow`.

        Returns
        -------
        AutoReset
            Around the environment with it.
        """
        return AutoReset(self.env.with_power_flow(power_flow))

    def __getattr__(self, name: str) -> Any:
        if name == "env":  # not set yet, while unpickling or copying
            raise AttributeError(name)
        return getattr(self.env, name)
