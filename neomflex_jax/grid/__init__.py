"""Feeders: buses, branches and who controls which part of them."""

from neomflex_jax.grid.feeder import Feeder
from neomflex_jax.grid.library import feeder_names, load_feeder
from neomflex_jax.grid.topology import Topology

__all__ = ["Feeder", "Topology", "feeder_names", "load_feeder"]
