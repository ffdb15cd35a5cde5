"""Feeders of any size for the benchmarks: packaged where there is one, otherwise a random radial one.

A random feeder grows bus by bus: mostly the next bus continues the line that is being laid, now and then a lateral
starts at an earlier bus. Lines get thinner towards the ends, some buses have no load, and the impedances are scaled
so that the lowest voltage at nominal load is `LOWEST_VM_PU`, so that the cases are as hard for every size.
`--n-bus 3000 --output FOLDER` writes one as a feeder folder.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import tyro
from sparse_reference import solve_reference

import neomflex_jax as nf
from neomflex_jax.grid.build import build_feeder
from neomflex_jax.grid.feeder import Feeder
from neomflex_jax.grid.library import feeder_names
from neomflex_jax.grid.to_csv import write_feeder

PACKAGED = {33: "case33bw", 69: "case69", 141: "case141"}
LOWEST_VM_PU = 0.945
TOTAL_LOAD_MW = 5.0
VN_KV = 20.0
CONTINUES_LINE = 0.8  # chance that a bus hangs on the one before it
LOADED_SHARE = 0.8


def benchmark_feeder(n_bus: int) -> Feeder:
    """Return the packaged feeder of this size, or a synthetic one where there is none."""
    name = PACKAGED.get(n_bus)
    feeder = nf.load_feeder(name) if name in feeder_names() else synthetic_feeder(n_bus)
    several_levels = np.unique(feeder.vn_kv).size > 1
    if several_levels or not (feeder.charging is None and feeder.transformers is None and feeder.shunts is None):
        raise ValueError(f"{feeder.name!r} has more than lines of series impedance, which is all that is compared here")
    return feeder


def synthetic_feeder(n_bus: int, seed: int = 0) -> Feeder:
    """Grow a random radial feeder; the same size and seed give the same feeder.

    Parameters
    ----------
    n_bus
        Number of buses, slack included, at least 3.
    seed
        Of the topology, the lengths and the loads.
    """
    random = np.random.default_rng([seed, n_bus])
    parent = _grow(n_bus, random)
    load_p_mw = random.gamma(2.0, 1.0, n_bus) * (random.random(n_bus) < LOADED_SHARE)
    load_p_mw[0] = 0.0
    load_p_mw[-1] = max(load_p_mw[-1], 1.0)  # at least one load, however small the feeder
    load_p_mw *= TOTAL_LOAD_MW / load_p_mw.sum()
    load_q_mvar = load_p_mw * random.uniform(0.2, 0.6, n_bus)
    carried = _load_below(parent, load_p_mw)[1:] / TOTAL_LOAD_MW  # by each branch, as a share of the feeder's load
    length_km = random.lognormal(-1.5, 0.5, n_bus - 1)
    r_ohm = length_km * np.clip(0.15 / np.sqrt(carried + 1e-9), 0.15, 0.9)  # thick mains, thin ends
    x_ohm = length_km * random.uniform(0.25, 0.4, n_bus - 1)
    feeder = build_feeder(
        name=f"synthetic{n_bus}",
        bus_labels=range(1, n_bus + 1),
        vn_kv=[VN_KV] * n_bus,
        load_p_mw=list(load_p_mw),
        load_q_mvar=list(load_q_mvar),
        branches=[(int(parent[bus]) + 1, bus + 1) for bus in range(1, n_bus)],
        r_ohm=list(r_ohm),
        x_ohm=list(x_ohm),
        in_service=[True] * (n_bus - 1),
    )
    return _scaled_to_lowest_voltage(feeder)


def _grow(n_bus: int, random: np.random.Generator) -> np.ndarray:
    """Parent of every bus, always an earlier bus; the slack, bus 0, is its own."""
    parent = np.zeros(n_bus, int)
    for bus in range(2, n_bus):
        earlier = int(bus * random.random() ** 1.5)  # laterals start nearer to the substation rather than farther
        parent[bus] = bus - 1 if random.random() < CONTINUES_LINE else earlier
    return parent


def _load_below(parent: np.ndarray, load: np.ndarray) -> np.ndarray:
    """Load at and below every bus."""
    below = load.copy()
    for bus in range(len(parent) - 1, 0, -1):
        below[parent[bus]] += below[bus]
    return below


def _scaled_to_lowest_voltage(feeder: Feeder) -> Feeder:
    """Scale all impedances alike until the lowest voltage at nominal load is the one wanted."""
    p_mw, q_mvar = -feeder.load_p_mw[None], -feeder.load_q_mvar[None]

    def lowest(scale: float) -> float:
        scaled = replace(feeder, r_ohm=scale * feeder.r_ohm, x_ohm=scale * feeder.x_ohm)
        vm_pu = solve_reference(scaled, p_mw, q_mvar, must_converge=False)
        return float(vm_pu.min()) if np.isfinite(vm_pu).all() else 0.0

    low, high = 0.0, 1e-4
    while lowest(high) > LOWEST_VM_PU:
        low, high = high, 2.0 * high
    for _ in range(20):
        middle = (low + high) / 2.0
        low, high = (middle, high) if lowest(middle) > LOWEST_VM_PU else (low, middle)
    return replace(feeder, r_ohm=low * feeder.r_ohm, x_ohm=low * feeder.x_ohm)


@dataclass(frozen=True)
class Options:
    """Write a synthetic feeder as a folder that `neomflex scenario new --from` takes."""

    output: Path
    n_bus: int = 3000
    seed: int = 0


if __name__ == "__main__":
    options = tyro.cli(Options)
    print(write_feeder(synthetic_feeder(options.n_bus, options.seed), options.output))
