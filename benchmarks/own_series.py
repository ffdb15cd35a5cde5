"""What a series of its own for every load costs an environment step.

``python benchmarks/own_series.py [--scenario neom33] [--methods ac calibrated] [--copies 4096] [--json FILE]``

Every load's series is the scenario's Demand times random factors. The task as it is and the task with these series play
the same actions in turns; each rate is the best of several repetitions, compilation left out, as in
`environment_speed.py`.
"""

from __future__ import annotations

import dataclasses
import json
import time
from dataclasses import dataclass
from pathlib import Path

import jax
import numpy as np
import tyro
from environment_speed import STEPS, compiled, roll

import neomflex_jax as nf
from neomflex_jax.environment.own_series import elements_of
from neomflex_jax.profiles import SeriesConfig, assign
from neomflex_jax.profiles.by_element import element_series


@dataclass(frozen=True)
class Options:
    """Measure what series by element cost."""

    scenario: str = "neom33"
    methods: tuple[str, ...] = ("ac", "calibrated")
    copies: int = 4096
    repetitions: int = 30
    json: Path | None = None
    """Also write the figures here."""


def with_own_series(env: nf.Environment) -> nf.Environment:
    """Return the task with a series for each load; days start as on the plain one."""
    feeder, config = nf.load_feeder(env.scenario.feeder), SeriesConfig(loads={"*": "{index}"})
    elements = elements_of(feeder)
    factors = np.random.default_rng(0).uniform(0.8, 1.2, (env.profiles.n_rows, len(elements)))
    values = (np.asarray(env.profiles.demand)[:, None] * factors).astype(env.profiles.demand.dtype)
    names = [str(element.index) for element in elements]
    series = element_series(config, assign(config, elements), names, values, feeder.nodes)
    return dataclasses.replace(env, profiles=env.profiles.with_elements(series))


def measure(env: nf.Environment, options: Options) -> dict[str, float]:
    """Steps a second of the plain task and of the one with series, and their ratio."""
    calls = {}
    for name, task in (("plain", nf.AutoReset(env)), ("own_series", nf.AutoReset(with_own_series(env)))):
        state, _ = jax.jit(jax.vmap(task.reset))(jax.random.split(jax.random.key(0), options.copies))
        shape = (STEPS, options.copies, env.n_agents, env.action_size)
        actions = jax.random.uniform(jax.random.key(1), shape, minval=-1.0, maxval=1.0)
        calls[name], _ = compiled(roll, task, state, actions)
    best = dict.fromkeys(calls, float("inf"))
    for _ in range(options.repetitions):
        for name, call in calls.items():
            before = time.perf_counter()
            call()
            best[name] = min(best[name], time.perf_counter() - before)
    rates = {name: options.copies * STEPS / seconds for name, seconds in best.items()}
    return rates | {"ratio": rates["own_series"] / rates["plain"]}


def main() -> None:
    """Measure and print."""
    options = tyro.cli(Options)
    figures = {}
    for method in options.methods:
        figures[method] = found = measure(nf.make(options.scenario, power_flow=method), options)
        print(
            f"{options.scenario}, {method:<12s} plain {found['plain']:12,.0f} steps/s, a series for each load "
            f"{found['own_series']:12,.0f} steps/s: {found['ratio']:.3f} x"
        )
    if options.json is not None:
        options.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
