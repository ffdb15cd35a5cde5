"""SAC updates a second of one agent, beside SBX's (Stable-Baselines in JAX), at equal sizes, in one process.

``python benchmarks/sbx_updates.py --output results/sbx_updates.csv`` (extra `benchmarks`)

One update is one gradient step of an agent's actor, twin critics and temperature on a batch drawn from a replay buffer,
with two hidden layers of 256, batches of 256, and observations and actions as `neom33`'s agents have them. SBX trains
one agent, ours all at once; an update of three agents counts as three. Rounds alternate, and the best of each counts:
machines are shared. What is printed is read back from the file.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import gymnasium
import jax
import numpy as np
import pandas as pd
import tyro
from sbx import SAC
from stable_baselines3.common.logger import Logger

from neomflex_jax.environment import Environment, make
from neomflex_jax.training.algorithm import algorithm_for
from neomflex_jax.training.options import TrainOptions

HIDDEN = (256, 256)
OURS = {
    "neomflex, an unsplit critic each": {"critics": "local", "split": False},
    "neomflex, a split critic each": {"critics": "local", "split": True},
    "neomflex, one critic for all (default)": {},
}


@dataclass(frozen=True)
class Options:
    """Time updates."""

    output: Path
    scenario: str = "neom33"
    updates: int = 96
    """Made by one call."""
    rounds: int = 7


class _Still(gymnasium.Env):
    """Spaces of one agent, for SBX to make its networks by."""

    def __init__(self, observation_size: int, action_size: int) -> None:
        self.observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (observation_size,), np.float32)
        self.action_space = gymnasium.spaces.Box(-1.0, 1.0, (action_size,), np.float32)


def main() -> None:
    """Run and print."""
    options = tyro.cli(Options)
    env = make(options.scenario)
    runs = {name: _ours(env, options, changes) for name, changes in OURS.items()}
    runs["SBX"] = _sbx(env, options)
    seconds = {name: np.inf for name in runs}
    for _ in range(options.rounds):
        for name, (update, _) in runs.items():
            started = time.perf_counter()
            update()
            seconds[name] = min(seconds[name], time.perf_counter() - started)
    rates = {name: options.updates * n_agents / seconds[name] for name, (_, n_agents) in runs.items()}
    rows = [
        {"learner": name, "agent_updates_per_s": rate, "over_sbx": rate / rates["SBX"]} for name, rate in rates.items()
    ]
    options.output.parent.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(rows).to_csv(options.output, index=False)
    print(pd.read_csv(options.output).to_string(index=False, float_format="{:.4g}".format))


def _ours(env: Environment, options: Options, changes: dict[str, object]) -> tuple[Callable[[], None], int]:
    """Compile the learning loop on a buffer from the warm-up; gives what makes the updates, and for how many agents."""
    training = TrainOptions(env.scenario)
    sac = replace(training.sac, hidden_sizes=HIDDEN, batch_size=256, updates_per_step=options.updates, **changes)
    algorithm = algorithm_for(env, replace(training, sac=sac))
    state = jax.jit(lambda env, key: algorithm.warm_up(env, algorithm.start(env, key)))(env, jax.random.key(0))
    learn = jax.jit(algorithm._learn).lower(state, 0.0).compile()

    def update() -> None:
        jax.block_until_ready(learn(state, 0.0))

    update()
    return update, env.n_agents


def _sbx(env: Environment, options: Options) -> tuple[Callable[[], None], int]:
    """Fill SBX's buffer with random numbers, and compile."""
    sizes = env.observation_size, env.action_size
    model = SAC(
        "MlpPolicy", _Still(*sizes), batch_size=256, policy_kwargs={"net_arch": list(HIDDEN)}, buffer_size=12_288
    )
    model.set_logger(Logger(None, []))  # it writes nowhere
    rng = np.random.default_rng(0)
    for _ in range(12_288):
        observation, following = rng.normal(size=(2, 1, sizes[0])).astype(np.float32)
        action, reward = rng.uniform(-1, 1, (1, sizes[1])).astype(np.float32), rng.normal(size=1)
        model.replay_buffer.add(observation, following, action, reward, np.zeros(1), [{}])

    def update() -> None:
        model.train(options.updates, 256)  # reads the losses back, so it is finished when it returns

    update()
    return update, 1


if __name__ == "__main__":
    main()
