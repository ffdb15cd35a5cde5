"""``neomflex feeder show | import | check``."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
import tyro

from neomflex_jax.commands.answering import Answering, AnswerOptions
from neomflex_jax.commands.console import console, print_table
from neomflex_jax.commands.existing_files import refuse_existing
from neomflex_jax.commands.images import check_image
from neomflex_jax.commands.optional_values import MayOmit
from neomflex_jax.commands.progress import progress
from neomflex_jax.errors import InputError

if TYPE_CHECKING:
    from neomflex_jax.grid import UnbalancedFeeder

AGREE_PU = 1e-6  # pandapower's own bar against commercial programs


@dataclass(frozen=True)
class ShowFeeder(Answering):
    """Show what a feeder holds, and its power flow at nominal load."""

    feeder: tyro.conf.Positional[str]
    """A packaged feeder's name, a feeder folder, an OpenDSS file, or a pandapower net.json."""
    output: MayOmit[Path] = None
    """Image file (.png, .pdf or .svg) for a drawing of the feeder, coloured by voltage; of feeders without phases."""

    def execute(self, started: float) -> int:
        """Print; returns the exit status."""
        from neomflex_jax.commands.feeder_text import contents, found, nominal_answer, nominal_flow
        from neomflex_jax.grid import UnbalancedFeeder
        from neomflex_jax.grid.library import balanced, load_feeder

        check_image(self.output)
        feeder = load_feeder(self.feeder)
        if isinstance(feeder, UnbalancedFeeder) and self.output is None:
            return _show_with_phases(feeder)
        feeder = balanced(feeder, "a drawing of the tree", self.feeder)
        flow, method = nominal_flow(feeder)
        print_table(f"feeder {feeder.name}", ("part", "what there is"), contents(feeder))
        print_table(f"nominal load, method {method}", ("quantity", "value"), nominal_answer(feeder, flow))
        console.found(**found(feeder, flow, method), files=[] if self.output is None else [self.output])
        if self.output is not None:
            from neomflex_jax.plots import save
            from neomflex_jax.plots.feeder import draw_feeder

            self.output.parent.mkdir(parents=True, exist_ok=True)
            save(draw_feeder(feeder, np.asarray(flow.vm_pu)), self.output)
            console.print(f"figure: {self.output}")
        return 0


def _show_with_phases(feeder: UnbalancedFeeder) -> int:
    """Print what a feeder with phases holds, and its nominal power flow."""
    from neomflex_jax.commands.feeder_with_phases import contents, found, nominal_answer
    from neomflex_jax.powerflow import nominal_power_flow

    flow = nominal_power_flow(feeder)
    print_table(f"feeder {feeder.name}", ("part", "what there is"), contents(feeder))
    print_table("nominal load, method ac", ("quantity", "value"), nominal_answer(feeder, flow))
    console.found(**found(feeder, flow), files=[])
    return 0


@dataclass(frozen=True)
class ImportFeeder(Answering):
    """Convert a pandapower net or an OpenDSS circuit into a feeder folder of plain files.

    A net becomes buses.csv, branches.csv and feeder.toml, balanced; a circuit, or a net with --phases, nodes.csv,
    elements.csv, loads.csv and the like, with its phases.
    """

    net: tyro.conf.Positional[Path]
    """A net.json, as pandapower.to_json writes it, or the master file (.dss) of an OpenDSS circuit."""
    output: Path
    """Folder for the feeder; its name becomes the feeder's."""
    phases: bool = False
    """Keep the phases of a net, as pandapower.runpp_3ph solves it; an OpenDSS circuit has them anyway."""
    overwrite: bool = False
    """Replace the feeder in the output folder."""

    def execute(self, started: float) -> int:
        """Convert; returns the exit status."""
        from neomflex_jax.commands.feeder_text import changes, conversion
        from neomflex_jax.grid.feeder import Feeder
        from neomflex_jax.grid.from_pandapower import fused_buses
        from neomflex_jax.grid.from_pandapower.json_file import read_net
        from neomflex_jax.grid.from_pandapower.with_phases import has_phases
        from neomflex_jax.grid.to_csv import FILES, write_feeder

        if self.phases or self.net.suffix.lower() == ".dss":
            return self._import_with_phases()
        feeder = Feeder.from_pandapower(self.net, strict=False, phases=False)
        net = read_net(self.net)
        refuse_existing(self.output, FILES, self.overwrite)
        write_feeder(feeder, self.output)
        print_table(f"imported {self.net.name}", ("elements", "net", "feeder"), conversion(net, feeder))
        for line in changes(net, feeder, fused_buses(net)):
            console.print(line)
        if has_phases(self.net):
            console.warn(
                f"{self.net} has phases, and is taken as balanced, loads by the sum of theirs; --phases keeps them"
            )
        console.print(f"feeder: {self.output}")
        console.remark(f"check it: neomflex feeder check {self.net}")
        sizes = {"n_bus": feeder.n_bus, "n_branch": feeder.topology.n_branch}
        console.found(feeder=self.output, **sizes, files=[self.output / name for name in FILES])
        return 0

    def _import_with_phases(self) -> int:
        """Write the folder of a feeder with phases; returns the exit status."""
        from dataclasses import replace

        from neomflex_jax.commands.feeder_with_phases import contents
        from neomflex_jax.grid.feeder import Feeder
        from neomflex_jax.grid.unbalanced.folder import FILES
        from neomflex_jax.grid.unbalanced.write_folder import write_unbalanced_feeder

        is_circuit = self.net.suffix.lower() == ".dss"
        read = (
            Feeder.from_opendss(self.net, strict=False)
            if is_circuit
            else Feeder.from_pandapower(self.net, strict=False, phases=True)
        )
        refuse_existing(self.output, FILES, self.overwrite)
        feeder = replace(read, name=self.output.resolve().name)
        write_unbalanced_feeder(feeder, self.output)
        print_table(f"imported {self.net.name}", ("part", "what there is"), contents(feeder))
        if feeder.load_shapes:
            console.print(f"left out: {len(feeder.load_shapes)} load shapes; [profiles] of a scenario names series")
        console.print(f"feeder: {self.output}")
        console.remark(f"check it: neomflex feeder check {self.output}")
        written = [self.output / name for name in FILES if (self.output / name).exists()]
        console.found(feeder=self.output, n_bus=feeder.n_bus, n_node=feeder.n_node, files=written)
        return 0


@dataclass(frozen=True)
class CheckFeeder(Answering):
    """Compare our AC power flow with pandapower's, in float64, in the nominal state and in random ones.

    In a random state every load, static generator, storage and generator is scaled by a random number of its own.

    The referee is the net itself where a net.json is given, and otherwise the feeder rebuilt in pandapower; with phases
    it is OpenDSS, which reads the feeder's own circuit, or runpp_3ph of the net. Exit
    status: 0 if all voltages and slack powers agree within 1e-6, 1 if not or if the nominal loads have no solution, 2
    on unusable input.
    """

    feeder: tyro.conf.Positional[str]
    """A packaged feeder's name, a feeder folder, an OpenDSS file, or a pandapower net.json."""
    samples: int = 50
    """Random cases beside the nominal one. Fifty show every bus with its flow in either direction."""
    seed: int = 0
    """Seed of the random injections."""
    method: Literal["ac", "newton"] = "ac"
    """What solves them here; newton also where ac finds no answer, near the most that a feeder can carry."""

    def execute(self, started: float) -> int:
        """Compare; returns the exit status."""
        from neomflex_jax.commands.feeder_text import QUANTITIES, comparison, verdict
        from neomflex_jax.grid import UnbalancedFeeder, feeder_names, load_feeder
        from validation.referee.feeder_check import check_feeder

        feeder = load_feeder(self.feeder)
        if isinstance(feeder, UnbalancedFeeder):
            return self._check_with_phases(feeder)
        is_net = self.feeder not in feeder_names() and Path(self.feeder).is_file()
        with progress("solving in pandapower") as stage:
            on_case = partial(stage.counted, unit="cases")
            check = check_feeder(
                feeder,
                Path(self.feeder) if is_net else None,
                n_samples=self.samples,
                seed=self.seed,
                method=self.method,
                on_case=on_case,
            )
        referee = "the net itself" if is_net else "the feeder, rebuilt"
        print_table(f"feeder {feeder.name}; referee: {referee} in pandapower", *comparison(check))
        agrees, said = check.agrees(AGREE_PU), verdict(check, AGREE_PU, self.method)
        console.print(said, style="green" if agrees else "red")
        apart = {name: check.largest(name) for name in QUANTITIES}
        console.found(feeder=feeder.name, referee=referee, agrees=agrees, said=said, largest_difference=apart)
        console.found(cases=check.unsolved, worst_bus=check.worst_bus)
        return 0 if agrees else 1

    def _check_with_phases(self, feeder: UnbalancedFeeder) -> int:
        """Compare with OpenDSS, or with `runpp_3ph` where pandapower's net was read."""
        from neomflex_jax.commands.feeder_with_phases import comparison, verdict
        from validation.referee.phase_check import check_with_phases
        from validation.referee.solvers import program_for

        if self.method != "ac":
            raise InputError(
                f"method = {self.method!r}: feeder {feeder.name!r} has phases, which 'ac' solves; leave it"
            )
        program = program_for(feeder)
        with progress(f"solving in {program}"):
            check = check_with_phases(feeder, n_samples=self.samples, seed=self.seed)
        print_table(f"feeder {feeder.name}; referee: {program}, which reads its own file", *comparison(check, program))
        agrees, said = check.agrees(AGREE_PU), verdict(check, AGREE_PU, program)
        console.print(said, style="green" if agrees else "red")
        apart = {"v_pu": check.off_pu(), "slack_mva": check.off_mva()}
        console.found(feeder=feeder.name, referee=program, agrees=agrees, said=said, largest_difference=apart)
        console.found(cases=check.unsolved, worst_node=check.worst_node)
        return 0 if agrees else 1


@dataclass(frozen=True)
class FeederCommand:
    """Show a feeder, convert one into a feeder folder, or check one against pandapower or OpenDSS."""

    what: Annotated[
        Annotated[ShowFeeder, tyro.conf.subcommand("show")]
        | Annotated[ImportFeeder, tyro.conf.subcommand("import")]
        | Annotated[CheckFeeder, tyro.conf.subcommand("check")],
        tyro.conf.arg(name=""),
    ]

    @property
    def answer(self) -> AnswerOptions:
        """How to answer."""
        return self.what.answer

    def execute(self, started: float) -> int:
        """Run what was asked for; returns the exit status."""
        return self.what.execute(started)
