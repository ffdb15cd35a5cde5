"""Demand and solar series."""

from neomflex_jax.profiles.profiles import Profiles, doubts_of, profiles_hash, read_profiles, resolve_profiles

__all__ = ["Profiles", "doubts_of", "profiles_hash", "read_profiles", "resolve_profiles"]
