"""Power flow: one result, five methods, from the cheapest to the exact (`dc` ... `ac` and `newton`)."""

from neomflex_jax.powerflow.bound import PowerFlow, bind, calibrate
from neomflex_jax.powerflow.methods.register import (
    CHEAPEST_FIRST,
    METHODS,
    UNBALANCED_METHODS,
    check_fallback,
    check_method,
    check_unbalanced,
    method_named,
)
from neomflex_jax.powerflow.network.setting import Setting
from neomflex_jax.powerflow.nominal import nominal_power_flow
from neomflex_jax.powerflow.result import PowerFlowResult
from neomflex_jax.powerflow.solver import power_flow
from neomflex_jax.powerflow.stopping import AcConfig
from neomflex_jax.powerflow.unbalanced import UnbalancedPowerFlow
from neomflex_jax.powerflow.unbalanced.controlled import ControlledFlow, follow_controls

__all__ = [
    "CHEAPEST_FIRST",
    "METHODS",
    "UNBALANCED_METHODS",
    "AcConfig",
    "ControlledFlow",
    "PowerFlow",
    "PowerFlowResult",
    "Setting",
    "UnbalancedPowerFlow",
    "bind",
    "calibrate",
    "check_fallback",
    "check_method",
    "check_unbalanced",
    "follow_controls",
    "method_named",
    "nominal_power_flow",
    "power_flow",
]
