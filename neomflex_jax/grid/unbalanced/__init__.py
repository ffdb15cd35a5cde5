"""Unbalanced feeders: nodes with phases, elements by their primitive admittances, loads by model and connection."""

from neomflex_jax.grid.unbalanced.circuit import Circuit
from neomflex_jax.grid.unbalanced.element import GROUND, Element, Winding
from neomflex_jax.grid.unbalanced.feeder import UnbalancedFeeder
from neomflex_jax.grid.unbalanced.load import Load
from neomflex_jax.grid.unbalanced.load_model import LoadModel
from neomflex_jax.grid.unbalanced.load_shape import LoadShape
from neomflex_jax.grid.unbalanced.source import Source

__all__ = ["GROUND", "Circuit", "Element", "Load", "LoadModel", "LoadShape", "Source", "UnbalancedFeeder", "Winding"]
