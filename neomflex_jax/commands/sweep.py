"""``neomflex sweep``."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, make_dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import tyro

from neomflex_jax.agents.gradient.config import GradientConfig
from neomflex_jax.agents.sac.config import SacConfig
from neomflex_jax.commands.answering import Answering
from neomflex_jax.commands.compilation_cache import use_compilation_cache
from neomflex_jax.commands.console import console, print_table, short
from neomflex_jax.commands.imported_modules import Modules
from neomflex_jax.commands.optional_values import OPTIONAL, Algorithm, MayOmit, PowerFlowName
from neomflex_jax.commands.progress import progress
from neomflex_jax.commands.result_kinds import SWEEP
from neomflex_jax.commands.train import TrainCommand
from neomflex_jax.errors import InputError
from neomflex_jax.folders.lock import alone_in
from neomflex_jax.folders.results import ResultFolder
from neomflex_jax.loose_types import Keywords
from neomflex_jax.users_modules import import_named

if TYPE_CHECKING:
    from neomflex_jax.training.options import TrainOptions
    from neomflex_jax.training.run_log import Progress
    from neomflex_jax.training.sweep_job import Outcome

SIZES = tuple[int, ...]  # of layers


def _flag(name: str, kind: Any) -> tuple[str, object, object]:
    """Make a flag that takes several values; sizes of layers are written 64,64."""
    text = f"Values of {name} to try" + (", each written like 64,64." if kind == SIZES else ".")
    values: Any = tuple[str if kind == SIZES else kind, ...]  # type: ignore[misc]
    return name, Annotated[values | None, tyro.conf.arg(help=text, help_behavior_hint=OPTIONAL)], field(default=None)


_KINDS = get_type_hints(SacConfig) | get_type_hints(GradientConfig)
Swept = make_dataclass("Swept", [_flag(name, kind) for name, kind in _KINDS.items()], frozen=True)


@dataclass(frozen=True)
class SweepCommand(Answering):
    """Train many settings with many seeds, side by side, and compare them.

    Every combination of the values given is trained with every seed. Settings that need no other compilation share one
    program. Writes sweep.csv (settings by their cost), trainings.csv, and a run folder for each training, which
    evaluate and validate take.
    """

    output: Path
    """Folder for the results; a run in it is refused, unless --overwrite."""
    values: Annotated[Any, tyro.conf.arg(name="", constructor=Swept)] = field(default_factory=Swept)
    scenario: MayOmit[str] = None
    """A packaged scenario's name or a TOML file. If not given: neom33."""
    algorithm: Algorithm = "sac"
    """How to learn: sac, or gradient (back-propagation through the grid)."""
    seed: MayOmit[int] = None
    """First seed. If not given: 0."""
    seeds: int = 3
    """Number of seeds for each setting."""
    total_steps: MayOmit[int] = None
    """Environment steps of a training, all copies together; at least one chunk. If not given: as in neomflex train."""
    max_seconds: MayOmit[float] = None
    """Stop each job after this many seconds, compilation included."""
    power_flow: PowerFlowName = None
    """How voltages are worked out. If not given: the scenario's."""
    profiles: MayOmit[str] = None
    """CSV file with Demand and Solar to train on. If not given: the scenario's."""
    workers: int = 1
    """Processes that share the trainings; about the number of cores helps, and each compiles for itself."""
    overwrite: bool = False
    """Replace runs in the output folder."""
    modules: Modules = ()
    no_cache: bool = False
    """Neither read nor keep compiled programs in your cache folder (as NEOMFLEX_CACHE=off)."""

    def execute(self, started: float) -> int:
        """Train all; returns the exit status."""
        from neomflex_jax.training.sweep import grid
        from neomflex_jax.training.sweep_table import TABLE, summarise, write

        if self.workers < 1:
            raise InputError(f"workers = {self.workers} must be at least 1")
        values = self._values()
        options = grid(self._training().options(), values)
        settings = [{name: getattr(getattr(each, self.algorithm), name) for name in values} for each in options]
        results = ResultFolder(self.output, SWEEP)
        results.check(overwrite=self.overwrite)
        with alone_in(self.output, "sweep"):
            results.check(overwrite=self.overwrite)
            outcomes = self._train(options, [_name(setting) for setting in settings], results)
            table = summarise(settings, outcomes)
            with results.replaced() as new:
                write(new, table, settings, outcomes)
        console.found(settings=table.to_dict("records"), files=[self.output / name for name in SWEEP.files])
        rows = [
            [
                _name({name: row[name] for name in values}),
                *(short(float(row[f"day_cost_{part}"])) for part in ("iqm", "low", "high")),
                f"{row['n_seeds'] - row['n_diverged']}/{row['n_seeds']}",
            ]
            for _, row in table.iterrows()
        ]
        header = ["setting", "day cost\nIQM", "95 %\nlow", "95 %\nhigh", "seeds\nfinite"]
        print_table("cost of a day at the end of training", header, rows)
        console.print(f"from: {self.output / TABLE}    {time.monotonic() - started:.0f} s")
        return 0

    def _train(
        self, options: Sequence[TrainOptions], names: Sequence[str], results: ResultFolder
    ) -> list[list[Outcome]]:
        """Train every setting; an earlier sweep's tables go before the first of its runs does."""
        from neomflex_jax.training.sweep import sweep

        n_trainings = len(options) * self.seeds
        console.remark(f"{len(options)} settings x {self.seeds} seeds = {n_trainings} trainings")
        common: Keywords = {"names": names, "overwrite": self.overwrite, "on_begin": results.withdraw}
        if self.workers > 1:
            prepared = (not self.no_cache, self.modules)
            pool = ProcessPoolExecutor(self.workers, get_context("spawn"), _prepare_worker, prepared)
            share = -(-n_trainings // self.workers)
            with progress("training") as stage:
                on_job = partial(stage.counted, unit="trainings")
                try:
                    return sweep(options, self.output, pool, largest_job=share, on_job=on_job, **common)
                finally:  # after Ctrl-C workers save what they have
                    pool.shutdown(wait=True, cancel_futures=True)
        with progress("compiling") as stage:
            finished = [0]

            def on_progress(chunk: Progress) -> None:
                cost, speed = short(chunk.metrics["day_cost"]), f"{chunk.steps_per_second:,.0f} steps/s"
                ready = f"{finished[-1]} of {n_trainings} trainings done"
                stage.shared(chunk.share, f"{ready}, {speed}, mean day cost {cost}", "training")

            common |= {"on_progress": on_progress, "on_job": lambda done, total: finished.append(done)}
            return sweep(options, self.output, **common)

    def _values(self) -> dict[str, tuple[object, ...]]:
        given = {name: getattr(self.values, name) for name in _KINDS}
        return {
            name: tuple(_sizes(name, text) for text in values) if _KINDS[name] == SIZES else values
            for name, values in given.items()
            if values is not None
        }

    def _training(self) -> TrainCommand:
        return TrainCommand(
            output=self.output,
            scenario=self.scenario,
            algorithm=self.algorithm,
            seed=self.seed,
            seeds=self.seeds,
            total_steps=self.total_steps,
            max_seconds=self.max_seconds,
            power_flow=self.power_flow,
            profiles=self.profiles,
        )


def _prepare_worker(cache: bool, modules: Sequence[str]) -> None:
    from neomflex_jax.training.interrupt import end_with_parent

    end_with_parent()
    if cache:
        use_compilation_cache()
    for module in modules:
        import_named(module)


def _sizes(name: str, text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise InputError(f"{name} {text!r}: write layers' sizes like 64,64") from None


def _name(setting: dict[str, object]) -> str:
    """Return a setting as text that can be a folder's name."""
    texts = [
        f"{name}={'x'.join(str(part) for part in value) if isinstance(value, tuple) else value}"
        for name, value in setting.items()
    ]
    return ",".join(texts) or "defaults"
