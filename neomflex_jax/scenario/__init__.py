"""A scenario: what is simulated, as plain, validated, hashable values; see `docs/scenarios.md` for every field."""

from neomflex_jax.scenario.load import load_scenario, scenario_from_dict, scenario_names
from neomflex_jax.scenario.observation import ObservationConfig
from neomflex_jax.scenario.parts import Limits, Rules, Territory, Variant
from neomflex_jax.scenario.reward import RewardConfig
from neomflex_jax.scenario.scenario import Scenario
from neomflex_jax.scenario.uncertainty import Uncertainty

__all__ = [
    "Limits",
    "ObservationConfig",
    "RewardConfig",
    "Rules",
    "Scenario",
    "Territory",
    "Uncertainty",
    "Variant",
    "load_scenario",
    "scenario_from_dict",
    "scenario_names",
]
