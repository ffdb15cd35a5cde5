"""``neomflex scenario list | show | check | new``."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from neomflex_jax.commands.console import console, print_table
from neomflex_jax.commands.existing_files import refuse_existing
from neomflex_jax.commands.imported_modules import Modules
from neomflex_jax.commands.optional_values import MayOmit
from neomflex_jax.commands.progress import progress
from neomflex_jax.errors import InputError
from neomflex_jax.files.whole_files import write_whole

if TYPE_CHECKING:
    from neomflex_jax.evaluation import Trajectory
    from neomflex_jax.grid import Feeder

IMAGES = (".png", ".pdf", ".svg")


@dataclass(frozen=True)
class ListScenarios:
    """List the scenarios that come with the package."""

    def execute(self, started: float) -> int:
        """Print; returns the exit status."""
        from neomflex_jax.commands.scenario_text import list_row
        from neomflex_jax.scenario import load_scenario, scenario_names

        header = ("scenario", "buses", "agents", "batteries", "PV", "description")
        print_table("packaged scenarios", header, [list_row(load_scenario(name)) for name in scenario_names()])
        return 0


@dataclass(frozen=True)
class ShowScenario:
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
        from neomflex_jax.grid import load_feeder
        from neomflex_jax.scenario import load_scenario

        if self.output is not None and self.output.suffix not in IMAGES:
            raise InputError(f"{self.output}: the name must end in one of {', '.join(IMAGES)}")
        scenario = load_scenario(self.scenario)
        feeder = load_feeder(scenario.feeder)
        env = make(scenario, power_flow="lindistflow")  # for its sizes; the cheapest to build
        print_table(f"scenario {scenario.name}", ("part", "what there is"), text.contents(scenario, feeder))
        if scenario.description:
            console.print(scenario.description)
        print_table("agents", *text.agents(scenario, feeder, env))
        print_table("settings", ("field", "value"), text.settings(scenario))
        if self.entries:
            print_table("entries", *text.entries(env))
        if self.output is not None:
            from neomflex_jax.plots import save
            from neomflex_jax.plots.territories import draw_territories

            self.output.parent.mkdir(parents=True, exist_ok=True)
            save(draw_territories(scenario, feeder), self.output)
            console.print(f"figure: {self.output}")
        return 0


@dataclass(frozen=True)
class CheckScenario:
    """Play some days of a scenario with exact AC and idle devices, and hold the worst against pandapower.

    Says whether limits are broken and how many power flows failed. Exit status: 0 if every power flow has an answer and
    pandapower agrees (broken limits are a scenario's business), 1 if not, 2 on unusable input.
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
        from validation import compare, judge, replay, tolerances_for
        from validation.referee.unsolved import Unsolved

        with progress("playing the days") as stage:
            on_day = partial(stage.counted, unit="days")
            trajectory = play_idle(self.scenario, self.days, self.power_flow, on_day)
        scenario = trajectory.scenario
        n_days = trajectory.n_steps // scenario.steps_per_day
        print_table(
            f"scenario {scenario.name}: {n_days} days with idle devices, method {self.power_flow}",
            ("", "value"),
            text.idle_days(trajectory),
        )
        day, worst = worst_day(trajectory)
        with progress("replaying in pandapower") as stage:
            replayed = replay(worst, on_step=partial(stage.counted, unit="steps"))
            criteria = judge(compare(worst, replayed)[0], tolerances_for(self.power_flow))
        unsolved = Unsolved.count(worst.converged, ~replayed.failed)
        rows = text.against_pandapower(criteria)
        print_table(f"day {day} against pandapower", ("criterion", "value", "allowed", ""), rows)
        failures = text.failures(trajectory, day, unsolved, criteria, self.power_flow)
        for sentence in failures:
            console.print(f"FAILED: {sentence}", style="red")
        if failures:
            return 1
        if trajectory.violated.any():
            console.print("warning: idle devices break hard limits; see whether devices can mend that", style="yellow")
        console.print("OK: every power flow has an answer, and pandapower agrees", style="green")
        return 0


def play_idle(source: str, days: int, power_flow: str, on_day: Callable[[int, int], None] | None = None) -> Trajectory:
    """Play days spread evenly over the profiles with zero actions and exact AC."""
    import numpy as np

    from neomflex_jax.agents.policy import NoControl
    from neomflex_jax.environment import evaluation_environment, make
    from neomflex_jax.evaluation import record

    if days < 1:
        raise InputError(f"days = {days} must be at least 1")
    env = make(source, power_flow=power_flow)
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
class NewScenario:
    """Write a scenario for any feeder: territories by electrical distance, devices by load, ready to train.

    A net.json is converted into a feeder folder beside the scenario file.
    """

    source: Annotated[str, tyro.conf.arg(name="from")]
    """A packaged feeder's name, a feeder folder, or a pandapower net.json."""
    output: Path
    """The TOML file to write; its name becomes the scenario's."""
    agents: int = 3
    """How many agents to share the feeder among; at most one for each bus with load."""
    pv_share: float = 0.8
    """Active power of all PV over the feeder's nominal load."""
    battery_share: float = 0.4
    """Power of all batteries over the feeder's nominal load."""
    battery_hours: float = 4.0
    """Hours for which a full battery could give its power."""
    inverter_oversize: float = 1.1
    """Apparent power of a PV inverter over its active power; what is above 1 is room for reactive power at noon."""
    pv_per_agent: int = 1
    """PV inverters of each agent."""
    batteries_per_agent: int = 1
    """Batteries of each agent."""
    overwrite: bool = False
    """Replace the scenario file, and the feeder folder beside it."""

    def execute(self, started: float) -> int:
        """Write; returns the exit status."""
        from neomflex_jax.commands.scenario_file import write_scenario_text
        from neomflex_jax.environment.own_series import own_generation_text
        from neomflex_jax.grid import load_feeder
        from neomflex_jax.grid.partition import partition_by_electrical_distance
        from neomflex_jax.grid.placement import place_devices
        from neomflex_jax.scenario import load_scenario

        if self.output.suffix != ".toml" or self.output.is_dir():
            raise InputError(f"{self.output}: give a file whose name ends in .toml")
        if self.output.exists() and not self.overwrite:
            raise InputError(f"{self.output}: is there already; give --overwrite or another --output")
        if any("\ud800" <= letter <= "\udfff" for letter in str(self.output)):
            raise InputError(f"{self.output}: a name that is no text here, and the file states it; give another")
        feeder = load_feeder(self.source)
        territories = partition_by_electrical_distance(feeder, self.agents)
        devices = place_devices(
            feeder,
            territories,
            pv_share=self.pv_share,
            battery_share=self.battery_share,
            battery_hours=self.battery_hours,
            inverter_oversize=self.inverter_oversize,
            pv_per_agent=self.pv_per_agent,
            batteries_per_agent=self.batteries_per_agent,
        )
        name = self.output.stem
        feeder_field = self._place_feeder(feeder)
        self.output.parent.mkdir(parents=True, exist_ok=True)
        text = write_scenario_text(name, feeder, feeder_field, territories, devices)
        write_whole(self.output, text)
        load_scenario(self.output)
        console.print(f"scenario: {self.output}    feeder: {feeder_field}")
        told = own_generation_text(feeder)
        if told is not None:
            console.print(f"feeder {feeder_field}: {told}", markup=False)
        console.print(f"look at it:  neomflex scenario show {self.output} --output {name}.png")
        console.print(f"check it:    neomflex scenario check {self.output}")
        console.print(f"train on it: neomflex train --scenario {self.output} --output results/{name}")
        return 0

    def _place_feeder(self, feeder: Feeder) -> str:
        """Write the feeder beside the scenario file if it comes from a net; returns how the file names it."""
        from neomflex_jax.grid import feeder_names
        from neomflex_jax.grid.to_csv import FILES, write_feeder

        if self.source in feeder_names():
            return self.source
        if Path(self.source).is_dir():
            return Path(os.path.relpath(self.source, self.output.parent)).as_posix()
        folder = self.output.with_name(f"{self.output.stem}_feeder")
        refuse_existing(folder, FILES, self.overwrite)
        self.output.unlink(missing_ok=True)  # a scenario never stands over another feeder than its own
        write_feeder(feeder, folder)
        return folder.name


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

    def execute(self, started: float) -> int:
        """Run what was asked for; returns the exit status."""
        return self.what.execute(started)
