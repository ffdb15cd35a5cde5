"""What devices set in the grid: pandapower's own `tap_pos` and shunt `step`, and feeders that have them as theirs.

A tap changer is one of the type Ratio on the high-voltage side of a transformer from its from to its to bus. A line
that has one becomes such a transformer, with the line's impedance. Where the branch has an off-nominal ratio of its
own, ``1 + tap_0``, that moves into `tap_neutral`: ``(tap_pos - neutral) step' = tap_0 + tap_pos step (1 + tap_0)``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from neomflex_jax.errors import InputError
from neomflex_jax.grid.feeder import Feeder
from neomflex_jax.grid.parts import Shunts, Transformers
from neomflex_jax.scenario import Scenario
from validation.recompute.set_points import SetPoints
from validation.recompute.twins import sets_of
from validation.referee.feeder_net import transformer_row

if TYPE_CHECKING:
    from pandapower import pandapowerNet


@dataclass(frozen=True, eq=False)
class SetRows:
    """Positions of one kind's devices, and the rows of one copy's table that they go to."""

    name: str  # recorded array (n, n_device)
    table: str
    column: str
    rows: np.ndarray  # (n_device,)

    def write(self, net: pandapowerNet, set_points: SetPoints, n_copies: int) -> None:
        """Write a step's positions into each copy."""
        column = net[self.table][self.column].to_numpy(float).reshape(n_copies, -1).copy()
        column[:, self.rows] = np.round(set_points.devices[self.name])
        net[self.table][self.column] = column.ravel()


def add_settings(net: pandapowerNet, scenario: Scenario, feeder: Feeder, trafo_rows: np.ndarray) -> tuple[SetRows, ...]:
    """Add the scenario's tap changers and capacitor banks to one copy of a net, all at position 0.

    `trafo_rows`, (n_branch,) rows of the transformer table, -1 for lines, is brought up to date where a line becomes a
    transformer; the line stays, out of service.
    """
    found = []
    for sets, devices in sets_of(scenario):
        if sets.tap is not None:
            rows = [_add_tap(net, feeder, trafo_rows, *sets.tap(device)) for device in devices]
            found.append(SetRows(sets.position, "trafo", "tap_pos", np.array(rows, int)))
        if sets.shunt is not None:
            rows = [_add_shunt(net, *sets.shunt(device)) for device in devices]
            found.append(SetRows(sets.position, "shunt", "step", np.array(rows, int)))
    return tuple(found)


def _add_tap(
    net: pandapowerNet, feeder: Feeder, trafo_rows: np.ndarray, start: int, end: int, step_percent: float
) -> int:
    """Add a tap changer to a branch; return the row of its transformer."""
    import pandapower

    branch = branch_from_to(feeder, start, end)
    row = int(trafo_rows[branch])
    if row < 0:
        at_line = (net.line["from_bus"].isin((start, end))) & (net.line["to_bus"].isin((start, end)))
        net.line.loc[at_line, "in_service"] = False
        pandapower.create_transformer_from_parameters(net, **transformer_row(_with_transformers(feeder), branch))
        row = trafo_rows[branch] = len(net.trafo) - 1
    label = net.trafo.index[row]
    before = net.trafo.loc[label, ["tap_pos", "tap_neutral", "tap_step_percent"]].astype(float)
    own = (before["tap_pos"] - before["tap_neutral"]) * before["tap_step_percent"]
    step = step_percent * (1 + own / 100)
    columns = {"tap_neutral": -own / step, "tap_step_percent": step, "tap_pos": 0, "tap_min": -1000, "tap_max": 1000}
    for column, value in columns.items():
        net.trafo[column] = net.trafo[column].astype(float)
        net.trafo.loc[label, column] = value
    return row


def _add_shunt(net: pandapowerNet, bus: int, step_mvar: float) -> int:
    import pandapower

    pandapower.create_shunt(net, bus, q_mvar=-step_mvar, p_mw=0.0, step=0, max_step=1000)
    return len(net.shunt) - 1


def branch_from_to(feeder: Feeder, start: int, end: int) -> int:
    """Position of the branch between two buses, by their labels.

    Raises
    ------
    InputError
        If there is not one such branch.
    """
    topology, labels = feeder.topology, feeder.bus_labels
    pairs = list(zip(topology.from_bus, topology.to_bus, strict=True))
    found = [row for row, (a, b) in enumerate(pairs) if (labels[a], labels[b]) == (start, end)]
    if len(found) != 1:
        raise InputError(
            f"feeder {feeder.name!r} has {len(found)} branches from bus {start} to bus {end}, expected one"
        )
    return found[0]


def ratios_and_shunts(
    scenario: Scenario, set_points: SetPoints
) -> tuple[dict[tuple[int, int], np.ndarray], dict[int, np.ndarray]]:
    """Return factors on ratios, by a branch's from and to bus, and shunts in Mvar at 1 pu, by bus, (n,) each."""
    ratios: dict[tuple[int, int], np.ndarray] = {}
    shunts: dict[int, np.ndarray] = {}
    for sets, devices in sets_of(scenario):
        for number, device in enumerate(devices):
            position = set_points.devices[sets.position][:, number]
            if sets.tap is not None:
                start, end, step_percent = sets.tap(device)
                ratios[start, end] = 1 + position * step_percent / 100
            if sets.shunt is not None:
                bus, step_mvar = sets.shunt(device)
                shunts[bus] = shunts.get(bus, 0.0) + position * step_mvar
    return ratios, shunts


def feeder_as_set(feeder: Feeder, scenario: Scenario, positions: dict[str, np.ndarray]) -> Feeder:
    """Return the feeder with ratios and shunts of these positions, (n_device,) by recorded name, as its own."""
    feeder, nothing = _with_transformers(feeder), np.zeros(feeder.n_bus)
    shunts = Shunts(nothing, nothing) if feeder.shunts is None else feeder.shunts
    assert feeder.transformers is not None  # `_with_transformers` saw to it
    ratio, q_mvar = np.array(feeder.transformers.ratio, float), np.array(shunts.q_mvar, float)
    for sets, devices in sets_of(scenario):
        for device, position in zip(devices, positions[sets.position], strict=True):
            if sets.tap is not None:
                start, end, step_percent = sets.tap(device)
                ratio[branch_from_to(feeder, start, end)] *= 1 + position * step_percent / 100
            if sets.shunt is not None:
                bus, step_mvar = sets.shunt(device)
                q_mvar[feeder.bus_position(bus)] -= position * step_mvar
    parts = replace(feeder.transformers, ratio=ratio)
    return replace(feeder, transformers=parts, shunts=replace(shunts, q_mvar=q_mvar))


def _with_transformers(feeder: Feeder) -> Feeder:
    n = feeder.topology.n_branch
    neutral = Transformers(np.ones(n), np.zeros(n), np.ones(n))
    return feeder if feeder.transformers is not None else replace(feeder, transformers=neutral)
