"""Steps on feeders with phases, played by us and answered by OpenDSS."""

from collections.abc import Sequence
from dataclasses import replace

import jax
import numpy as np

import neomflex_jax as nf
from neomflex_jax.grid.unbalanced import GROUND, Load
from validation.recompute.phase_set_points import PhaseSetPoints
from validation.referee.opendss.day_solver import opendss_day_solver
from validation.referee.runpp import Solved


def random_steps(
    feeder: nf.UnbalancedFeeder, n_steps: int, device_nodes: Sequence[int] = (), highest: float = 1.3
) -> PhaseSetPoints:
    """Every load by itself at 0.3 to `highest` of its power, and devices that feed in and draw."""
    rng = np.random.default_rng(0)
    factors = rng.uniform(0.3, highest, (n_steps, feeder.n_load))
    share = np.abs(feeder.load_p_mw).sum() / 20
    p_mw, q_mvar = (rng.uniform(-share, share, (n_steps, len(device_nodes))) for _ in range(2))
    loads = (feeder.load_p_mw * factors, feeder.load_q_mvar * factors)
    return PhaseSetPoints(*loads, p_mw, q_mvar, tuple(device_nodes))


def play(feeder: nf.UnbalancedFeeder, points: PhaseSetPoints) -> nf.PowerFlowResult:
    """Our own answer, in double precision: a device is a constant power between its node and ground."""
    devices = [Load(f"d{node}", (node, GROUND), 1, "wye", 1.0, 0.0, 0.0) for node in points.device_nodes]
    feeder = replace(feeder, loads=(*feeder.loads, *devices))
    p_mw = np.concatenate([points.load_p_mw, -points.device_p_mw], axis=1)
    q_mvar = np.concatenate([points.load_q_mvar, -points.device_q_mvar], axis=1)
    with jax.enable_x64(True):
        return nf.bind(feeder).solve(p_mw, q_mvar)


def ask_opendss(feeder: nf.UnbalancedFeeder, points: PhaseSetPoints) -> Solved:
    """OpenDSS's answer."""
    return opendss_day_solver(feeder, points.device_nodes).solve(points)
