"""Sizes that suit a device: presets by its kind, and as many copies as its memory holds.

    bytes of n copies = `memory.needs_of` at n  <=  SHARE of what is free,  n a preset's number, its half, quarter ...

On a CPU more copies at once go no faster: its preset are the settings' own defaults, tuned on two cores. On an
accelerator a kernel takes as long to start for few copies as for many, so that there are more of them, larger batches
and fewer updates for as many steps. Those sizes are reasoned, not measured: nothing has run on a GPU yet.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import jax

from neomflex_jax.agents.gradient.config import GradientConfig
from neomflex_jax.agents.sac.config import AUTO, SacConfig
from neomflex_jax.environment import Environment
from neomflex_jax.errors import InputError, unknown_name
from neomflex_jax.loose_types import Keywords
from neomflex_jax.training.memory import free_bytes, needs_of
from neomflex_jax.training.options import TUNED_STEPS, TrainOptions
from neomflex_jax.training.program import program_for

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

SHARE = 0.5  # of the free memory, for the model leaves out what XLA keeps beside
Config = TypeVar("Config", bound="DataclassInstance")


@dataclass(frozen=True)
class Preset:
    """What a kind of device changes of the settings' defaults, by name."""

    sac: Mapping[str, float]
    gradient: Mapping[str, float]


PRESETS = {
    "cpu": Preset({}, {}),
    "gpu": Preset(
        sac={
            "n_copies": 2048,
            "batch_size": 4096,
            "updates_per_step": 8,
            "buffer_size": 1_572_864,
            "buffer_gib": 8.0,
        },
        gradient={"n_copies": 1024},
    ),
}


def preset_of_device() -> str:
    """Return the preset's name that suits the device that learns."""
    return "cpu" if jax.local_devices()[0].platform == "cpu" else "gpu"


def with_preset(options: TrainOptions, name: str) -> TrainOptions:
    """Return options with a preset's sizes in the place of defaults; other values stay as they are.

    Where no budget is given it grows with the copies, so that as many updates are made as by default.

    Raises
    ------
    InputError
        If there is no preset of that name.
    """
    if name not in PRESETS:
        raise unknown_name("preset", name, PRESETS)
    preset = PRESETS[name]
    options = dataclasses.replace(
        options, sac=_changed(options.sac, preset.sac), gradient=_changed(options.gradient, preset.gradient)
    )
    copies = getattr(preset, options.algorithm).get("n_copies")
    if copies is None or options.total_steps is not None or options.max_seconds is not None:
        return options
    config = getattr(options, options.algorithm)
    more = (config.n_copies or copies) / type(config)().n_copies
    return dataclasses.replace(options, total_steps=int(more * TUNED_STEPS[options.algorithm]))


def _changed(config: Config, changes: Mapping[str, float]) -> Config:
    default = type(config)()
    own = {name: value for name, value in changes.items() if getattr(config, name) == getattr(default, name)}
    return dataclasses.replace(config, **own)


def copies_are_open(options: TrainOptions) -> bool:
    """Return True if the copies are `AUTO`, and no number yet."""
    return bool(getattr(options, options.algorithm).n_copies == AUTO)


def with_fitting_copies(options: TrainOptions, env: Environment, free: float | None = None) -> TrainOptions:
    """Return options whose copies are a number: where they are `AUTO`, the largest that memory holds.

    Parameters
    ----------
    options, env
        Of the training.
    free
        Bytes that are free on a device; None: what the device says. Where it says nothing, all copies of the preset.

    Raises
    ------
    InputError
        If not even one copy for each device fits, or several processes would each have to choose.
    """
    config: SacConfig | GradientConfig = getattr(options, options.algorithm)
    if not copies_are_open(options):
        return options
    if jax.process_count() > 1:
        raise InputError(f"--{options.algorithm}.n-copies auto is for one process; give a number")
    free = free_bytes() if free is None else free
    if free is not None and jax.local_devices()[0].platform != "cpu":
        free *= options.devices
    preset = getattr(PRESETS[preset_of_device()], options.algorithm)
    most = int(preset.get("n_copies", type(config)().n_copies))
    copies = most
    while copies >= options.devices:
        sized: Keywords = {options.algorithm: with_copies(config, copies)}
        fitting = dataclasses.replace(options, **sized)
        if free is None or needs_of(program_for(env, fitting), env, fitting).total <= SHARE * free:
            return fitting
        copies //= 2
    raise InputError(
        f"not even {options.devices} copies of this training fit into half of the free memory; take a smaller grid, "
        "fewer agents, a smaller --sac.buffer-gib, or a device with more memory"
    )


def with_copies(config: SacConfig | GradientConfig, copies: int) -> SacConfig | GradientConfig:
    """Return settings with so many copies, a replay buffer rounded up to whole steps of all of them."""
    if isinstance(config, GradientConfig):
        return dataclasses.replace(config, n_copies=copies)
    buffer = max(config.buffer_size, config.warmup_steps * copies)
    return dataclasses.replace(config, n_copies=copies, buffer_size=-(-buffer // copies) * copies)


def said(options: TrainOptions, preset: str) -> str:
    """Return one line on the sizes that a training takes."""
    if options.algorithm == "gradient":
        config = options.gradient
        return f"preset {preset}: {config.n_copies:,} copies, learning rate {config.learning_rate:g}"
    sac = options.sac
    updates = f"{sac.updates_per_step} updates a step from batches of {sac.batch_size:,}"
    return f"preset {preset}: {sac.n_copies:,} copies, {updates}, learning rate {sac.learning_rate:g}"
