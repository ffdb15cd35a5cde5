"""Power flow: one result, four methods, from the cheapest to the exact (`dc`, `lindistflow`, `calibrated`, `ac`)."""

from neomflex_jax.powerflow.methods.ac import AcConfig
from neomflex_jax.powerflow.result import PowerFlowResult
from neomflex_jax.powerflow.solver import METHODS, PowerFlow, bind, calibrate, check_method, power_flow

__all__ = ["METHODS", "AcConfig", "PowerFlow", "PowerFlowResult", "bind", "calibrate", "check_method", "power_flow"]
