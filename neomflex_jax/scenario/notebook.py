"""What a notebook shows of a scenario, and its agents as a table: whose buses, and what devices are at which."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from neomflex_jax.devices import Device
from neomflex_jax.grid.parts import summarise_labels
from neomflex_jax.loose_types import BusLabel
from neomflex_jax.one_line import cut
from neomflex_jax.pages import Table, notebook_cell
from neomflex_jax.scenario.parts import Territory

MOST_AGENTS = 20
SHOWN = ("feeder", "profiles", "evaluation_profiles", "power_flow", "description")
Header = tuple[str, ...]


def ranges(labels: Sequence[BusLabel]) -> str:
    """Return labels as text, consecutive ones joined: 0-4, 18."""
    if any(isinstance(label, str) for label in labels):
        return ", ".join(map(str, labels))
    runs: list[list[int]] = []
    for label in sorted(labels):
        if runs and label == runs[-1][-1] + 1:
            runs[-1].append(label)
        else:
            runs.append([label])
    return ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)


def agent_rows(
    territories: Sequence[Territory], devices: Mapping[str, Sequence[Device]]
) -> tuple[Header, list[tuple[str, ...]]]:
    """Return header and rows; of very many agents the first are shown, and a last row says how many there are.

    Parameters
    ----------
    territories
        One an agent.
    devices
        By what their kind is called.
    """
    devices = {noun: of_kind for noun, of_kind in devices.items() if of_kind}
    header = ("agent", "buses", *(f"{noun} at" for noun in devices))
    rows = []
    for part in territories[:MOST_AGENTS]:
        buses = set(part.buses)
        own = [[each.bus for each in of_kind if each.bus in buses] for of_kind in devices.values()]
        shown = (ranges(part.buses), *(summarise_labels(labels) for labels in own))
        rows.append((part.agent, *(text or "-" for text in shown)))
    if len(territories) > MOST_AGENTS:
        rows.append((f"... {len(territories)} in all", *[""] * (len(header) - 1)))
    return header, rows


def scenario_line(scenario: Any) -> str:
    """Return a `Scenario`, whose module takes this one, in a line."""
    name, feeder = cut(repr(scenario.name)), cut(repr(scenario.feeder))
    return f"Scenario({name}, {len(scenario.agents)} agents, {len(scenario.devices)} devices, feeder {feeder})"


def scenario_cell(scenario: Any) -> str:
    """Return HTML of a `Scenario`."""
    facts = [(name.replace("_", " "), str(value)) for name in SHOWN if (value := getattr(scenario, name))]
    header, rows = agent_rows(scenario.territories, {kind.noun: scenario.of(kind) for kind in scenario.kinds})
    return notebook_cell("Scenario", scenario.name, Table((), tuple(facts)), Table(header, tuple(rows)))
