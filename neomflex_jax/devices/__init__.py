"""What sits at the buses: pure functions from a request to what is delivered."""

from neomflex_jax.devices.battery import Battery, deliver_battery_power
from neomflex_jax.devices.pv_inverter import PvInverter, deliver_pv_power

__all__ = ["Battery", "PvInverter", "deliver_battery_power", "deliver_pv_power"]
