"""Policy gradients through the environment itself: decentralised actors, trained by back-propagation through time."""

from neomflex_jax.agents.gradient.config import GradientConfig
from neomflex_jax.agents.gradient.learner import GradientLearner, GradientState

__all__ = ["GradientConfig", "GradientLearner", "GradientState"]
