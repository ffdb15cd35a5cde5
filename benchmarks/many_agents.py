"""What a step and an update cost with 3 to 1,000 agents on one feeder, and the memory of it.

``python benchmarks/many_agents.py [--agents 3 30 300 1000] [--n-bus 2000] [--feeder european_lv] [--power-flow ac]``

Territories by electrical distance, a PV inverter and a battery for each agent (`neomflex scenario new`). Seconds are
the processor's, of all threads, so that other jobs on the machine count little; each figure is the least of three.

    step       of the environment alone, 64 copies side by side, random actions
    gradient   an update: 64 copies, two days each, back and forth; a step is a 6,144th of it
    sac        64 copies make a step, and an update on 64 transitions follows: critics of neighbourhoods, one for all

Every number of agents and learner has a process of its own, whose largest memory is stated.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import tyro
from spread_loads import spread_loads
from synthetic_feeder import synthetic_feeder

import neomflex_jax as nf
from neomflex_jax.agents.gradient import GradientConfig
from neomflex_jax.agents.sac import SacConfig
from neomflex_jax.commands.new_scenario import NewScenario
from neomflex_jax.environment import Environment
from neomflex_jax.grid.to_csv import write_feeder
from neomflex_jax.grid.unbalanced.write_folder import write_unbalanced_feeder
from neomflex_jax.training.options import TrainOptions
from neomflex_jax.training.program import program_for

COPIES, STEPS, REPETITIONS = 64, 24, 3
SAC = SacConfig(n_copies=COPIES, batch_size=64, updates_per_step=1, warmup_steps=8, buffer_size=64 * 512)
LEARNERS: dict[str, dict[str, Any]] = {
    "step": {},
    "gradient": {"algorithm": "gradient", "gradient": GradientConfig(n_copies=COPIES)},
    "sac, neighbourhood": {"sac": SAC, "critics": "neighbourhood"},
    "sac, shared": {"sac": SAC, "critics": "shared"},
}


@dataclass(frozen=True)
class Options:
    """Measure many agents."""

    agents: tuple[int, ...] = (3, 30, 300, 1000)
    n_bus: int = 2000
    feeder: str | None = None
    """A packaged feeder with phases in the place of a synthetic one; of more agents than loads, loads are spread."""
    power_flow: str = "ac"
    learners: tuple[str, ...] = tuple(LEARNERS)
    one: str | None = None
    """Measure this learner on this scenario here and print JSON; the script asks itself for it."""


def least_seconds(call: Callable[[], Any]) -> float:
    """Return the processor's seconds of the quickest of several calls."""
    taken = []
    for _ in range(REPETITIONS):
        before = time.process_time()
        jax.block_until_ready(call())
        taken.append(time.process_time() - before)
    return min(taken)


def step_seconds(env: Environment) -> float:
    """Return what a step of one copy takes."""
    copies = nf.AutoReset(env)
    state, _ = jax.jit(jax.vmap(copies.reset))(jax.random.split(jax.random.key(0), COPIES))
    actions = jax.random.uniform(jax.random.key(1), (STEPS, COPIES, *env.action_mask.shape), minval=-1.0, maxval=1.0)

    @jax.jit
    def roll(env: nf.AutoReset, state: nf.State, actions: jax.Array) -> tuple[nf.State, jax.Array]:
        def body(state: nf.State, action: jax.Array) -> tuple[nf.State, jax.Array]:
            state, timestep = jax.vmap(env.step)(state, action)
            return state, jnp.stack([timestep.reward.mean(), timestep.observation.mean()])

        return jax.lax.scan(body, state, actions)

    jax.block_until_ready(roll(copies, state, actions))
    return least_seconds(lambda: roll(copies, state, actions)) / (STEPS * COPIES)


def round_seconds(env: Environment, learner: str) -> tuple[float, int]:
    """Return what a round of training takes, and the steps that all copies make in it."""
    given = dict(LEARNERS[learner])
    critics = given.pop("critics", None)
    if critics is not None:
        given["sac"] = SacConfig(**(vars(SAC) | {"critics": critics}))
    program = program_for(env, TrainOptions(env.scenario, **given))
    state = [program.begin(env, [0])]

    def make_round() -> Any:
        state[0], metrics = program.advance(env, state[0], 0.0, 1)
        return metrics

    jax.block_until_ready(make_round())
    return least_seconds(make_round), program.algorithm.round_steps * program.n_copies


def peak_gib() -> float:
    """Largest memory of this process so far, as Linux states it."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(status.split("VmHWM:")[1].split()[0]) / 2**20


def measure_one(learner: str, scenario: str, power_flow: str) -> dict[str, float]:
    """Return the figures of one process."""
    env = nf.make(scenario, power_flow=power_flow)
    seconds, steps = (step_seconds(env), 1) if learner == "step" else round_seconds(env, learner)
    return {"seconds": seconds, "steps": steps, "gib": peak_gib()}


def written_feeder(options: Options, n_agents: int, folder: Path) -> Path:
    """Write the feeder for so many agents."""
    if options.feeder is None:
        return write_feeder(synthetic_feeder(options.n_bus), folder)
    feeder = nf.load_feeder(options.feeder)
    if not isinstance(feeder, nf.UnbalancedFeeder):
        raise SystemExit(f"--feeder {options.feeder}: has no phases; leave it out for a synthetic feeder")
    return write_unbalanced_feeder(feeder if n_agents <= feeder.n_load else spread_loads(feeder, n_agents), folder)


def main() -> None:
    """Measure and print."""
    options = tyro.cli(Options)
    if options.one is not None:
        learner, scenario = options.one.split(":", 1)
        print(json.dumps(measure_one(learner, scenario, options.power_flow)))
        return
    print(f"{'agents':>6s}  {'what':<20s}{'a round, s':>12s}{'a step, us':>12s}{'GiB':>7s}")
    with tempfile.TemporaryDirectory() as folder:
        for n_agents in options.agents:
            feeder = written_feeder(options, n_agents, Path(folder) / "feeder")
            scenario = Path(folder) / f"agents{n_agents}.toml"
            NewScenario(str(feeder), scenario, agents=n_agents).execute(time.monotonic())
            for learner in options.learners:
                asked = ["--one", f"{learner}:{scenario}", "--power-flow", options.power_flow]
                told = subprocess.run([sys.executable, __file__, *asked], check=True, capture_output=True, text=True)
                found = json.loads(told.stdout.splitlines()[-1])
                per_step = 1e6 * found["seconds"] / found["steps"]
                print(
                    f"{n_agents:6d}  {learner:<20s}{found['seconds']:12.3f}{per_step:12.1f}{found['gib']:7.2f}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
