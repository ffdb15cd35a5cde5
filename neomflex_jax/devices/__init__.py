"""What sits at the buses: one module a kind, each a pure function from requests to what is delivered."""

from neomflex_jax.devices.battery import Battery
from neomflex_jax.devices.battery_power import deliver_battery_power, deliver_battery_q
from neomflex_jax.devices.capacitor_bank import CapacitorBank
from neomflex_jax.devices.device import (
    Control,
    CostTerm,
    Delivery,
    Device,
    Kind,
    Observable,
    Recorded,
    StepColumns,
    Surroundings,
    Turn,
)
from neomflex_jax.devices.ev_charger import EvCharger
from neomflex_jax.devices.figures import Bound, Lines, Look, Operated, Symbol
from neomflex_jax.devices.flexible_load import FlexibleLoad, deliver_flexible_load
from neomflex_jax.devices.options import by_bus, stacked
from neomflex_jax.devices.planning import Planning, ReactivePower
from neomflex_jax.devices.pv_inverter import PvInverter, deliver_pv_power, export_room_mw
from neomflex_jax.devices.registry import register_device, registered_kinds
from neomflex_jax.devices.tap_changer import TapChanger

__all__ = [
    "Battery",
    "Bound",
    "CapacitorBank",
    "Control",
    "CostTerm",
    "Delivery",
    "Device",
    "EvCharger",
    "FlexibleLoad",
    "Kind",
    "Lines",
    "Look",
    "Observable",
    "Operated",
    "Planning",
    "PvInverter",
    "ReactivePower",
    "Recorded",
    "StepColumns",
    "Surroundings",
    "Symbol",
    "TapChanger",
    "Turn",
    "by_bus",
    "deliver_battery_power",
    "deliver_battery_q",
    "deliver_flexible_load",
    "deliver_pv_power",
    "export_room_mw",
    "register_device",
    "registered_kinds",
    "stacked",
]
