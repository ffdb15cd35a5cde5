"""What each agent has and costs, in words and numbers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from neomflex_jax.commands.console import short
from neomflex_jax.commands.result_kinds import NO_CONTROL_RUNS
from neomflex_jax.evaluation import Trajectory
from neomflex_jax.pages import Table

MOST_AGENTS = 24
MOST_NAMED = 12  # buses or devices in a sentence


@dataclass(frozen=True)
class AgentFacts:
    """One agent; `index` is its place in the scenario."""

    index: int
    name: str
    facts: Table


def agents_of(run: Trajectory, beside: Trajectory | None) -> tuple[AgentFacts, ...]:
    """Return the first agents of a run, beside no control or another run."""
    return tuple(
        AgentFacts(index, agent, Table((), tuple(_facts(run, beside, index))))
        for index, agent in enumerate(run.scenario.agents[:MOST_AGENTS])
    )


def said_of_agents(run: Trajectory) -> str:
    """Return the sentence on agents that are left out; empty if none is."""
    n_agents = len(run.scenario.agents)
    return f"The first {MOST_AGENTS} of {n_agents:,} agents are shown." if n_agents > MOST_AGENTS else ""


def _facts(run: Trajectory, beside: Trajectory | None, index: int) -> list[tuple[str, str]]:
    territory = run.scenario.territories[index]
    own = [device for device in run.scenario.devices if device.bus in set(territory.buses)]
    cost, team = _day_cost(run, index), sum(_day_cost(run, each) for each in range(len(run.scenario.agents)))
    said = short(cost) + (f", {100 * cost / team:.0f} % of the team's" if team > 0 else "")
    facts = [
        ("buses", _named([str(bus) for bus in territory.buses])),
        ("devices", _named([device.label for device in own]) or "none"),
        ("its cost of a day, mean", said),
    ]
    if beside is not None:
        facts.append(
            (
                "the same without control" if beside.run in NO_CONTROL_RUNS else f"the same, {beside.run}",
                short(_day_cost(beside, index)),
            )
        )
    return facts


def _day_cost(run: Trajectory, index: int) -> float:
    return -float(np.sum(run.local_reward[:, index], dtype=float)) * run.scenario.steps_per_day / run.n_steps


def _named(names: list[str]) -> str:
    more = f" and {len(names) - MOST_NAMED:,} more" if len(names) > MOST_NAMED else ""
    return ", ".join(names[:MOST_NAMED]) + more
