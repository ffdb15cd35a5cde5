"""Several processes as one training, on JAX's own runtime: joining, agreeing, and noticing that one is gone.

Every process runs the same program in the same order. What the clock or a signal says differs between them, so that
decisions are process 0's, and it alone writes and prints. A process that dies breaks the collective operation which the
others are in, or is missed by its heartbeat: the others stop too, and all can be started again from the checkpoint.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import jax
import numpy as np

from neomflex_jax.errors import InputError
from neomflex_jax.folders.lock import alone_in

JOIN_SECONDS = 120  # to wait for the others at the start
HEARTBEAT_SECONDS = 15  # without a sign of life, until a process counts as gone
SHUTDOWN_SECONDS = 15
_SIGNS = re.compile("gloo|nccl|mpi|connection|socket|barrier|heartbeat|coordination|unavailable", re.IGNORECASE)


class PeerError(InputError):
    """Another process of this training is gone."""


def slurm_tasks(environment: Mapping[str, str] = os.environ) -> int:
    """Return the number of tasks of the Slurm step that this process is one of; 1 outside of steps."""
    names = ("SLURM_JOB_ID", "SLURM_STEP_NODELIST", "SLURM_NTASKS", "SLURM_PROCID", "SLURM_LOCALID")
    return int(environment["SLURM_NTASKS"]) if all(name in environment for name in names) else 1


def join(coordinator: str | None, num_processes: int | None, process_id: int | None) -> None:
    """Join the other processes, before JAX looks for devices; alone where nothing says otherwise.

    Parameters
    ----------
    coordinator, num_processes, process_id
        Where process 0 listens (``host:port``), how many there are and which of them this is. All three, or none: then
        the tasks of a Slurm step join each other; `num_processes` = 1 by itself keeps them apart.

    Raises
    ------
    InputError
        If only some are given, one is unusable, or the others do not come.
    """
    settings = {"coordinator": coordinator, "num_processes": num_processes, "process_id": process_id}
    given = {name for name, value in settings.items() if value is not None}
    if not given and slurm_tasks() > 1:
        return _initialise()
    if not given or (given == {"num_processes"} and num_processes == 1):
        return None
    if coordinator is None or num_processes is None or process_id is None:
        missing = ", ".join(f"--{name.replace('_', '-')}" for name in settings if name not in given)
        raise InputError(f"several processes need all of --coordinator, --num-processes, --process-id; add {missing}")
    port = re.fullmatch(r"[^\s:]+:(\d{1,5})|\[[^\s\]]+\]:(\d{1,5})", coordinator)
    if port is None or not 0 < int(port[1] or port[2]) < 65536:
        raise InputError(f"coordinator = {coordinator!r} must be HOST:PORT, such as node1:12345")
    if not 0 <= process_id < num_processes:
        raise InputError(f"process_id = {process_id} must lie in 0..{num_processes - 1}, num_processes being above 0")
    return _initialise(coordinator, num_processes, process_id)


def _initialise(
    coordinator: str | None = None, num_processes: int | None = None, process_id: int | None = None
) -> None:
    try:
        jax.distributed.initialize(
            coordinator,
            num_processes,
            process_id,
            initialization_timeout=JOIN_SECONDS,
            heartbeat_timeout_seconds=HEARTBEAT_SECONDS,
            shutdown_timeout_seconds=SHUTDOWN_SECONDS,
        )
    except (RuntimeError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise InputError(
            f"the other processes could not be joined ({reason}); start all within {JOIN_SECONDS} s, each with its own "
            "--process-id, and the same --coordinator, which process 0's machine must be reachable as"
        ) from error


def is_first() -> bool:
    """Return True in the process that writes and prints."""
    return jax.process_index() == 0


def agreed(value: float) -> float:
    """Return process 0's value; all processes have to call it."""
    if jax.process_count() == 1:
        return value
    return float(_gathered(np.array([value], np.float64).view(np.uint32))[0].copy().view(np.float64)[0])


def any_of_them(flag: bool) -> bool:
    """Return True if it is true for any process; all have to call it."""
    return flag if jax.process_count() == 1 else bool(_gathered(np.array([flag], np.uint32)).any())


def least_of_them(value: int) -> int:
    """Return the least value of any process, of 31 bits; all have to call it."""
    return value if jax.process_count() == 1 else int(_gathered(np.array([value], np.int32)).min())


def check_same(digest: str, what: str) -> None:
    """Raise `InputError` unless all processes have the same (hexadecimal) digest of something; all have to call it."""
    if jax.process_count() == 1:
        return
    everyone = _gathered(np.frombuffer(bytes.fromhex(digest), np.uint32))
    if (everyone != everyone[0]).any():
        differs = int(np.argmax((everyone != everyone[0]).any(axis=1)))
        raise InputError(f"{what} of process {differs} and of process 0 are not the same; start all of them alike")


def of_everyone(values: np.ndarray) -> np.ndarray:
    """Return everyone's values (n_processes, ...), of 32 bits; all have to call it."""
    return values[None] if jax.process_count() == 1 else _gathered(values)


def _gathered(values: np.ndarray) -> np.ndarray:
    """Return everyone's values (n_processes, ...), of 32 bits, as JAX would cut off the rest."""
    from jax.experimental.multihost_utils import process_allgather

    return np.asarray(process_allgather(values))


@contextmanager
def first_alone_in(folder: Path, doing: str) -> Iterator[None]:
    """Hold a folder (`alone_in`) for all processes, by process 0; all have to call it, and all are refused if it is."""
    refused: InputError | None = None
    with ExitStack() as stack:
        if is_first():
            try:
                stack.enter_context(alone_in(folder, doing))
            except InputError as error:
                refused = error
        if any_of_them(refused is not None):
            raise refused or InputError(f"{folder}: is not free for process 0, which says why")
        yield


@contextmanager
def noticing_the_dead(advice: str) -> Iterator[None]:
    """Turn the runtime's error about a process that is gone into a `PeerError`."""
    try:
        yield
    except (jax.errors.JaxRuntimeError, ValueError) as error:
        if jax.process_count() == 1 or isinstance(error, InputError) or not _SIGNS.search(str(error)):
            raise
        reason = str(error).strip().splitlines()[0][:200]
        raise PeerError(f"another process of this training is gone ({reason}). {advice}") from error


def leave_at_once(status: int) -> None:
    """End this process without waiting for others that will not come."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
