"""Pandapower nets by what a user calls them: a file, a folder, a function of pandapower, a code of SimBench."""

from neomflex_jax.grid.from_pandapower.sources.open import is_net_source, open_net, save_net
from neomflex_jax.grid.from_pandapower.sources.source import NetSeries, NetSource

__all__ = ["NetSeries", "NetSource", "is_net_source", "open_net", "save_net"]
