"""What a notebook shows of an environment: a map with territories in colours, and a row an agent."""

from __future__ import annotations

from neomflex_jax.environment.task import Task
from neomflex_jax.grid.small_map import small_map
from neomflex_jax.pages import Table, notebook_cell
from neomflex_jax.scenario.notebook import agent_rows

COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442")  # of territories, in turn


def environment_cell(task: Task, power_flow: str) -> str:
    """Return HTML: the feeder with territories in colours, and a row an agent."""
    scenario, feeder = task.scenario, task.feeder
    buses = feeder.nodes.bus_labels  # a map has a dot a bus, however many nodes that is
    owners = [scenario.owner(bus) for bus in buses]
    titles = [
        f"bus {bus}" + ("" if owner is None else f", {scenario.territories[owner].agent}")
        for bus, owner in zip(buses, owners, strict=True)
    ]
    colours = ["#999999" if owner is None else COLOURS[owner % len(COLOURS)] for owner in owners]
    acts, sees = (mask.sum(axis=1).tolist() for mask in (task.action_mask, task.observation_mask))
    header, rows = agent_rows(scenario.territories, {kind.noun: scenario.of(kind) for kind in scenario.kinds})
    shown = [(*row, str(acts[index]), str(sees[index])) for index, row in enumerate(rows[: len(acts)])]
    about = f"{scenario.name}: {feeder.n_bus} buses of {feeder.name}, power flow {power_flow}"
    return notebook_cell(
        "Environment",
        about,
        Table((*header, "sets", "sees"), (*shown, *((*row, "", "") for row in rows[len(acts) :]))),
        drawing=small_map(feeder.topology, titles, colours),
    )
