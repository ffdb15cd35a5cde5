"""Power flow of unbalanced feeders."""

from neomflex_jax.powerflow.unbalanced.bound import UnbalancedPowerFlow, bind_unbalanced

__all__ = ["UnbalancedPowerFlow", "bind_unbalanced"]
