"""Feeders: buses, branches and who controls which part of them."""

from neomflex_jax.grid.feeder import AnyFeeder, Feeder
from neomflex_jax.grid.library import (
    feeder_names,
    load_balanced_feeder,
    load_feeder,
    unbalanced_feeder_names,
)
from neomflex_jax.grid.topology import Topology
from neomflex_jax.grid.unbalanced.feeder import UnbalancedFeeder

__all__ = [
    "AnyFeeder",
    "Feeder",
    "Topology",
    "UnbalancedFeeder",
    "feeder_names",
    "load_balanced_feeder",
    "load_feeder",
    "unbalanced_feeder_names",
]
