"""metrics.csv: one row a chunk (and seed), appended as training goes on."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import PyTree

from neomflex_jax.errors import InputError
from neomflex_jax.files.tables import first_rows, read_table
from neomflex_jax.files.text import MIB, read_text
from neomflex_jax.files.whole_files import write_whole
from neomflex_jax.training.run_folder import saving
from neomflex_jax.training.step_metrics import ORDER

MOST_BYTES = 1024 * MIB  # of the table


class DivergedError(InputError):
    """Learning has left the finite numbers; the settings, not the program, have to change."""


@dataclass(frozen=True)
class Progress:
    """What a progress display may show after each chunk."""

    steps: int  # environment steps of all copies of a seed, warm-up included
    most_steps: float  # that end the run; infinite where time alone does
    seconds: float  # since the start of `train`, compilation included
    steps_per_second: float  # of all seeds together
    share: float  # 0..1 of the budget
    metrics: dict[str, float]  # means over the seeds


def rows_of(
    agents: Sequence[str],
    progress: Progress,
    metrics: Mapping[str, np.ndarray],
    seeds: Sequence[int] | None = None,
) -> list[dict[str, float]]:
    """Rows of a chunk, one a seed, with a column a figure (and agent).

    Parameters
    ----------
    agents
        Names.
    progress
        Of all seeds together.
    metrics
        By name, shape (n_seeds,) or (n_seeds, n_agents).
    seeds
        Written into a column of their own; None: there is no such column.
    """
    rows = []
    for index in range(len(metrics[ORDER[0]])):
        row: dict[str, float] = {
            "steps": progress.steps,
            "seconds": round(progress.seconds, 3),
            "steps_per_second": round(progress.steps_per_second, 1),
        }
        row |= {} if seeds is None else {"seed": seeds[index]}
        for name in [*ORDER, *sorted(set(metrics) - set(ORDER))]:
            value = metrics[name][index]
            if value.ndim:
                row |= {f"{name}_{agent}": float(entry) + 0.0 for agent, entry in zip(agents, value, strict=True)}
            else:
                row[name] = float(value) + 0.0  # no -0
        rows.append(row)
    return rows


def append(path: Path, rows: Sequence[dict[str, float]]) -> None:
    """Append rows; the first call writes the header, and what an earlier version began keeps its columns."""
    header = first_rows(path, 0)[0] if path.exists() else []
    with saving(path), path.open("a", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, header or list(rows[0]), extrasaction="ignore", lineterminator="\n")
        if not header:
            writer.writeheader()
        writer.writerows(rows)


def copy_rows_of_seed(path: Path, seed: int, to: Path) -> None:
    """Write the table that one of several seeds would have alone."""
    if not path.exists():
        return
    table = read_table(path, ("seed",))
    own = table[table["seed"] == str(seed)].drop(columns="seed")
    write_whole(to, own.to_csv(index=False, lineterminator="\n"))


def drop_rows_after(path: Path, steps: int) -> None:
    """Remove the rows of steps made after the checkpoint, which will be made again."""
    if not path.exists():
        return
    lines = read_text(path, "CSV file", MOST_BYTES).splitlines(keepends=True)
    try:
        kept = [line for line in lines[1:] if line.endswith("\n") and int(line.split(",", 1)[0]) <= steps]
    except ValueError as error:
        raise InputError(f"{path}: a row does not begin with its steps ({str(error)[:80]}); move it away") from error
    write_whole(path, "".join(lines[:1] + kept))


def check_finite_arrays(learner: PyTree) -> None:
    """Raise `DivergedError` if an array of a learner is not finite: losses tell only of the updates before the last."""
    if not _all_finite(learner):
        raise DivergedError(
            "training stopped: parameters are not finite after the last update. --resume goes back to the last "
            "checkpoint; a smaller learning_rate or reward_scale usually helps"
        )


def _all_finite(learner: PyTree) -> bool:
    """Look on the host, which compiles nothing, unless parts lie with other processes."""
    floats = [leaf for leaf in jax.tree.leaves(learner) if jnp.issubdtype(leaf.dtype, jnp.inexact)]
    if all(leaf.is_fully_addressable for leaf in floats):
        return all(np.isfinite(leaf).all() for leaf in jax.device_get(floats))
    return bool(np.asarray(_all_finite_anywhere(floats).addressable_data(0)))


@jax.jit
def _all_finite_anywhere(floats: list[Array]) -> Array:
    return jnp.array([jnp.isfinite(leaf).all() for leaf in floats]).all()


def check_finite(rows: Sequence[dict[str, float]]) -> None:
    """Raise `DivergedError` naming the figures that are not finite, the learner's, by agent, before the grid's."""
    for row in rows:
        broken = sorted((name for name, value in row.items() if not math.isfinite(value)), key=lambda n: n in ORDER)
        if broken:
            of_seed = f" (seed {row['seed']:.0f})" if "seed" in row else ""
            nor = f", nor {', '.join(broken[1:8])}" if broken[1:] else ""
            raise DivergedError(
                f"training stopped: {broken[0]} is not finite{of_seed}{nor}. --resume goes back to the last "
                "checkpoint; a smaller learning_rate or reward_scale usually helps"
            )
