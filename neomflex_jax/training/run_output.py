"""What a run writes while it trains and at its end: metrics, checkpoints, policies, result.json."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import jax

from neomflex_jax.agents.networks import ActorNetwork
from neomflex_jax.agents.policy_files import save_policies
from neomflex_jax.environment import Environment
from neomflex_jax.loose_types import JsonObject, Keywords
from neomflex_jax.training.algorithm import TrainState
from neomflex_jax.training.checkpoint import Checkpoints, Standing
from neomflex_jax.training.comparison import compare, compare_ahead
from neomflex_jax.training.constraints import constraints_at_the_end
from neomflex_jax.training.group import Group
from neomflex_jax.training.options import TUNED_STEPS, config_of
from neomflex_jax.training.processes import agreed, check_same, is_first
from neomflex_jax.training.result import read_result, result_of, write_result
from neomflex_jax.training.run_folder import PART_OF, RunFolder, saving
from neomflex_jax.training.run_log import (
    Progress,
    append,
    check_finite,
    check_finite_arrays,
    copy_rows_of_seed,
    rows_of,
)
from neomflex_jax.training.settling import CoreMeter, Findings, busy_machine, findings_of, read_figures, sentence
from neomflex_jax.training.step_metrics import Values

Team = tuple[ActorNetwork, ...]  # one network an agent


class RunOutput:
    """The `Output` of a run, in one folder; every process saves its part of a checkpoint, the first all the rest."""

    def __init__(self, group: Group, folder: RunFolder, checkpoints: Checkpoints, checkpoint_seconds: float) -> None:
        self._group, self._folder = group, folder
        self._checkpoints, self._checkpoint_seconds = checkpoints, checkpoint_seconds
        self._saved_at = 0.0  # on the group's clock
        self._meter = CoreMeter()
        self._last: Values = {}  # metrics of the last chunk

    def begin(self, state: TrainState) -> None:
        """Save the state that training goes on from, unless it is; what was the result is none any more."""
        self._checkpoints.save(state)
        if is_first():
            self._folder.result.unlink(missing_ok=True)
        self._saved_at = self._group.clock.seconds()
        options = self._group.options
        if options.compared_days and options.finish_on is None and is_first():
            compare_ahead(self._group.env, self._group.program.networks(state), options.compared_days)

    def record(self, progress: Progress, values: Values) -> None:
        """Append a row a seed to metrics.csv.

        Raises
        ------
        DivergedError
            If a figure is not finite.
        """
        self._last = values
        seeds = self._group.seeds
        rows = rows_of(self._group.env.agents, progress, values, seeds if len(seeds) > 1 else None)
        if is_first():
            append(self._folder.metrics, rows)
        check_finite(rows)

    def keep(self, state: TrainState) -> None:
        """Save a checkpoint if the last one is old enough.

        Raises
        ------
        DivergedError
            If the state is not finite.
        """
        if agreed(self._group.clock.seconds() - self._saved_at) > self._checkpoint_seconds:
            self._save_checkpoint(state)
            self._saved_at = self._group.clock.seconds()

    def end(self, state: TrainState, stopped: str) -> None:
        """Save checkpoint, policies and result.json, and after a training that was not cut off compare its policies."""
        group = self._group
        seconds = self._save_checkpoint(state)
        teams = group.program.networks(state)
        how: Keywords = {"steps": group.program.steps(state), "seconds": seconds, "stopped": stopped}
        how |= {"power_flow": group.env.scenario.power_flow}
        result = result_of(group.env.agents, group.seeds, teams, **how)
        if len(teams) == 1:
            result |= self._constraints(0)
        check_same(result["policies_sha256"], "the policies")
        if not is_first():
            return
        with saving(self._folder.policies):
            if len(teams) == 1:
                write_policies(self._folder, group.env, teams[0])
            else:
                self._write_folders_of_seeds(teams, how)
            write_result(self._folder.result, result)
        if stopped != "interrupted" and group.options.compared_days:
            self._write_comparison(teams, how["steps"], stopped)

    def _save_checkpoint(self, state: TrainState) -> float:
        """Save a state that is finite; returns the seconds of training that the checkpoint states."""
        check_finite_arrays(state.learner)
        standing = Standing(self._group.clock.seconds(), self._group.reached_target)
        self._checkpoints.save(state, standing)
        return standing.seconds

    def _write_folders_of_seeds(self, teams: Sequence[Team], how: Keywords) -> None:
        """Write a folder for every seed as if it had been trained alone, but for the checkpoints."""
        group = self._group
        for index, (seed, team) in enumerate(zip(group.seeds, teams, strict=True)):
            folder = self._folder.of_seed(seed)
            folder.root.mkdir(exist_ok=True)
            folder.result.unlink(missing_ok=True)  # never beside other policies than its own
            alone = dataclasses.replace(group.options, seed=seed, n_seeds=1, devices=1)
            folder.write_config({**config_of(alone), PART_OF: f"the run of several seeds in {self._folder.root}"})
            copy_rows_of_seed(self._folder.metrics, seed, folder.metrics)
            write_policies(folder, group.env, team)
            result = result_of(group.env.agents, (seed,), (team,), **how)
            write_result(folder.result, result | self._constraints(index))

    def _constraints(self, index: int) -> JsonObject:
        """Return what result.json says of the constraints of one of the seeds."""
        kept = constraints_at_the_end(self._last, self._group.options.constraints, index)
        return {"constraints": kept} if kept else {}

    def _write_comparison(self, teams: Sequence[Team], steps: int, stopped: str) -> None:
        """Add to the run's result, and to that of each of several seeds, how the policies do beside simple rules.

        And what learning has not settled.
        """
        options, seeds = self._group.options, self._group.seeds
        compared, found = compare(self._group.env, teams, options.compared_days), self._findings(steps, stopped)
        parts = [(self._folder, compared, found)]
        if len(seeds) > 1:
            each = enumerate(seeds)
            parts += [(self._folder.of_seed(seed), compared.of_seed(i), {seed: found[seed]}) for i, seed in each]
        for folder, own, findings in parts:
            said = f"{own.sentence(steps, TUNED_STEPS[options.algorithm])}; {sentence(findings)}"
            with saving(folder.result):
                write_result(folder.result, read_result(folder.result) | {"comparison": own.as_dict(said)})

    def _findings(self, steps: int, stopped: str) -> Findings:
        """Return by seed what is not settled; a machine that gave few steps in the time comes first."""
        options = self._group.options
        short_of_steps = stopped == "max_seconds" and steps < TUNED_STEPS[options.algorithm]
        busy = busy_machine(self._meter.core_share()) if short_of_steps and jax.default_backend() == "cpu" else []
        figures = read_figures(self._folder.metrics, self._group.seeds)
        day_steps = self._group.env.scenario.steps_per_day * self._group.program.n_copies
        return {seed: [*busy, *findings_of(own, day_steps)] for seed, own in figures.items()}


def write_policies(folder: RunFolder, env: Environment, team: Team) -> None:
    """Write the policy of every agent, for the environment that they were trained in."""
    layout, name = env.scenario.observation_layout(), env.scenario.name
    save_policies(folder.policies, dict(zip(env.agents, team, strict=True)), name, layout)
