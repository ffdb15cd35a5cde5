"""Loads that follow the voltage (ZIP loads), as `runpp` takes them.

A load states shares of a constant impedance and of a constant current, in per cent. pandapower takes them by bus: the
mean over the loads in service there, whatever their powers, and for everything that consumes or produces constant
power at the bus. Of buses that closed switches make one it takes either's mean; where they differ, they are refused.
Source: pandapower 3.5, build_bus.py and makeSbus.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from neomflex_jax.errors import InputError
from neomflex_jax.grid.columns import Numbers
from neomflex_jax.grid.from_pandapower.elements import drawn_by
from neomflex_jax.grid.from_pandapower.rows import Rows

if TYPE_CHECKING:
    from pandapower import pandapowerNet

SHARES = {
    f"{power}_{part}_share": (f"const_{letter}_{power}_percent", f"const_{letter}_percent")
    for power in "pq"
    for part, letter in (("current", "i"), ("impedance", "z"))
}  # of a feeder: the column of a net, and what it was before pandapower 3


def voltage_shares(net: pandapowerNet, electrical: dict[int, int], position: dict[int, int]) -> dict[str, Numbers]:
    """Return shares by their names in `FeederColumns`, (n_bus,) each; none where all loads are constant power.

    `electrical` is the label of every bus in service, `position` the place in the feeder by label.
    """
    rows, percent = _percent(net)
    if not percent.any():
        return {}
    shares = np.zeros((len(SHARES), len(position)))
    buses = np.array(rows.labels("bus"), int)
    first_at: dict[int, int] = {}
    for bus in dict.fromkeys(buses.tolist()):
        label = electrical.get(bus, -1)
        if label not in position:
            continue
        mean, place = percent[:, buses == bus].mean(axis=1) / 100, position[label]
        if not np.allclose(shares[:, place], mean) and label in first_at:
            raise InputError(
                f"the loads at buses {first_at[label]} and {bus}, which closed switches make one, follow the voltage "
                "unlike, and runpp takes either; give them one share"
            )
        first_at[label], shares[:, place] = bus, mean
    return dict(zip(SHARES, shares, strict=True))


def unlike_shares(net: pandapowerNet) -> Iterator[str]:
    """Yield what a mean makes of a bus's loads, and what else follows the voltage because loads there do."""
    rows, percent = _percent(net)
    if not percent.any():
        return
    buses = rows.labels("bus")
    for bus in dict.fromkeys(buses):
        here = [row for row, other in enumerate(buses) if other == bus]
        if np.ptp(percent[:, here], axis=1).any():
            named = " and ".join(rows.title(row) for row in here[:2])
            yield (
                f"{named} at bus {bus} follow the voltage unlike: a power flow takes the plain mean of all the loads "
                "there (one load for each bus keeps their shares)"
            )
    followed = {bus for row, bus in enumerate(buses) if percent[:, row].any()}
    for others, _, power_mva in drawn_by(net):
        if others.table != "load":
            for row, bus in enumerate(others.labels("bus")):
                if bus in followed and power_mva[row]:
                    yield f"{others.title(row)} at bus {bus} follows the voltage too, as the loads there do"


def _percent(net: pandapowerNet) -> tuple[Rows, np.ndarray]:
    """Loads in service, and their shares in per cent, (4, n_load), in the order of `SHARES`."""
    rows = Rows.of(net, "load").in_service()
    of_each = [
        rows.numbers(new if new in rows.frame or old not in rows.frame else old, absent=0.0, or_empty=True)
        for new, old in SHARES.values()
    ]
    percent = np.array(of_each).reshape(len(SHARES), len(rows))
    for power, (current, impedance) in zip("pq", (percent[:2], percent[2:]), strict=True):
        columns = f"const_i_{power}_percent + const_z_{power}_percent"
        rows.refuse_values(current + impedance > 100, columns, current + impedance, "they are at most 100 together")
    return rows, percent
