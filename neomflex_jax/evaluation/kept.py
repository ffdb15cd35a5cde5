"""How far a long calculation has come, in a file, so that a killed command need not begin again."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import PyTree

from neomflex_jax.errors import InputError
from neomflex_jax.files.same_bytes import write_npz
from neomflex_jax.files.stored_arrays import Wanted, open_arrays
from neomflex_jax.files.whole_files import whole_file

SAVE_SECONDS = 20.0  # at least, between two writings
Standing = TypeVar("Standing")


class Kept:
    """A file with the arrays of one pytree. Its name has to state everything that the calculation depends on."""

    def __init__(self, file: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self.file = file
        self._clock = clock
        self._saved = clock()

    def save(self, standing: PyTree, *, last: bool = False) -> None:
        """Write the arrays if the last writing is `SAVE_SECONDS` ago, or if these are the last."""
        if not last and self._clock() < self._saved + SAVE_SECONDS:
            return
        self.file.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(self.file) as partial:
            write_npz(partial, {str(index): leaf for index, leaf in enumerate(_leaves(standing))})
        self._saved = self._clock()

    def load(self, template: Standing) -> Standing | None:
        """Return what was saved, if it has the shapes and types of `template`, else None."""
        expected = _leaves(template)
        try:
            with open_arrays(self.file, "standing") as stored:
                found = [
                    stored.read(str(index), Wanted(leaf.dtype.kind, leaf.shape), leaf.nbytes)
                    for index, leaf in enumerate(expected)
                ]
        except InputError:
            return None
        if [leaf.dtype for leaf in found] != [leaf.dtype for leaf in expected]:
            return None
        restored = [_as(like, leaf) for like, leaf in zip(jax.tree.leaves(template), found, strict=True)]
        return jax.tree.unflatten(jax.tree.structure(template), restored)

    def remove(self) -> None:
        """Remove the file: the calculation is done, and its result lies elsewhere."""
        self.file.unlink(missing_ok=True)


def _leaves(tree: PyTree) -> list[np.ndarray]:
    leaves = jax.tree.leaves(tree)
    return [np.asarray(jax.random.key_data(leaf) if _is_key(leaf) else leaf) for leaf in leaves]


def _as(like: Array | np.ndarray, values: np.ndarray) -> Array | np.ndarray:
    """Return values as the kind of array that `like` is, NumPy's or JAX's: programs are compiled for one."""
    if _is_key(like):
        return jax.random.wrap_key_data(jnp.asarray(values))
    return jnp.asarray(values) if isinstance(like, jax.Array) else values


def _is_key(leaf: object) -> bool:
    return isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
