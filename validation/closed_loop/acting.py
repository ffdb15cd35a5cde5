"""Asking a policy, and not believing its answer: whose action it is, its shape, its numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import ArrayLike

from neomflex_jax.environment.step.actions import lay_out_actions
from neomflex_jax.errors import InputError
from neomflex_jax.scenario import Scenario

# {agent: observation} -> {agent: action}, unpadded; actions beyond [-1, 1] are clipped, as the environment does
ActingPolicy = Callable[[dict[str, np.ndarray]], Mapping[str, ArrayLike]]


def idle_policy(scenario: Scenario) -> ActingPolicy:
    """Return the policy of a recorded baseline, which leaves every device alone.

    Parameters
    ----------
    scenario
        Whose agents it acts for.

    Returns
    -------
    ActingPolicy
        A function of observations by agent that returns zeros, (action size of the agent,) by agent.
    """
    sizes = lay_out_actions(scenario).mask.sum(axis=1)
    idle = {agent: np.zeros(size, np.float32) for agent, size in zip(scenario.agents, sizes, strict=True)}
    return lambda observations: idle


def rounded_entries(scenario: Scenario) -> Bool[np.ndarray, "n_agents action_size"]:
    """Return True where an entry of the padded actions asks for one of a range of positions."""
    layout = lay_out_actions(scenario)
    return np.array([*(entry.control.rounded for entry in layout.controls), False])[layout.slots]


class Actor:
    """A policy with the sizes of its observations and actions; `InputError` if it is no function."""

    def __init__(self, policy: ActingPolicy, scenario: Scenario, observation_sizes: Sequence[int], where: str) -> None:
        if not callable(policy):
            raise InputError(
                f"{where}: the policy is a {type(policy).__name__}; give a function of observations by agent"
            )
        self.policy, self.agents, self.where = policy, scenario.agents, where
        self.observation_sizes = observation_sizes
        self.action_mask = lay_out_actions(scenario).mask

    def act(
        self, row: int, observation: Float[np.ndarray, "n_agents observation_size"]
    ) -> Float[np.ndarray, "n_agents action_size"]:
        """Act on padded observations, and return padded actions.

        Raises
        ------
        InputError
            If an agent's action is missing, of another shape, no array of numbers or not finite, naming the step `row`.
        """
        sizes = zip(self.agents, self.observation_sizes, strict=True)
        answer = self.policy({agent: observation[index, :size].copy() for index, (agent, size) in enumerate(sizes)})
        where = f"{self.where}, step {row}"
        if not isinstance(answer, Mapping) or set(answer) != set(self.agents):
            said = ", ".join(map(str, answer)) if isinstance(answer, Mapping) else f"a {type(answer).__name__}"
            raise InputError(
                f"{where}: the policy answers for {said or 'nobody'}; expected an action for each of "
                f"{', '.join(self.agents)}"
            )
        action = np.zeros(self.action_mask.shape, np.float32)
        for index, agent in enumerate(self.agents):
            size = int(self.action_mask[index].sum())
            action[index, :size] = _checked(f"{where}: the action of {agent}", answer[agent], size)
        return action


def _checked(where: str, action: ArrayLike, size: int) -> Float[np.ndarray, " size"]:
    try:
        if np.iscomplexobj(action):
            raise TypeError("it is complex")
        own = np.asarray(action, np.float32)
    except (TypeError, ValueError) as error:
        raise InputError(f"{where} is no array of numbers ({error})") from error
    if own.shape != (size,):
        raise InputError(f"{where} has shape {own.shape}; expected ({size},)")
    bad = np.flatnonzero(~np.isfinite(own))
    if bad.size:
        raise InputError(f"{where}, entry {bad[0]}, is {own[bad[0]]}; actions are numbers in [-1, 1]")
    return own
