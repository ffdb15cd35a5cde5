"""What pandapower says that external grids and generators deliver, by the bus whose voltage they hold.

Positive into the grid, as there. Where a generator stands beside an external grid, pandapower shares the reactive power
of the bus out among both: here it is all the external grids'. A generator's active power is never the slack's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from neomflex_jax.grid.feeder import Feeder
from neomflex_jax.one_line import one_line

if TYPE_CHECKING:
    from pandapower import pandapowerNet


@dataclass(frozen=True, eq=False)
class Supply:
    """Which rows of one copy's tables deliver where."""

    external_at: np.ndarray  # (n_ext_grid,) place in `feeder.held`, -1 for the slack's bus
    generator_at: np.ndarray  # (n_gen,) likewise
    beside_external: np.ndarray  # (n_gen,) bool: the generator's bus has an external grid
    n_held: int

    __repr__ = one_line

    def read(self, net: pandapowerNet, n_copies: int) -> dict[str, np.ndarray]:
        """Read slack powers (n_copies,) and, where more is held, what is delivered there, (n_copies, n_held)."""
        found: dict[str, np.ndarray] = {}
        for slack, held, column in (("slack_p_mw", "held_p_mw", "p_mw"), ("slack_q_mvar", "held_q_mvar", "q_mvar")):
            external = net.res_ext_grid[column].to_numpy().reshape(n_copies, -1)
            generated = np.zeros((n_copies, 0))
            if len(net.gen):
                generated = net.res_gen[column].to_numpy().reshape(n_copies, -1)
            found[slack] = external.sum(axis=1)
            if column == "q_mvar":
                found[slack] += generated[:, self.beside_external].sum(axis=1)
            if self.n_held:
                found[held] = np.zeros((n_copies, self.n_held + 1))  # the slack's comes last, by its -1
                for at, values in ((self.external_at, external), (self.generator_at, generated)):
                    for place, of_row in zip(at, values.T, strict=True):
                        found[held][:, place] += of_row
                found[held] = found[held][:, :-1]
        return found


def supply_of(net: pandapowerNet, feeder: Feeder) -> Supply:
    """Find which rows of a net's external grids and generators hold which of the feeder's voltages."""
    held = () if feeder.held is None else feeder.held.bus
    place = {feeder.bus_labels[bus]: row for row, bus in enumerate(held)}
    external, generators = (net[table]["bus"].tolist() for table in ("ext_grid", "gen"))
    return Supply(
        external_at=np.array([place.get(bus, -1) for bus in external], int),
        generator_at=np.array([place.get(bus, -1) for bus in generators], int),
        beside_external=np.isin(generators, external),
        n_held=len(held),
    )
