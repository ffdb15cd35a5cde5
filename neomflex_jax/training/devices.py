"""One training on several devices: a mesh with one axis, over which either the copies or the seeds are spread.

Copies: every device steps its part of them, keeps the part of the replay buffer that they fill and draws its part of
each batch; parameters are the same everywhere, as ``gradient = mean over devices of the devices' gradients``. Seeds:
every device has whole trainings of its own and nothing is averaged.
"""

from __future__ import annotations

import dataclasses
import os
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

import jax
import numpy as np
from jax import Array
from jax.sharding import Mesh, NamedSharding, PartitionSpec, SingleDeviceSharding
from jaxtyping import PyTree

from neomflex_jax.errors import InputError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

AXIS = "copies"
FEWEST_COPIES = 8  # of the gradient learner that a core of its own is worth
_spec: Any = PartitionSpec  # untyped in JAX, like what follows
_shape: Any = jax.ShapeDtypeStruct
_settings: Any = jax.config
EVERYWHERE, SPREAD = _spec(), _spec(AXIS)

Config = TypeVar("Config", bound="DataclassInstance")


def ask_for_cpu_devices(n_devices: int) -> None:
    """Make the CPU count as so many devices; takes effect only before JAX has looked for devices."""
    if n_devices > 1 and "xla_force_host_platform_device_count" not in os.environ.get("XLA_FLAGS", ""):
        _settings.update("jax_num_cpu_devices", n_devices)


def cores_for_seeds(n_seeds: int, at_most: int | None = None) -> int:
    """Return the largest number of equal parts of so many seeds for which there are cores (or `at_most` devices)."""
    at_most = _cores() if at_most is None else at_most
    return max(part for part in range(1, min(n_seeds, at_most) + 1) if n_seeds % part == 0)


def cores_for_copies(n_copies: int, at_most: int | None = None) -> int:
    """Return the largest number of equal parts of so many copies, worth a core each, for which there are cores."""
    most = min(n_copies // FEWEST_COPIES, _cores() if at_most is None else at_most)
    return max([part for part in range(1, most + 1) if n_copies % part == 0], default=1)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def devices_in_all(n_devices: int) -> int:
    """Return the number of devices of all processes, `n_devices` in each.

    Raises
    ------
    InputError
        If this process has fewer.
    """
    here = jax.local_device_count()
    if n_devices > here:
        raise InputError(
            f"devices = {n_devices}, but this process has {here} ({jax.local_devices()[0].platform}); "
            f"give --devices {here}, or on a CPU ask for more before JAX starts: JAX_NUM_CPU_DEVICES={n_devices}"
        )
    return n_devices * jax.process_count()


@cache
def mesh(n_devices: int) -> Mesh:
    """Return a mesh of so many devices, equally many of each process."""
    each = n_devices // jax.process_count()
    chosen = [
        device
        for process in range(jax.process_count())
        for device in [device for device in jax.devices() if device.process_index == process][:each]
    ]
    return Mesh(np.array(chosen), (AXIS,))


def placed(tree: PyTree, specs: PyTree, n_devices: int) -> PyTree:
    """Return a tree of shapes with the devices where its arrays shall lie; a spec may be for all below a branch."""
    if n_devices == 1:
        here = SingleDeviceSharding(jax.local_devices()[0])
        return jax.tree.map(lambda leaf: _shape(leaf.shape, leaf.dtype, sharding=here), tree)

    def branch(spec: PartitionSpec, below: PyTree) -> PyTree:
        def one(leaf: jax.ShapeDtypeStruct) -> jax.ShapeDtypeStruct:
            there = NamedSharding(mesh(n_devices), spec if leaf.size else EVERYWHERE)  # as XLA says of empty arrays
            return _shape(leaf.shape, leaf.dtype, sharding=there)

        return jax.tree.map(one, below)

    return jax.tree.map(branch, specs, tree, is_leaf=lambda spec: isinstance(spec, PartitionSpec))


def on_host(tree: PyTree, n_devices: int) -> PyTree:
    """Return arrays whole, on the host, wherever their parts are; all processes have to call it."""
    if n_devices > 1 and not all(
        leaf.is_fully_addressable or leaf.is_fully_replicated for leaf in jax.tree.leaves(tree)
    ):
        tree = jax.jit(lambda x: x, out_shardings=NamedSharding(mesh(n_devices), EVERYWHERE))(tree)
    return jax.device_get(tree)


def key_of_device(key: Array, mesh_axis: str | None) -> Array:
    """Return a key of this device's own, where the devices of a mesh axis share a key; made to be compiled."""
    return key if mesh_axis is None else jax.random.fold_in(key, jax.lax.axis_index(mesh_axis))


def part_of_device(drawn: Array, n_copies: int, mesh_axis: str | None) -> Array:
    """Return this device's rows of what was drawn for all copies of a mesh axis; made to be compiled."""
    if mesh_axis is None:
        return drawn
    return jax.lax.dynamic_slice_in_dim(drawn, jax.lax.axis_index(mesh_axis) * n_copies, n_copies)


def share_of_one_device(config: Config, names: tuple[str, ...], n_devices: int) -> Config:
    """Return a learner's settings with the named fields divided by the number of devices.

    Raises
    ------
    InputError
        If one cannot be divided.
    """
    for name in names:
        check_divisible(name, getattr(config, name), n_devices)
    return dataclasses.replace(config, **{name: getattr(config, name) // n_devices for name in names})


def check_divisible(name: str, value: int, n_devices: int) -> None:
    """Raise `InputError` naming the nearest numbers that the devices can share equally."""
    if value % n_devices:
        lower = value // n_devices * n_devices
        nearest = " or ".join(str(number) for number in (lower, lower + n_devices) if number)
        raise InputError(f"{name} = {value} cannot be shared equally by {n_devices} devices; nearest: {nearest}")
