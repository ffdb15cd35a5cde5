"""Memory and file of a record of very unequal agents: one has most of a synthetic feeder, every other one bus.

``python benchmarks/unequal_records.py [--n-bus 3000] [--n-alone 199] [--n-days 84]``

No control on the testing days, in `lindistflow`; what is recorded does not depend on either. `padded` is what arrays
with a row an agent would hold.
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import tyro
from synthetic_feeder import synthetic_feeder

import neomflex_jax as nf
from neomflex_jax.agents.policy import NoControl
from neomflex_jax.environment import evaluation_environment
from neomflex_jax.evaluation import Trajectory, record
from neomflex_jax.grid.to_csv import write_feeder
from neomflex_jax.scenario import Scenario, Territory

OWN_BATTERIES = 100  # of the agent of most buses; the others have one each


@dataclass(frozen=True)
class Options:
    """Record, write and read very unequal agents."""

    n_bus: int = 3000
    n_alone: int = 199
    """Agents of one bus."""
    n_days: int = 84


def unequal_scenario(folder: Path, n_bus: int, n_alone: int) -> Scenario:
    """Return a scenario on a feeder that is written to a folder."""
    feeder = write_feeder(synthetic_feeder(n_bus), folder)
    labels = nf.Feeder.from_csv(feeder).bus_labels
    alone = labels[10 :: (n_bus - 10) // n_alone][:n_alone]
    most = tuple(bus for bus in labels if bus not in alone)
    buses = (*alone, *most[1 : 1 + OWN_BATTERIES])
    return nf.load_scenario(
        "neom33",
        feeder=str(feeder),
        batteries=[{"bus": bus, "capacity_mwh": 0.05, "power_mw": 0.01} for bus in buses],
        pv_inverters=[],
        power_flow="lindistflow",
        territories=[Territory("most", most), *(Territory(f"at_{bus}", (bus,)) for bus in alone)],
    )


def main() -> None:
    """Measure and print."""
    options = tyro.cli(Options)
    with tempfile.TemporaryDirectory() as folder:
        env = evaluation_environment(nf.make(unequal_scenario(Path(folder) / "f", options.n_bus, options.n_alone)))
        before_gib, began = _peak_gib(), time.perf_counter()
        run = record(env, NoControl(env.action_size), "idle", options.n_days)
        print(f"recorded in {time.perf_counter() - began:.0f} s; peak memory {before_gib:.2f} -> {_peak_gib():.2f} GiB")
        path, began = Path(folder) / "run.npz", time.perf_counter()
        run.save(path)
        print(f"file of {path.stat().st_size / 2**20:.0f} MiB, written in {time.perf_counter() - began:.0f} s")
        Trajectory.load(path)
    kept = run.observations.values.nbytes + run.actions.values.nbytes
    padded = run.n_steps * (env.observation_mask.size + env.action_mask.size) * run.observations.values.itemsize
    print(f"observations and actions: {kept / 2**20:.0f} MiB, padded {padded / 2**20:.0f} MiB")


def _peak_gib() -> float:
    """Largest memory of this process so far, as Linux states it."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(status.split("VmHWM:")[1].split()[0]) / 2**20


if __name__ == "__main__":
    main()
