"""What is set in each step on a feeder with phases, in this project's signs.

Loads are consumption by load, nominal: what they draw follows the voltage as each is modelled. Devices are constant
power between a node and ground, positive into the grid.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from neomflex_jax.one_line import one_line


@dataclass(frozen=True, eq=False)
class PhaseSetPoints:
    """First axis: steps."""

    load_p_mw: np.ndarray  # (n, n_load) in the order of the feeder's loads; what feeds in there is below 0
    load_q_mvar: np.ndarray  # (n, n_load)
    device_p_mw: np.ndarray  # (n, n_device_node) what devices feed in at their nodes
    device_q_mvar: np.ndarray  # (n, n_device_node)
    device_nodes: tuple[int, ...] = ()  # positions of those nodes
    taps: np.ndarray | None = None  # (n, n_tapped) in per unit of the winding's rated voltage
    tapped: tuple[tuple[str, int], ...] = ()  # transformer and number of the winding from 1

    __repr__ = one_line

    def __len__(self) -> int:
        return len(self.load_p_mw)

    def arrays(self) -> dict[str, np.ndarray | None]:
        """All of them by name; None: there is none."""
        names = ("load_p_mw", "load_q_mvar", "device_p_mw", "device_q_mvar", "taps")
        return {name: getattr(self, name) for name in names} | {"device_nodes": np.array(self.device_nodes, float)}

    def rows(self, which: slice) -> PhaseSetPoints:
        """Return some of the steps."""
        return self._each(lambda values: values[which])

    def _each(self, change: Callable[[np.ndarray], np.ndarray]) -> PhaseSetPoints:
        return replace(
            self,
            load_p_mw=change(self.load_p_mw),
            load_q_mvar=change(self.load_q_mvar),
            device_p_mw=change(self.device_p_mw),
            device_q_mvar=change(self.device_q_mvar),
            taps=None if self.taps is None else change(self.taps),
        )
