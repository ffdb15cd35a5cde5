"""``neomflex train``."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from neomflex_jax.agents.gradient.config import GradientConfig
from neomflex_jax.agents.sac.config import SacConfig
from neomflex_jax.commands.answering import Answering
from neomflex_jax.commands.console import console, short
from neomflex_jax.commands.constraints import Constraints, limits_of
from neomflex_jax.commands.imported_modules import Modules
from neomflex_jax.commands.optional_values import OPTIONAL, Algorithm, MayOmit, PowerFlowName
from neomflex_jax.commands.progress import progress
from neomflex_jax.errors import InputError
from neomflex_jax.loose_types import Keywords
from neomflex_jax.resources import PROFILES

if TYPE_CHECKING:
    from neomflex_jax.environment import Environment
    from neomflex_jax.training.options import TrainOptions
    from neomflex_jax.training.run_log import Progress


@dataclass(frozen=True)
class TrainCommand(Answering):
    """Train one policy per agent on a scenario.

    Writes config.json, metrics.csv, checkpoints and policies/<agent>.safetensors into the output folder. Ctrl-C saves,
    and --resume goes on from there.
    """

    output: Path
    """Folder for the run; refused if it holds one, unless --overwrite or --resume."""
    scenario: MayOmit[str] = None
    """A packaged scenario's name or a TOML file. If not given: neom33."""
    algorithm: Algorithm = "sac"
    """How to learn: sac, or gradient (back-propagation through the grid)."""
    seed: MayOmit[int] = None
    """Equal seeds on equal machines give identical policies. If not given: 0."""
    seeds: MayOmit[int] = None
    """Train this many seeds side by side, from --seed on; policies go to seed_<k>/. If not given: 1."""
    total_steps: MayOmit[int] = None
    """Environment steps of a seed, all copies together, rounded up to whole chunks.
    The warm-up counts, and at least one chunk is made after it.
    If not given: no bound where --max-seconds is one, else 500000, or for gradient 2500000."""
    max_seconds: MayOmit[float] = None
    """End learning within this many seconds from the command's start, compilation included; one update is made anyway.
    Saving and comparing what was learned come after that."""
    power_flow: PowerFlowName = None
    """How voltages are worked out. If not given: the scenario's."""
    profiles: MayOmit[str] = None
    """CSV file with Demand and Solar to train on. If not given: the scenario's."""
    finish_on: PowerFlowName = None
    """Power flow for the last part of the budget, for example ac after calibrated."""
    finish_fraction: MayOmit[float] = None
    """Share of the budget that --finish-on takes. If not given: 0.2."""
    initial_policies: MayOmit[str] = None
    """Output folder of another training, of any scenario whose agents see and do the same, to start from its policies.
    Or a recorded run (trajectory_<run>.npz of evaluate), to whose actions policies are fitted first."""
    target_day_cost: MayOmit[float] = None
    """Stop when the mean day cost in training is at most this."""
    constraints: Constraints = ()
    preset: Annotated[str | None, tyro.conf.arg(help_behavior_hint=OPTIONAL, metavar="{cpu,gpu}")] = None
    """Sizes in the place of defaults: copies, batches, updates a step. What you give otherwise stays.
    If not given: cpu, which changes nothing, or on an accelerator gpu."""
    devices: MayOmit[int] = None
    """Share the copies (with --seeds: the seeds) among this many devices of each process. On a CPU any number.
    If not given: as many cores as the seeds or the copies of --algorithm gradient can be shared by, else 1."""
    coordinator: MayOmit[str] = None
    """HOST:PORT where process 0 of several listens. Not needed under Slurm, where a step's tasks join by themselves."""
    num_processes: MayOmit[int] = None
    """How many processes train together. 1 by itself: train alone in a Slurm step of several tasks."""
    process_id: MayOmit[int] = None
    """Which of them this is, from 0 on; all see the same output folder."""
    checkpoint_seconds: float = 60.0
    """Time between checkpoints; 0 saves after every chunk."""
    resume: bool = False
    """Continue the run in the output folder from its newest checkpoint.
    With --total-steps or --max-seconds (from now on) the decay goes by the share of the new budget: rates may rise."""
    overwrite: bool = False
    """Replace the run in the output folder."""
    tensorboard: bool = False
    """Also write TensorBoard event files, into events/; needs pip install "neomflex-jax[tensorboard]"."""
    profile: bool = False
    """Write a JAX trace of a few chunks, into trace/."""
    modules: Modules = ()
    no_cache: bool = False
    """Neither read nor keep compiled programs in your cache folder (as NEOMFLEX_CACHE=off)."""
    sac: Annotated[SacConfig, tyro.conf.arg(prefix_name=True)] = field(default_factory=SacConfig)
    gradient: Annotated[GradientConfig, tyro.conf.arg(prefix_name=True)] = field(default_factory=GradientConfig)

    def execute(self, started: float) -> int:
        """Train; returns the exit status."""
        from neomflex_jax.training.event_log import EventLog
        from neomflex_jax.training.processes import PeerError, is_first, join, leave_at_once
        from neomflex_jax.training.profile import ChunkTrace
        from neomflex_jax.training.run_folder import RunFolder

        folder = RunFolder(self.output)
        if self.resume and self.overwrite:
            raise InputError("--resume and --overwrite contradict each other; give one")
        if self.resume:
            folder.read_config()
            self._refuse_changes()
        self._ask_for_devices()
        join(self.coordinator, self.num_processes, self.process_id)
        if not is_first():
            console.mute()
        options = None if self.resume else self.options()
        events = EventLog(folder.events) if self.tensorboard and is_first() else None
        trace = ChunkTrace(folder.trace) if self.profile and is_first() else None
        watchers = [watcher for watcher in (events, trace) if watcher is not None]
        console.remark(_device_line())
        with progress("compiling") as stage, ExitStack() as stack:
            for watcher in watchers:
                stack.callback(watcher.close)

            def on_progress(chunk: Progress) -> None:
                stage.shared(chunk.share, _note(chunk), "training")
                for watcher in watchers:
                    watcher(chunk)

            begun = [self.resume]
            try:
                self._learn(options, on_progress, lambda: begun.append(True), started)
            except KeyboardInterrupt:
                saved = any(begun) and any(folder.checkpoints.glob("*"))
                modules = "".join(f" --import {module}" for module in self.modules)
                after = f"saved; go on with: neomflex train --resume --output {self.output}{modules}"
                console.fail(f"interrupted; {after if saved else 'nothing was learned yet'}", word="")
                return 130
            except PeerError as error:
                console.fail(str(error))
                console.end("train", 2)
                leave_at_once(2)
        if trace is not None and trace.written:
            console.found(trace=folder.trace)
            console.print(f"trace: {folder.trace}; open its perfetto_trace.json.gz at https://ui.perfetto.dev")
        if events is not None:
            console.found(events=folder.events)
            console.print(f"events: tensorboard --logdir {folder.events}")
        if is_first():
            console.print(_end_lines(self.output))
        return 0

    def _learn(
        self,
        options: TrainOptions | None,
        on_progress: Callable[[Progress], None],
        on_begin: Callable[[], None],
        started: float,
    ) -> None:
        """Train a new run, or without options go on with the one in the folder."""
        from neomflex_jax.training.train import resume, train

        both: Keywords = {
            "on_progress": on_progress,
            "started": started,
            "checkpoint_seconds": self.checkpoint_seconds,
        }
        if options is None:
            resume(self.output, total_steps=self.total_steps, max_seconds=self.max_seconds, **both)
        else:
            options, env = self._sized(options)
            train(options, self.output, overwrite=self.overwrite, on_begin=on_begin, env=env, **both)

    def _sized(self, options: TrainOptions) -> tuple[TrainOptions, Environment | None]:
        """Return the options with their copies as a number, and the environment where that took one; says both."""
        from neomflex_jax.environment import make
        from neomflex_jax.training.sizes import copies_are_open, preset_of_device, said, with_fitting_copies

        env = make(options.scenario) if copies_are_open(options) else None
        if env is not None:
            options = with_fitting_copies(options, env)
        console.remark(said(options, self.preset or preset_of_device()))
        return options, env

    def _ask_for_devices(self) -> None:
        """Make the CPU count as the devices asked for, before JAX starts."""
        from neomflex_jax.training.devices import ask_for_cpu_devices
        from neomflex_jax.training.run_folder import RunFolder

        if self.resume:
            devices: object = RunFolder(self.output).read_config().get("devices", 1)
        else:
            devices = self._shared_by()
        ask_for_cpu_devices(devices if isinstance(devices, int) else 1)

    def _shared_by(self, n_here: int | None = None) -> int | None:
        """Return how many devices share the work: those asked for, else of `n_here`, None: of the cores."""
        from neomflex_jax.training.devices import cores_for_copies, cores_for_seeds

        if self.devices is not None:
            return self.devices
        if self.seeds is not None and self.seeds > 1:
            return cores_for_seeds(self.seeds, n_here)
        copies = self.gradient.n_copies or GradientConfig().n_copies
        return cores_for_copies(copies, n_here) if self.algorithm == "gradient" else None

    def options(self) -> TrainOptions:
        """Return the options of a new run."""
        import jax

        from neomflex_jax.scenario import load_scenario
        from neomflex_jax.training.options import TrainOptions
        from neomflex_jax.training.sizes import preset_of_device, with_preset

        profiles = self.profiles  # absolute, so that the run can be resumed and evaluated from anywhere
        if profiles is not None and profiles not in PROFILES:
            profiles = str(Path(profiles).resolve())
        overrides = {"power_flow": self.power_flow, "profiles": profiles}
        scenario = load_scenario(
            self.scenario or "neom33", **{name: value for name, value in overrides.items() if value is not None}
        )
        initial = None if self.initial_policies is None else str(Path(self.initial_policies).resolve())
        given: Keywords = {"seed": self.seed, "n_seeds": self.seeds, "finish_on": self.finish_on}
        given |= {"finish_fraction": self.finish_fraction, "initial_policies": initial}
        on_cpu, n_here = jax.local_devices()[0].platform == "cpu", jax.local_device_count()
        alone = jax.process_count() == 1 and (on_cpu or (self.seeds or 1) > 1)
        given |= {"devices": self._shared_by(n_here) if alone else self.devices}
        options = TrainOptions(
            scenario=scenario,
            total_steps=self.total_steps,
            max_seconds=self.max_seconds,
            target_day_cost=self.target_day_cost,
            sac=self.sac,
            gradient=self.gradient,
            algorithm=self.algorithm,
            constraints=limits_of(self.constraints),
            **{name: value for name, value in given.items() if value is not None},
        )
        return with_preset(options, preset_of_device() if self.preset is None else self.preset)

    def _refuse_changes(self) -> None:
        fixed = {
            "--scenario": self.scenario is not None,
            "--seed": self.seed is not None,
            "--power-flow": self.power_flow is not None,
            "--profiles": self.profiles is not None,
            "--algorithm": self.algorithm != "sac",
            "--seeds": self.seeds is not None,
            "--devices": self.devices is not None,
            "--preset": self.preset is not None,
            "--finish-on": self.finish_on is not None,
            "--finish-fraction": self.finish_fraction is not None,
            "--initial-policies": self.initial_policies is not None,
            "--constraint": bool(self.constraints),
            "--target-day-cost": self.target_day_cost is not None,
            "--sac.*": self.sac != SacConfig(),
            "--gradient.*": self.gradient != GradientConfig(),
        }
        changed = [flag for flag, given in fixed.items() if given]
        if changed:
            raise InputError(f"{changed[0]} cannot change in a resumed run; leave it out, or train anew")


def _device_line() -> str:
    import jax

    devices = jax.devices()
    return f"running on {len(devices)} x {devices[0].device_kind} ({devices[0].platform})"


def _note(progress: Progress) -> str:
    return (
        f"{progress.steps:,} steps  {progress.steps_per_second:,.0f} steps/s  "
        f"day reward {short(-progress.metrics['day_cost'])}  "
        f"outside band {100 * progress.metrics['share_outside_band']:z.1f} %"
    )


def _end_lines(output: Path) -> str:
    """Return what is said at the end, and tell a machine."""
    from neomflex_jax.training.result import read_result
    from neomflex_jax.training.run_folder import RunFolder

    folder = RunFolder(output)
    result = read_result(folder.result)
    config = folder.read_config()
    n_seeds, first = config.get("n_seeds", 1), config.get("seed", 0)
    seeds = [folder.of_seed(seed) for seed in range(first, first + n_seeds)] if n_seeds > 1 else [folder]
    policies = [each.policies for each in seeds]
    console.found(run=output, policies=policies, result=result, files=[folder.config, folder.metrics, folder.result])
    places = ", ".join(map(str, policies))
    line = f"policies: {places}    {result['seconds']:.0f} s    sha256 {result['policies_sha256']}"
    return f"{result['comparison']['sentence']}\n{line}" if "comparison" in result else line
