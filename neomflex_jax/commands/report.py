"""``neomflex report``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import tyro

from neomflex_jax.commands.answering import Answering
from neomflex_jax.commands.console import console
from neomflex_jax.commands.headlines import print_headline
from neomflex_jax.commands.imported_modules import Modules
from neomflex_jax.commands.optional_values import MayOmit
from neomflex_jax.commands.result_kinds import PAGE
from neomflex_jax.errors import InputError
from neomflex_jax.files.whole_files import write_whole
from neomflex_jax.folders.marker import is_there

if TYPE_CHECKING:
    from neomflex_jax.commands.run_page import RunPage, SeedPage
    from neomflex_jax.training.run_folder import RunFolder

MOST_BYTES = 5_000_000  # of the steps that a page carries, of all seeds together


@dataclass(frozen=True)
class ReportCommand(Answering):
    """Put a training, its evaluation and its validation on one self-contained HTML page.

    Says whether the results are validated, which takes a passing report of exactly these policies, scenario and
    profiles, and how the policies do beside no control and the best rule played. Shows the feeder step by step, every
    day's cost, agents, learning, where the record errs, and how to make it all again. A training of several seeds gives
    one page with a picker.
    """

    run: tyro.conf.Positional[Path]
    """Output folder of a training."""
    evaluation: MayOmit[Path] = None
    """Folder of its evaluation. If not given: `evaluation` in the training's folder or beside it."""
    validation: MayOmit[Path] = None
    """Folder of its validation. If not given: `validation` in the training's folder, or beside it or the evaluation."""
    output: MayOmit[Path] = None
    """HTML file; a page that is there is replaced. If not given: report.html in the training's folder."""
    modules: Modules = ()

    def execute(self, started: float) -> int:
        """Write the page; returns the exit status."""
        from neomflex_jax.commands.run_page import is_page

        output = self.run / PAGE if self.output is None else self.output
        if output.suffix != ".html":
            raise InputError(f"{output}: the name must end in .html")
        if is_there(output) and not is_page(output):
            raise InputError(f"{output}: is there, and no page of this program; move it away, or give another --output")
        page = self.page()
        output.parent.mkdir(parents=True, exist_ok=True)
        write_whole(output, page.html())
        for seed in page.seeds:
            if len(page.seeds) > 1:
                console.print(f"{seed.label}:", style="bold")
            _print_seed(seed)
        console.print(f"page: {output}")
        said = [{"seed": seed.label, "headline": seed.headline, "basis": seed.basis} for seed in page.seeds]
        console.found(results=said, files=[output])
        return 0

    def page(self) -> RunPage:
        """Read what the page says.

        Raises
        ------
        InputError
            If something of it cannot be read, or results are replaced meanwhile.
        """
        from neomflex_jax.commands.page.seed import SeedResults
        from neomflex_jax.commands.run_page import RunPage
        from neomflex_jax.training.run_folder import RunFolder

        folder = RunFolder(self.run)
        seeds = _seeds_of(folder)
        if len(seeds) > 1 and (self.evaluation, self.validation) != (None, None):
            raise InputError(
                f"{self.run}: trained several seeds, and --evaluation and --validation are of one; leave them out, or "
                f"report one seed: {seeds[0][1].root}"
            )
        room = MOST_BYTES // len(seeds)
        pages = [SeedResults(each.root, self.evaluation, self.validation).page(label, room) for label, each in seeds]
        return RunPage(self.run.resolve().name, tuple(pages))


def _print_seed(seed: SeedPage) -> None:
    print_headline(seed.headline)
    console.print(seed.basis)
    if seed.said:
        console.print(f"training: {seed.said}")


def _seeds_of(folder: RunFolder) -> list[tuple[str, RunFolder]]:
    """Return the folders of the seeds that a training has left, with what they are called."""
    from neomflex_jax.training.run_folder import SEED

    config = folder.read_config()
    first, n_seeds = config.get("seed", 0), config.get("n_seeds", 1)
    if not isinstance(first, int) or not isinstance(n_seeds, int) or n_seeds < 2:
        return [("", folder)]
    found = sorted(int(path.name[5:]) for path in folder.root.glob("seed_*") if SEED.fullmatch(path.name))
    of_run = [(f"seed {seed}", folder.of_seed(seed)) for seed in found if first <= seed < first + n_seeds]
    there = [(label, each) for label, each in of_run if each.policies.is_dir()]
    if not there:
        raise InputError(f"{folder.root}: trains several seeds, and none has policies yet; report when it has ended")
    return there
