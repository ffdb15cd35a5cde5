"""The task: a feeder, its devices and its days as one pure step."""

from neomflex_jax.environment.auto_reset import AutoReset
from neomflex_jax.environment.environment import Environment
from neomflex_jax.environment.make import evaluation_environment, make
from neomflex_jax.environment.state import State, TimeStep

__all__ = ["AutoReset", "Environment", "State", "TimeStep", "evaluation_environment", "make"]
