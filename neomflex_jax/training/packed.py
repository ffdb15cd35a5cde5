"""The environment as a learner of very unequal agents plays it: observations and actions packed, as its actors are."""

from __future__ import annotations

from dataclasses import replace

from neomflex_jax.agents.actors import Actors
from neomflex_jax.environment import Environment
from neomflex_jax.environment.task import Packed


def packed_for(actors: Actors, env: Environment) -> Environment:
    """Return the environment with observations and actions where actors have them."""
    return replace(env, packed=Packed(actors.observations, actors.actions)) if actors.actions.is_packed else env
