"""``neomflex scenario new``: a scenario for any grid, with what the grid has of its own."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from neomflex_jax.commands.answering import Answering
from neomflex_jax.commands.console import console
from neomflex_jax.commands.existing_files import refuse_existing
from neomflex_jax.commands.optional_values import MayOmit
from neomflex_jax.errors import InputError, shown_list
from neomflex_jax.files.whole_files import write_whole

if TYPE_CHECKING:
    from neomflex_jax.commands.opened_grid import OpenedGrid
    from neomflex_jax.commands.scenario_series import ScenarioSeries
    from neomflex_jax.grid.placement import Placement
    from neomflex_jax.loose_types import BusLabel

MOST_NAMED = 4


@dataclass(frozen=True)
class NewScenario(Answering):
    """Write a scenario for any grid: territories by electrical distance, devices, ready to train.

    A net is converted into a feeder folder beside the scenario file; SimBench and MAPDN bring a year of series for
    every element along, which is written there, too.
    """

    source: Annotated[str, tyro.conf.arg(name="from")]
    """A packaged feeder's name, a feeder folder, an OpenDSS file, a pandapower net.json, a MATPOWER case (.m, .mat):
    A folder in MAPDN's layout.
    simbench:CODE, such as simbench:1-LV-semiurb4--1-no_sw.
    pandapower:FUNCTION, such as 'pandapower:create_cigre_network_mv(with_der="pv_wind")'."""
    output: Path
    """The TOML file to write; its name becomes the scenario's."""
    agents: int = 3
    """How many agents to share the feeder among; at most one for each bus with load."""
    take_devices: MayOmit[Literal["all", "none", "sgen"]] = None
    """Make devices of the net's own: its PV (sgen), or its PV and storages (all).
    If not given, all where series come along, and none elsewhere."""
    pv_share: float = 0.8
    """Active power of new PV over the feeder's nominal load, if every agent gets some."""
    battery_share: float = 0.4
    """Power of new batteries over the feeder's nominal load, likewise."""
    battery_hours: float = 4.0
    """Hours for which a full battery could give its power."""
    inverter_oversize: float = 1.1
    """Apparent power of a new PV inverter over its active power; above 1 is room for reactive power at noon."""
    pv_per_agent: MayOmit[int] = None
    """New PV inverters of each agent. If not given, 1 for each that has no device of the net's own."""
    batteries_per_agent: MayOmit[int] = None
    """New batteries of each agent, likewise."""
    overwrite: bool = False
    """Replace the scenario file, and the feeder folder and series beside it."""

    def execute(self, started: float) -> int:
        """Write; returns the exit status."""
        from neomflex_jax.commands.opened_grid import open_grid
        from neomflex_jax.commands.scenario_file import write_scenario_text
        from neomflex_jax.commands.scenario_series import write_series
        from neomflex_jax.environment.own_series import own_generation_text
        from neomflex_jax.grid.partition import partition_by_electrical_distance
        from neomflex_jax.grid.placement import place_devices
        from neomflex_jax.scenario import load_scenario

        self._check_output()
        grid = open_grid(self.source, self.take_devices, self.battery_hours)
        territories = partition_by_electrical_distance(grid.feeder, self.agents, device_buses=grid.own.buses)
        devices = place_devices(
            grid.feeder,
            territories,
            pv_share=self.pv_share,
            battery_share=self.battery_share,
            battery_hours=self.battery_hours,
            inverter_oversize=self.inverter_oversize,
            pv_per_agent=self.pv_per_agent,
            batteries_per_agent=self.batteries_per_agent,
            own=grid.own,
        )
        name = self.output.stem
        series = self._series(grid, devices)
        feeder_field = self._place_feeder(grid)
        self.output.parent.mkdir(parents=True, exist_ok=True)
        if series is not None:
            write_series(series, self.output.parent)
        text = write_scenario_text(name, grid.feeder, feeder_field, territories, devices, series)
        write_whole(self.output, text)
        scenario = load_scenario(self.output)
        console.print(f"scenario: {self.output}    feeder: {feeder_field}")
        said = _told(grid, territories, devices)
        for sentence in said:
            console.print(sentence)
        told = own_generation_text(grid.feeder, scenario.series)
        if told is not None:
            console.print(f"feeder {feeder_field}: {told}")
        console.found(scenario=self.output, feeder=feeder_field, said=said, n_agents=len(scenario.agents))
        console.found(n_devices=len(scenario.devices), files=[self.output])
        console.remark(f"look at it:  neomflex scenario show {self.output} --output {name}.png")
        console.remark(f"check it:    neomflex scenario check {self.output}")
        console.remark(f"train on it: neomflex train --scenario {self.output} --output results/{name}")
        return 0

    def _check_output(self) -> None:
        if self.output.suffix != ".toml" or self.output.is_dir():
            raise InputError(f"{self.output}: give a file whose name ends in .toml")
        if self.output.exists() and not self.overwrite:
            raise InputError(f"{self.output}: is there already; give --overwrite or another --output")
        if any("\ud800" <= letter <= "\udfff" for letter in str(self.output)):
            raise InputError(f"{self.output}: a name that is no text here, and the file states it; give another")

    def _series(self, grid: OpenedGrid, devices: Placement) -> ScenarioSeries | None:
        """Choose from the series that came along, if any did, and make sure that their file may be written."""
        from neomflex_jax.commands.scenario_series import scenario_series
        from neomflex_jax.grid import Feeder

        if grid.source is None or grid.source.series is None:
            return None
        assert isinstance(grid.feeder, Feeder)  # of a net
        stem, inverters = self.output.stem, devices.pv_inverters
        series = scenario_series(grid.source, grid.feeder.elements.rows, inverters, grid.pv_rows, stem)
        refuse_existing(self.output.parent, (series.header["file"],), self.overwrite)
        return series

    def _place_feeder(self, grid: OpenedGrid) -> str:
        """Write the feeder beside the scenario file if it comes from a net; returns how the file names it."""
        from neomflex_jax.grid import Feeder, feeder_names, unbalanced_feeder_names
        from neomflex_jax.grid.from_pandapower.sources import save_net
        from neomflex_jax.grid.to_csv import FILES, write_feeder

        if self.source in (*feeder_names(), *unbalanced_feeder_names()):
            return self.source
        if grid.path is not None:
            return Path(os.path.relpath(grid.path, self.output.parent)).as_posix()
        # a folder keeps generators too; `feeder check` of the net itself asks pandapower about the user's own. Of a
        # feeder with phases the net is what `runpp_3ph` confirms records on
        if not isinstance(grid.feeder, Feeder) or (grid.source is not None and grid.feeder.held is not None):
            path = self.output.with_name(f"{self.output.stem}_net.json")
            refuse_existing(path.parent, (path.name,), self.overwrite)
            save_net(grid.net, path)
            return path.name
        folder = self.output.with_name(f"{self.output.stem}_feeder")
        refuse_existing(folder, FILES, self.overwrite)
        self.output.unlink(missing_ok=True)  # a scenario never stands over another feeder than its own
        write_feeder(grid.feeder, folder)
        return folder.name


def _told(grid: OpenedGrid, territories: Sequence[Sequence[BusLabel]], devices: Placement) -> list[str]:
    """Return sentences on the devices made of the net's own, and on the agents that got new ones."""
    if not grid.takes:
        return []
    n_pv, n_batteries = len(grid.own.pv_inverters), len(grid.own.batteries)
    said = [f"devices of the net's own: {n_pv} PV inverters, {n_batteries} batteries"]
    for what, named in (("the grid's own stay", grid.left), ("q limits that devices pass at low power", grid.wider)):
        if named:
            more = f", ... ({len(named)} in all)" if len(named) > MOST_NAMED else ""
            said.append(f"{what}: {shown_list(named[:MOST_NAMED])}{more}")
    without = [buses for buses in territories if grid.own.buses.isdisjoint(buses)]
    n_new = len(devices.batteries) + len(devices.pv_inverters) - n_pv - n_batteries
    if n_new:
        why = f"{len(without)} of {len(territories)} agents have none of these" if without else "as asked"
        said.append(f"new devices, sized by load: {n_new} ({why})")
    return said
