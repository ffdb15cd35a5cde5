"""Taps and capacitors where controls leave them, beside OpenDSS's with its controls on.

``python benchmarks/unbalanced_controls.py 13Bus/IEEE13Nodeckt.dss 34Bus/ieee34Mod1.dss 123Bus/IEEE123Master.dss``

Of each circuit 50 levels of all loads, 0.3 to 1.3 times their power, each from the taps and steps that the file leaves,
in float64; OpenDSS in its static control mode at a tolerance of 1e-10. Needs the extra `opendss`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import jax
import numpy as np
import tyro
from opendss_answers import opendss_controls
from tyro.conf import Positional

import neomflex_jax as nf


@dataclass(frozen=True)
class Options:
    """Compare where controls come to rest with OpenDSS."""

    circuits: Positional[tuple[Path, ...]]
    """Their master files."""
    levels: int = 50
    """Levels of load of each circuit."""


def compare(path: Path, n_levels: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return steps off by level and winding or capacitor, whether a level settled in both, and control iterations."""
    with jax.enable_x64(True):
        feeder = nf.Feeder.from_opendss(path, strict=False)
        levels = np.linspace(0.3, 1.3, n_levels)
        scaled = [load.name.startswith("load.") for load in feeder.loads]
        factors = np.where(scaled, levels[:, None], 1.0)
        found = nf.follow_controls(feeder, feeder.load_p_mw * factors, feeder.load_q_mvar * factors)
    taps, steps, settled, iterations = opendss_controls(path, found.windings, found.capacitors, levels)
    windings = {(e.name, number): w for e in feeder.elements for number, w in enumerate(e.windings, 1)}
    size = np.array([windings[key].step for key in found.windings])
    off = np.concatenate(
        [np.abs(np.asarray(found.tap_ratio) - taps) / size, np.asarray(found.capacitor_steps) - steps], 1
    )
    same = np.asarray(found.settled) == settled
    return np.abs(np.round(off)).astype(int), same, np.asarray(found.control_iterations) - iterations


def main(options: Options) -> None:
    """Print what share of the levels has OpenDSS's taps and steps."""
    for path in options.circuits:
        off, same, iterations = compare(path, options.levels)
        equal = (off == 0).all(axis=1)
        counts = f"{off.shape[1]} windings and capacitors, {len(off)} levels"
        print(
            f"{path.name:22} {counts}: all equal in {equal.mean():.0%}, never more than {off.max()} steps off, settled "
            f"alike in {same.mean():.0%}, as many control iterations in {(iterations == 0).mean():.0%}",
            flush=True,
        )


if __name__ == "__main__":
    main(tyro.cli(Options))
