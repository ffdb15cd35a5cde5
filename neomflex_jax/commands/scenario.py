"""``neomflex scenario list | show | check | new``."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from neomflex_jax.commands.answering import Answering, AnswerOptions
from neomflex_jax.commands.console import console, print_table
from neomflex_jax.commands.images import check_image
from neomflex_jax.commands.imported_modules import Modules
from neomflex_jax.commands.new_scenario import NewScenario
from neomflex_jax.commands.optional_values import MayOmit
from neomflex_jax.commands.progress import progress
from neomflex_jax.errors import InputError

if TYPE_CHECKING:
    from neomflex_jax.evaluation import Trajectory


@dataclass(frozen=True)
class ListScenarios(Answering):
    """List the scenarios that come with the package."""

    def execute(self, started: float) -> int:
        """Print; returns the exit status."""
        from neomflex_jax.commands.scenario_text import list_row
        from neomflex_jax.scenario import load_scenario, scenario_names

        header = ("scenario", "buses", "agents", "batteries", "PV", "description")
        rows = [list_row(load_scenario(name)) for name in scenario_names()]
        print_table("packaged scenarios", header, rows)
        console.found(scenarios=[{"scenario": row[0], "description": row[-1]} for row in rows])
        return 0


@dataclass(frozen=True)
class ShowScenario(Answering):
    """Show what a scenario holds: agents, devices, sizes of actions and observations, limits, reward, rules."""

    scenario: tyro.conf.Positional[str]
    """A packaged scenario's name or a TOML file."""
    entries: bool = False
    """Also name every entry of observations and actions."""
    output: MayOmit[Path] = None
    """Image file (.png, .pdf or .svg) for a drawing of the feeder: territories in colours, devices marked."""
    modules: Modules = ()

    def execute(self, started: float) -> int:
        """Print; returns the exit status."""
        from neomflex_jax.commands import scenario_text as text
        from neomflex_jax.environment import make
        from neomflex_jax.grid import Feeder, load_feeder
        from neomflex_jax.scenario import load_scenario

        check_image(self.output)
        scenario = load_scenario(self.scenario)
        feeder = load_feeder(scenario.feeder)
        # for its sizes: the method that is the cheapest to build
        env = make(scenario, power_flow="lindistflow" if isinstance(feeder, Feeder) else "ac")
        print_table(f"scenario {scenario.name}", ("part", "what there is"), text.contents(scenario, feeder))
        if scenario.description:
            console.print(scenario.description)
        print_table("agents", *text.agents(scenario, feeder, env))
        print_table("settings", ("field", "value"), text.settings(scenario))
        if self.entries:
            print_table("entries", *text.entries(env))
        console.found(**text.found(scenario, feeder, env), files=[] if self.output is None else [self.output])
        if self.output is not None:
            from neomflex_jax.plots import save
            from neomflex_jax.plots.territories import draw_territories

            self.output.parent.mkdir(parents=True, exist_ok=True)
            save(draw_territories(scenario, feeder), self.output)
            console.print(f"figure: {self.output}")
        return 0


@dataclass(frozen=True)
class CheckScenario(Answering):
    """Play some days of a scenario with exact AC and idle devices, and hold the worst against the referee.

    The referee is pandapower, or OpenDSS on feeders with phases. Says whether limits are broken and how many power
    flows failed. Exit status: 0 if every power flow has an answer and the referee
    agrees (broken limits are a scenario's business), 1 if not, 2 on unusable input.
    """

    scenario: tyro.conf.Positional[str]
    """A packaged scenario's name or a TOML file."""
    days: int = 12
    """How many days to play, spread evenly over the profiles for training."""
    power_flow: Literal["ac", "newton"] = "ac"
    """What solves them here; newton also where ac finds no answer, near the most that a feeder can carry."""
    modules: Modules = ()

    def execute(self, started: float) -> int:
        """Check; returns the exit status."""
        from neomflex_jax.commands import scenario_text as text
        from neomflex_jax.environment.own_series import split_of
        from neomflex_jax.grid import load_feeder
        from validation import compare, judge, replay, tolerances_for
        from validation.referee.solvers import program_for
        from validation.referee.unsolved import Unsolved

        with progress("playing the days") as stage:
            on_day = partial(stage.counted, unit="days")
            trajectory = play_idle(self.scenario, self.days, self.power_flow, on_day)
        scenario = trajectory.scenario
        feeder = load_feeder(scenario.feeder)
        split, program = split_of(scenario, feeder), program_for(feeder)
        if split is not None:
            print_table("days, none in two parts", ("part", "days", "which"), text.days_of_parts(split))
        n_days = trajectory.n_steps // scenario.steps_per_day
        print_table(
            f"scenario {scenario.name}: {n_days} days with idle devices, method {self.power_flow}",
            ("", "value"),
            text.idle_days(trajectory),
        )
        day, worst = worst_day(trajectory)
        with progress(f"replaying in {program}") as stage:
            replayed = replay(worst, on_step=partial(stage.counted, unit="steps"))
            criteria = judge(compare(worst, replayed)[0], tolerances_for(self.power_flow))
        unsolved = Unsolved.count(worst.converged, ~replayed.failed)
        rows = text.against_referee(criteria)
        print_table(f"day {day} against {program}", ("criterion", "value", "allowed", ""), rows)
        failures = text.failures(trajectory, day, unsolved, criteria, self.power_flow, program)
        console.found(**text.found_idle(trajectory, n_days), day_against_pandapower=day, failures=failures)
        console.found(criteria=[{**vars(one), "passed": one.passed} for one in criteria])
        for sentence in failures:
            console.print(f"FAILED: {sentence}", style="red")
        if failures:
            return 1
        if trajectory.violated.any():
            console.warn("idle devices break hard limits; see whether devices can mend that")
        console.print(f"OK: every power flow has an answer, and {program} agrees", style="green")
        return 0


def play_idle(source: str, days: int, power_flow: str, on_day: Callable[[int, int], None] | None = None) -> Trajectory:
    """Play days spread evenly over the profiles with zero actions and exact AC."""
    import numpy as np

    from neomflex_jax.agents.policy import NoControl
    from neomflex_jax.environment import evaluation_environment, make
    from neomflex_jax.evaluation import record
    from neomflex_jax.scenario import load_scenario

    if days < 1:
        raise InputError(f"days = {days} must be at least 1")
    env = make(load_scenario(source), power_flow=power_flow)
    steps, n_days = env.profiles.steps_per_day, env.profiles.n_days
    chosen = np.unique(np.linspace(0, n_days - 1, min(days, n_days)).round().astype(int))
    rows = (chosen[:, None] * steps + np.arange(steps)).ravel()
    env = evaluation_environment(env, env.profiles.rows(rows))
    trajectory = record(env, NoControl(env.action_size), "idle", on_day=on_day)
    return dataclasses.replace(trajectory, dataset_index=rows)  # of the file, not of the days chosen from it


def worst_day(trajectory: Trajectory) -> tuple[int, Trajectory]:
    """Return the day with a failed power flow, or else the one farthest from 1 pu: its number in the file, its rows."""
    import numpy as np

    strayed = np.nan_to_num(np.abs(trajectory.vm_pu - 1.0), nan=np.inf).max(axis=1)
    days = trajectory.dataset_index // trajectory.scenario.steps_per_day
    day = int(days[int(strayed.argmax())])
    own = days == day
    return day, trajectory.rows(own)


@dataclass(frozen=True)
class ScenarioCommand:
    """List, show and check scenarios, or write one for a feeder of your own."""

    what: Annotated[
        Annotated[ListScenarios, tyro.conf.subcommand("list")]
        | Annotated[ShowScenario, tyro.conf.subcommand("show")]
        | Annotated[CheckScenario, tyro.conf.subcommand("check")]
        | Annotated[NewScenario, tyro.conf.subcommand("new")],
        tyro.conf.arg(name=""),
    ]

    @property
    def modules(self) -> tuple[str, ...]:
        """Modules to import first."""
        return getattr(self.what, "modules", ())

    @property
    def answer(self) -> AnswerOptions:
        """How to answer."""
        return self.what.answer

    def execute(self, started: float) -> int:
        """Run what was asked for; returns the exit status."""
        return self.what.execute(started)
