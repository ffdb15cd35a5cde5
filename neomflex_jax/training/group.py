"""A group of trainings side by side in one compiled program: the seeds of a run, or seeds and settings of a sweep.

They share a budget, of which ``share = max(steps / most_steps, seconds / max_seconds)`` is used up. A run of one seed
is a group of one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from neomflex_jax.environment import Environment
from neomflex_jax.training.algorithm import TrainState
from neomflex_jax.training.clock import Clock
from neomflex_jax.training.devices import on_host
from neomflex_jax.training.options import TrainOptions
from neomflex_jax.training.processes import agreed
from neomflex_jax.training.program import Program, steps_of_a_copy
from neomflex_jax.training.run_log import Progress

Values = dict[str, np.ndarray]  # a chunk's metrics by name, (n_seeds,) or (n_seeds, n_agents)


@dataclass
class Group:
    """Trainings on their way.

    Attributes
    ----------
    options
        Of all of them: scenario, budget, algorithm; settings that are traced may differ, and are in the state.
    seeds
        One a training.
    program
        What is compiled, for all of them.
    env
        The environment; another one from where `finish_on` takes over.
    clock
        Counts the seconds of the budget.
    reached_target
        True once a chunk's mean day cost was at most `target_day_cost`.
    """

    options: TrainOptions
    seeds: tuple[int, ...]
    program: Program
    env: Environment
    clock: Clock
    reached_target: bool = False
    finishing: bool = False  # on the power flow of `finish_on`

    def share(self, state: TrainState) -> float:
        """Share of the budget that is used up, of steps or of time, whichever is larger; above 1 where exceeded."""
        share = self.program.steps(state) / self.options.most_steps
        if self.options.max_seconds is not None:
            share = max(share, self.clock.seconds() / self.options.max_seconds)
        return share

    def stopped(self, state: TrainState) -> str | None:
        """Option that ends the training here; None while it goes on, which it does for a chunk whatever the budget."""
        if steps_of_a_copy(state) <= getattr(self.options, self.options.algorithm).warmup_steps:
            return None
        if self.reached_target:
            return "target_day_cost"
        if self.program.steps(state) >= self.options.most_steps:
            return "total_steps"
        return "max_seconds" if agreed(self.share(state)) >= 1.0 else None

    def advance(self, state: TrainState) -> tuple[TrainState, Progress, Values]:
        """Train for one chunk; donates the state's buffers."""
        share, before = min(agreed(self.share(state)), 1.0), self.clock.seconds()
        self._finish_if_due(share)
        state, metrics = self.program.advance(self.env, state, share)
        values: Values = on_host(metrics, self.program.n_devices)
        if len(self.seeds) == 1:
            values = {name: value[None] for name, value in values.items()}
        progress = self._progress(state, values, self.clock.seconds() - before)
        target = self.options.target_day_cost
        if target is not None and progress.metrics["day_cost"] <= target:
            self.reached_target = True
        return state, progress, values

    def _finish_if_due(self, share: float) -> None:
        """Change to the power flow of the last part of the budget, once."""
        options = self.options
        if options.finish_on is not None and not self.finishing and share >= 1.0 - options.finish_fraction:
            self.env, self.finishing = self.env.with_power_flow(options.finish_on), True

    def _progress(self, state: TrainState, values: Values, chunk_seconds: float) -> Progress:
        made = self.program.algorithm.chunk_steps * self.program.n_copies * len(self.seeds)
        return Progress(
            steps=self.program.steps(state),
            most_steps=self.options.most_steps,
            seconds=self.clock.seconds(),
            steps_per_second=made / chunk_seconds,
            share=self.share(state),
            metrics={name: _mean(value) for name, value in values.items()},
        )


def _mean(values: np.ndarray) -> float:
    """Mean over the trainings (and agents) that have not diverged; NaN if all have."""
    known = values[~np.isnan(values)]
    return float(np.mean(known)) if known.size else math.nan
