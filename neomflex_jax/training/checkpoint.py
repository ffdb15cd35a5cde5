"""Checkpoints of a whole training run, by Orbax: written completely or not at all, the last few kept.

A checkpoint holds every array of the `TrainState` by name (PRNG keys as their data), so that a resumed run continues
bit for bit; Orbax refuses arrays without entries, and they need no storing. No Python objects are stored.
"""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from neomflex_jax.errors import InputError
from neomflex_jax.training.algorithm import TrainState

KEEP = 2


class Checkpoints:
    """The checkpoints in one folder."""

    def __init__(self, folder: Path) -> None:
        import orbax.checkpoint as ocp

        logging.getLogger("absl").setLevel(logging.ERROR)  # Orbax narrates every save at INFO and WARNING
        options = ocp.CheckpointManagerOptions(max_to_keep=KEEP, create=True, cleanup_tmp_directories=True)
        self._folder = folder
        self._ocp = ocp
        self._manager = ocp.CheckpointManager(folder.absolute(), options=options)

    def save(self, state: TrainState) -> None:
        """Write a checkpoint named by the state's step count and wait until it is whole."""
        step = int(np.ravel(jax.device_get(state.steps))[0])  # the same for every seed
        if step not in self._manager.all_steps():
            self._manager.save(step, args=self._ocp.args.StandardSave(_named_arrays(state)), force=True)
            self._manager.wait_until_finished()

    def restore_newest(self, template: TrainState) -> TrainState:
        """Load the newest checkpoint that loads; one that does not is skipped with a warning.

        Parameters
        ----------
        template
            A state of the same run, for shapes and dtypes.

        Raises
        ------
        InputError
            If none can be loaded.
        """
        abstract = jax.eval_shape(_named_arrays, template)
        broken: list[int] = []
        for step in sorted(self._manager.all_steps(), reverse=True):
            try:
                stored = self._manager.restore(step, args=self._ocp.args.StandardRestore(abstract))
            except (ValueError, KeyError, TypeError, OSError) as error:
                reason = str(error).splitlines()[0] if str(error) else type(error).__name__
                warnings.warn(f"checkpoint {self._folder / str(step)} does not load, skipped: {reason}", stacklevel=2)
                broken.append(step)
                continue
            for newer in broken:  # they would stand in the way of the checkpoints to come
                self._manager.delete(newer)
            return _from_named_arrays(stored, template)
        raise InputError(f"{self._folder}: no checkpoint that loads; train anew with --overwrite")

    def close(self) -> None:
        """Finish pending work."""
        self._manager.close()


def _named_arrays(state: TrainState) -> dict[str, Array]:
    leaves = jax.tree_util.tree_leaves_with_path(state)
    return {jax.tree_util.keystr(path): _as_data(leaf) for path, leaf in leaves if leaf.size}


def _from_named_arrays(stored: dict[str, Any], template: TrainState) -> TrainState:
    def rebuild(path: Any, leaf: Array) -> Array:
        if not leaf.size:
            return jnp.zeros(leaf.shape, leaf.dtype)
        value = jnp.asarray(stored[jax.tree_util.keystr(path)])
        if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            return jax.random.wrap_key_data(value)
        return value

    return jax.tree_util.tree_map_with_path(rebuild, template)


def _as_data(leaf: Array) -> Array:
    return jax.random.key_data(leaf) if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) else leaf
