"""The task: a feeder, its devices and its days as one pure step."""

from neomflex_jax.environment.auto_reset import AutoReset
from neomflex_jax.environment.environment import Environment
from neomflex_jax.environment.make import evaluation_environment, make
from neomflex_jax.environment.state import State, TimeStep
from neomflex_jax.environment.step.info import StepInfo

__all__ = ["AutoReset", "Environment", "State", "StepInfo", "TimeStep", "evaluation_environment", "make"]
