"""Soft actor-critic for several agents: decentralised actors, one parameter set an agent, trained side by side."""

from neomflex_jax.agents.sac.config import SacConfig
from neomflex_jax.agents.sac.learner import Sac
from neomflex_jax.agents.sac.state import LearnerState

__all__ = ["LearnerState", "Sac", "SacConfig"]
