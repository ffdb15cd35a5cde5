"""How many cases of a batch a CPU solves together: few enough for a core's cache, enough to be worth a call.

All sizes were measured; `bus values` are buses times cases, of one quantity.
"""

from __future__ import annotations

from typing import NamedTuple

from neomflex_jax.powerflow.network.dense import DenseNetwork
from neomflex_jax.powerflow.network.per_unit import PerUnitFeeder

CHUNK_VALUES = 32768  # bus values of a chunk, 130 kB in float32; about ten such arrays live at a time
FEWEST_CASES = 8  # fewer leave vector units idle
SWEPT_CASES = 64  # some vectors at least
TREE_CASES = (32, 128)  # a tree's slots are rows of cases: short rows cost time, and long ones cache
TREE_CHUNK_VALUES = 65536  # its operations are small, and each costs time of its own
# bus values of a thread's call, a millisecond or so of quick methods: smaller calls take less time than handing them
# over, and the memory of larger ones is new every time
PIECE_VALUES = 262144
# the same where one sweep is all that is done: as many cases as four calls take are still solved sooner in one
SWEEP_VALUES, SWEEPS_AT_ONCE = 1048576, 4
MATRIX_VALUES = 4_000_000  # of the Jacobians that a chunk of held voltages has at a time, 32 MB in float64


class PieceSizes(NamedTuple):
    """Sizes for one method on one feeder."""

    chunk_cases: int  # cases solved together on one core, a power of two
    uncut_cases: int  # a batch of up to so many cases is solved as one chunk
    piece_values: tuple[int, int]  # fewest and most bus values of a thread's call


def product_sizes(grid: PerUnitFeeder, *, iterates: bool) -> PieceSizes:
    """Sizes for matrix products; a method that iterates keeps a core busy with a single chunk."""
    n_bus = grid.topology.n_bus
    if grid.held is not None:  # LAPACK's kernels hang where several threads call them: all of a batch in one call
        cases = _power_of_two(max(1, MATRIX_VALUES // (2 * n_bus) ** 2))
        return PieceSizes(cases, cases, (2**62, 2**62))
    if isinstance(grid.network, DenseNetwork):
        cases = max(FEWEST_CASES, CHUNK_VALUES // n_bus)
    else:
        fewest, most = TREE_CASES
        cases = min(max(fewest, TREE_CHUNK_VALUES // n_bus), most)
    chunk_cases = _power_of_two(cases)
    return PieceSizes(chunk_cases, chunk_cases, (0 if iterates else PIECE_VALUES, PIECE_VALUES))


def branch_sizes(n_branch: int) -> PieceSizes:
    """Sizes for the fixed point on the branches of an unbalanced feeder's loads."""
    chunk_cases = _power_of_two(max(FEWEST_CASES, CHUNK_VALUES // max(1, n_branch)))
    return PieceSizes(chunk_cases, chunk_cases, (0, PIECE_VALUES))


def sweep_sizes(grid: PerUnitFeeder, *, sweep_is_all: bool = False) -> PieceSizes:
    """Sizes for sweeps in machine code, which cut a call's worth of cases into vectors themselves.

    `sweep_is_all`: it reads the injections and writes all of the result, nothing is done beside it.
    """
    values, uncut_chunks = (SWEEP_VALUES, SWEEPS_AT_ONCE) if sweep_is_all else (PIECE_VALUES, 1)
    chunk_cases = _power_of_two(max(SWEPT_CASES, values // grid.topology.n_bus))
    return PieceSizes(chunk_cases, chunk_cases * uncut_chunks, (PIECE_VALUES, PIECE_VALUES))


def _power_of_two(cases: int) -> int:
    """Largest power of two that is no larger."""
    return 1 << (cases.bit_length() - 1)
