"""Multi-agent reinforcement learning on distribution feeders in JAX, checked against pandapower."""

from neomflex_jax import plots as plots
from neomflex_jax._version import __version__
from neomflex_jax.agents.policy_files import load_policies
from neomflex_jax.devices import register_device
from neomflex_jax.environment import AutoReset, Environment, State, StepInfo, TimeStep, make
from neomflex_jax.environment.users_parts import register_observation, register_reward_term
from neomflex_jax.errors import InputError
from neomflex_jax.evaluation.fidelity import fidelity
from neomflex_jax.grid import Feeder, UnbalancedFeeder, load_feeder
from neomflex_jax.powerflow import (
    AcConfig,
    ControlledFlow,
    PowerFlow,
    PowerFlowResult,
    Setting,
    UnbalancedPowerFlow,
    bind,
    calibrate,
    follow_controls,
    nominal_power_flow,
    power_flow,
)
from neomflex_jax.powerflow.stability import on_stable_branch
from neomflex_jax.scenario import Scenario, load_scenario

__all__ = [
    "AcConfig",
    "AutoReset",
    "ControlledFlow",
    "Environment",
    "Feeder",
    "InputError",
    "PowerFlow",
    "PowerFlowResult",
    "Scenario",
    "Setting",
    "State",
    "StepInfo",
    "TimeStep",
    "UnbalancedFeeder",
    "UnbalancedPowerFlow",
    "__version__",
    "bind",
    "calibrate",
    "fidelity",
    "follow_controls",
    "load_feeder",
    "load_policies",
    "load_scenario",
    "make",
    "nominal_power_flow",
    "on_stable_branch",
    "power_flow",
    "register_device",
    "register_observation",
    "register_reward_term",
]
