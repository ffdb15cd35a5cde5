"""Yardsticks: what rules, foresight and planning reach on the same days. They may see the environment itself."""

from neomflex_jax.yardsticks.controller import Blind, Controller, Schedule
from neomflex_jax.yardsticks.droop import IEEE_1547_B, MAPDN, Droop
from neomflex_jax.yardsticks.model_predictive import ModelPredictive
from neomflex_jax.yardsticks.perfect_foresight import Optimum, find_optimum

__all__ = [
    "IEEE_1547_B",
    "MAPDN",
    "Blind",
    "Controller",
    "Droop",
    "ModelPredictive",
    "Optimum",
    "Schedule",
    "find_optimum",
]
