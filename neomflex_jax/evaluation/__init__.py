"""Playing policies on given days, recording everything, and the tables made from it."""

from neomflex_jax.evaluation.rollout import record
from neomflex_jax.evaluation.trajectory import Trajectory

__all__ = ["Trajectory", "record"]
