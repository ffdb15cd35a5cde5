"""What sits at the buses: one module a kind, each a pure function from requests to what is delivered."""

from neomflex_jax.devices.battery import Battery, deliver_battery_power, deliver_battery_q
from neomflex_jax.devices.device import Device, Kind, StepColumns
from neomflex_jax.devices.flexible_load import FlexibleLoad, deliver_flexible_load
from neomflex_jax.devices.pv_inverter import PvInverter, deliver_pv_power, export_room_mw
from neomflex_jax.devices.registry import registered_kinds

__all__ = [
    "Battery",
    "Device",
    "FlexibleLoad",
    "Kind",
    "PvInverter",
    "StepColumns",
    "deliver_battery_power",
    "deliver_battery_q",
    "deliver_flexible_load",
    "deliver_pv_power",
    "export_room_mw",
    "registered_kinds",
]
