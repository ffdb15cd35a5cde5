"""What sits at the buses: pure functions from a request to what is delivered."""

from neomflex_jax.devices.battery import Battery, deliver_battery_power, deliver_battery_q
from neomflex_jax.devices.flexible_load import FlexibleLoad, deliver_flexible_load
from neomflex_jax.devices.pv_inverter import PvInverter, deliver_pv_power, export_room_mw

__all__ = [
    "Battery",
    "FlexibleLoad",
    "PvInverter",
    "deliver_battery_power",
    "deliver_battery_q",
    "deliver_flexible_load",
    "deliver_pv_power",
    "export_room_mw",
]
