"""A group of trainings side by side in one compiled program: the seeds of a run, or seeds and settings of a sweep.

They share a budget, of which ``share = max(steps / most_steps, seconds / max_seconds)`` is used up. A run of one seed
is a group of one. A budget in seconds is kept: what the last rounds took says how many more there is time for. Without
one, a chunk is whole, in several parts where it takes long. Where Ctrl-C ended it in between, the next is the rest of
it, with the share of its beginning, so that what is learned is the same bit for bit.

What falls in the course of a budget, like the learning rate, goes by the share of its learning: seconds of starting and
compiling are left out, ``(seconds - theirs) / (max_seconds - theirs)``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
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
from neomflex_jax.training.step_metrics import Values, of_rounds

LOOK_SECONDS = 5.0  # that rounds may take, if they are several, until the clock is looked at again
SHORTEST_SECONDS = 1e-6  # of a round, on clocks too coarse for it


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
    round_seconds: float = 0.0  # that a round takes, as the last ones did; 0 before any was measured
    idle_seconds: float = 0.0  # of this sitting, in which nothing was learned: start and compilation

    def share(self, state: TrainState) -> float:
        """Share of the budget that is used up, of steps or of time, whichever is larger; above 1 where exceeded."""
        share = self.program.steps(state) / self.options.most_steps
        if self.options.max_seconds is not None:
            share = max(share, self.clock.seconds() / self.options.max_seconds)
        return share

    def _learned_share(self, steps: int) -> float:
        """Share of the learning there is a budget for that these steps, or the time since it began, have used up."""
        share = steps / self.options.most_steps
        if self.options.max_seconds is not None:
            seconds = self.clock.seconds() - self.idle_seconds
            of = seconds + max(self._seconds_left, 0.0)
            share = max(share, seconds / of if of else 0.0)
        return min(share, 1.0)

    def stopped(self, state: TrainState) -> str | None:
        """Option that ends the training here; None while it goes on, which it does for a round whatever the budget."""
        if steps_of_a_copy(state) <= getattr(self.options, self.options.algorithm).warmup_steps:
            return None
        if self.reached_target:
            return "target_day_cost"
        if self.program.steps(state) >= self.options.most_steps:
            return "total_steps"
        return "max_seconds" if agreed(self._seconds_left) <= self.round_seconds else None

    def advance(
        self, state: TrainState, is_interrupted: Callable[[], bool] = lambda: False
    ) -> tuple[TrainState, Progress, Values]:
        """Train for a chunk, or for the rounds of it that there is time for; donates the state's buffers.

        Parameters
        ----------
        state
            Before it.
        is_interrupted
            Asked between the parts of a chunk that takes long; True ends it there.

        Returns
        -------
        TrainState, Progress, Values
            The state after it, how far the training is, and the metrics by name, (n_seeds,) or (n_seeds, n_agents).
        """
        self._finish_if_due(state)
        state = self._compiled(state)
        before, steps = self.clock.seconds(), self.program.steps(state)
        left, share = self._rest_of_chunk(state)
        state, parts = self._make_parts(state, share, left, is_interrupted)
        values = of_rounds(parts, axis=1)
        made = (self.program.steps(state) - steps) * len(self.seeds)
        progress = self._progress(state, values, made / (self.clock.seconds() - before))
        target = self.options.target_day_cost
        if target is not None and progress.metrics["day_cost"] <= target:
            self.reached_target = True
        return state, progress, values

    def _rest_of_chunk(self, state: TrainState) -> tuple[int, float]:
        """Return the rounds that are left of the chunk at hand, and the share of the learning at its beginning."""
        algorithm, begun = self.program.algorithm, 0
        if self.options.max_seconds is None:  # else chunks end where the clock says
            learned = steps_of_a_copy(state) - getattr(self.options, self.options.algorithm).warmup_steps
            begun = learned // algorithm.round_steps % algorithm.chunk_rounds
        steps = self.program.steps(state) - begun * algorithm.round_steps * self.program.n_copies
        return algorithm.chunk_rounds - begun, agreed(self._learned_share(steps))

    def _compiled(self, state: TrainState) -> TrainState:
        """Compile what has not run yet, before a round of it is timed."""
        if self.round_seconds:
            return state
        began = self.clock.seconds() if self.idle_seconds else self.clock.earlier_seconds
        state, _ = self.program.advance(self.env, state, 0.0, 0)
        self.idle_seconds += self.clock.seconds() - began
        return state

    def _make_parts(
        self, state: TrainState, share: float, left: int, is_interrupted: Callable[[], bool]
    ) -> tuple[TrainState, list[Values]]:
        """Train for the rounds that are left of a chunk, in parts of a few seconds; return the metrics of each part."""
        parts: list[Values] = []
        if not self.round_seconds:
            state, left = self._make_rounds(1, state, share, parts), left - 1
        while left and not (parts and is_interrupted()):
            has_budget = self.options.max_seconds is not None
            rounds = self._rounds_in_time(left, at_least=0 if has_budget and parts else 1)
            if rounds:
                state, left = self._make_rounds(rounds, state, share, parts), left - rounds
            if has_budget:
                break
        return state, parts

    def _rounds_in_time(self, most: int, at_least: int) -> int:
        """Return the number of rounds that there is time for, and that end in a few seconds."""
        seconds = min(agreed(self._seconds_left), LOOK_SECONDS)
        return min(max(int(seconds / self.round_seconds), at_least), most)

    def _make_rounds(self, rounds: int, state: TrainState, share: float, parts: list[Values]) -> TrainState:
        """Train for some rounds, time them, and append their metrics (n_seeds, rounds, ...) to `parts`."""
        before = self.clock.seconds()
        state, metrics = self.program.advance(self.env, state, share, rounds)
        values: Values = on_host(metrics, self.program.n_devices)
        self.round_seconds = max(agreed((self.clock.seconds() - before) / rounds), SHORTEST_SECONDS)
        one_seed = len(self.seeds) == 1
        parts.append({name: (value[None] if one_seed else value)[:, :rounds] for name, value in values.items()})
        return state

    @property
    def _seconds_left(self) -> float:
        """Seconds of the budget that are left; infinite without one in seconds."""
        return (self.options.max_seconds or math.inf) - self.clock.seconds()

    def _finish_if_due(self, state: TrainState) -> None:
        """Change to the power flow of the last part of the budget, once."""
        options, share = self.options, agreed(self.share(state))
        if options.finish_on is not None and not self.finishing and share >= 1.0 - options.finish_fraction:
            self.env, self.finishing = self.env.with_power_flow(options.finish_on), True
            self.round_seconds = 0.0  # of another program

    def _progress(self, state: TrainState, values: Values, steps_per_second: float) -> Progress:
        return Progress(
            steps=self.program.steps(state),
            most_steps=self.options.most_steps,
            seconds=self.clock.seconds(),
            steps_per_second=steps_per_second,
            share=self.share(state),
            metrics={name: _mean(value) for name, value in values.items()},
        )


def _mean(values: np.ndarray) -> float:
    """Mean over the trainings (and agents) that have not diverged; NaN if all have."""
    known = values[~np.isnan(values)]
    return float(np.mean(known)) if known.size else math.nan
