"""Demand and solar series, and those of a feeder's own elements."""

from neomflex_jax.profiles.assign import SolarDevice, assign, assign_sessions, assign_solar
from neomflex_jax.profiles.config import SeriesConfig
from neomflex_jax.profiles.profiles import (
    Profiles,
    doubts_of,
    profiles_hash,
    read_profiles,
    read_profiles_by_element,
    resolve_profiles,
)
from neomflex_jax.profiles.series_clock import check_plain_clock
from neomflex_jax.profiles.sessions import SessionDevice
from neomflex_jax.profiles.table import Wanted

__all__ = [
    "Profiles",
    "SeriesConfig",
    "SessionDevice",
    "SolarDevice",
    "Wanted",
    "assign",
    "assign_sessions",
    "assign_solar",
    "check_plain_clock",
    "doubts_of",
    "profiles_hash",
    "read_profiles",
    "read_profiles_by_element",
    "resolve_profiles",
]
