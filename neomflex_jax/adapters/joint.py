"""Joint vectors: the real entries of all agents in one row, in agent order, nothing padded.

All in NumPy, on the host: what a user hands over is checked here, before anything is compiled for it.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from jaxtyping import Bool, Float, Num

from neomflex_jax.environment import Environment
from neomflex_jax.errors import InputError


def join(mask: Bool[np.ndarray, "*agents size"], padded: Num[np.ndarray, "... size"]) -> Float[np.ndarray, "... n"]:
    """Real entries of padded rows, as float32; always a new array.

    Parameters
    ----------
    mask
        (n_agents, size), or (size,) of one agent's row.
    padded
        The mask's shape, after axes of the copies if there are any.
    """
    return np.asarray(padded)[..., mask].astype(np.float32)


def spread(
    mask: Bool[np.ndarray, "n_agents size"], joint: Float[np.ndarray, "*copies n"]
) -> Float[np.ndarray, "*copies n_agents size"]:
    """Return the padded rows of joint vectors, zero where padded."""
    padded = np.zeros((*joint.shape[:-1], *mask.shape), np.float32)
    padded[..., mask] = joint
    return padded


def checked_joint_action(
    env: Environment, action: object, copies: tuple[int, ...] = ()
) -> Float[np.ndarray, "*copies n_action"]:
    """Return the joint action of all copies as float32.

    Values outside [-1, 1] pass: the environment clips them.

    Raises
    ------
    InputError
        If it is no array of numbers of that shape, or an entry is NaN; the message names copy, agent and entry.
    """
    values = _numbers("action", action)
    expected = (*copies, int(env.action_mask.sum()))
    if values.shape != expected:
        parts = ", ".join(f"{n} of {agent}" for agent, n in zip(env.agents, env.action_mask.sum(1), strict=True))
        raise InputError(f"action has shape {values.shape}; expected {expected}, entries in this order: {parts}")
    _refuse_nan(env, values)
    return values


def checked_agent_actions(env: Environment, actions: Mapping[str, object]) -> Float[np.ndarray, " n_action"]:
    """Return the joint action of actions by agent.

    Raises
    ------
    InputError
        If an agent is missing or unknown, an action is no array of the agent's shape, or an entry is NaN.
    """
    unknown = sorted(set(actions) - set(env.agents))
    if unknown:
        raise InputError(f"actions name {', '.join(map(repr, unknown))}; the agents are {', '.join(env.agents)}")
    parts = []
    for agent, size in zip(env.agents, env.action_mask.sum(1), strict=True):
        if agent not in actions:
            raise InputError(f"actions: {agent} is missing; every agent acts in every step of a day")
        values = _numbers(f"action of {agent}", actions[agent])
        if values.shape != (size,):
            raise InputError(f"action of {agent} has shape {values.shape}; expected ({size},)")
        parts.append(values)
    joint = np.concatenate(parts)
    _refuse_nan(env, joint)
    return joint


def _numbers(what: str, values: object) -> np.ndarray:
    try:
        return np.asarray(values, np.float32)
    except (TypeError, ValueError) as error:
        raise InputError(f"{what} is not an array of numbers ({error})") from error


def _refuse_nan(env: Environment, joint: np.ndarray) -> None:
    if not np.isnan(joint).any():
        return
    *copy, place = np.argwhere(np.isnan(joint))[0]
    agent, entry = np.argwhere(env.action_mask)[place]
    which = f" of copy {copy[0]}" if copy else ""
    raise InputError(f"action{which}: entry {entry} of {env.agents[agent]} is NaN; give a number in [-1, 1]")
