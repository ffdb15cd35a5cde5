"""What an operator asks of a run: voltages against named bands, energy lost, moved and curtailed, peaks.

MAPDN's figures by its own definitions (Wang et al., Multi-agent reinforcement learning for active voltage control on
power distribution networks, NeurIPS 2021; `voltage_control_env.py`), a value a step and the mean over steps taken:
share of buses outside the band, slack included; controllable: 1 if that share is at most 1e-3, else 0; Q loss: mean
|q| of generation in Mvar. A step without a power-flow answer is outside everything and not controllable, and has no
losses, import or export. What devices add, their kinds say (`Device.operated`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from jaxtyping import Float

from neomflex_jax.devices import Operated
from neomflex_jax.evaluation.trajectory import Trajectory
from neomflex_jax.evaluation.trajectory_layout import columns_of_kind
from neomflex_jax.grid import AnyFeeder, UnbalancedFeeder
from neomflex_jax.scenario import Limits

CONTROLLABLE_SHARE = 1e-3
HIGH_VOLTAGE_KV = 0.6  # ANSI C84.1 asks for more above it


class Answers(Protocol):
    """Answers of a power flow to a run's steps: a `Trajectory`, or another program's replay of one."""

    @property
    def vm_pu(self) -> Float[np.ndarray, "n_steps n_node"]:
        """Voltage magnitudes, NaN where there is no answer."""

    @property
    def loss_mw(self) -> Float[np.ndarray, " n_steps"]:
        """Losses of all branches."""

    @property
    def slack_p_mw(self) -> Float[np.ndarray, " n_steps"]:
        """Import."""


@dataclass(frozen=True)
class Band:
    """Voltage limits by name, one pair for each node."""

    name: str
    low_pu: Float[np.ndarray, " n_node"]
    high_pu: Float[np.ndarray, " n_node"]


@dataclass(frozen=True)
class BandFigures:
    """How a run keeps one band."""

    band: str
    controllable_rate: float  # MAPDN's, in this band
    share_of_buses_out: float  # MAPDN's, in this band
    outside_pu_h: float  # excess times time, summed over nodes; steps without an answer have none
    worst_bus: int | None  # of the node worst by that sum; None if there is nothing outside


@dataclass(frozen=True)
class Operation:
    """Figures of a run over all its days; energies in MWh; names are those of report.json."""

    bands: tuple[BandFigures, ...]
    q_loss_mvar: float  # MAPDN's: mean |q| of generation; NaN without any
    losses_mwh: float
    pv_curtailed_mwh: float
    pv_curtailed_share: float  # of what the source offered; NaN without any
    load_curtailed_mwh: float
    equivalent_full_cycles: float  # energy out of storage's terminals / its usable capacity; NaN without any
    soc_change_mwh: float  # storage's end minus start; a run that drains it has had that energy for nothing
    peak_import_mw: float
    peak_export_mw: float


def bands_of(limits: Limits, feeder: AnyFeeder) -> tuple[Band, ...]:
    """Return the bands that every run is held against.

    They are the scenario's own two; MAPDN's; EN 50160's +-10 % of nominal (there of 10-minute means, for 95 % of each
    week in low and 99 % in medium voltage: here of each step); ANSI C84.1's service range A, 0.95..1.05 and from 0.975
    above 600 V.
    """
    one = np.ones(feeder.n_node)
    if isinstance(feeder, UnbalancedFeeder):
        vn_kv = feeder.v_base_kv * np.sqrt(3)
    else:
        vn_kv = np.asarray(feeder.vn_kv)[feeder.nodes.bus_position]
    ansi_low_pu = np.where(vn_kv > HIGH_VOLTAGE_KV, 0.975, 0.95)
    return (
        Band(f"scenario's band {limits.band_min_pu:g}..{limits.band_max_pu:g}", *_both(limits, "band", one)),
        Band(f"scenario's hard limits {limits.hard_min_pu:g}..{limits.hard_max_pu:g}", *_both(limits, "hard", one)),
        Band("MAPDN 0.95..1.05", 0.95 * one, 1.05 * one),
        Band("EN 50160 0.9..1.1, by step", 0.9 * one, 1.1 * one),
        Band(f"ANSI C84.1 range A {ansi_low_pu.min():g}..1.05", ansi_low_pu, 1.05 * one),
    )


def operation(trajectory: Trajectory, answers: Answers, feeder: AnyFeeder) -> Operation:
    """Compute a run's figures from its set-points and a power flow's answers to them.

    Parameters
    ----------
    trajectory
        The run: its scenario and what its devices did.
    answers
        The trajectory itself for what was recorded, or a replay of it.
    feeder
        The scenario's.
    """
    scenario, h = trajectory.scenario, trajectory.scenario.step_hours
    vm_pu, slack_mw = np.asarray(answers.vm_pu, float), np.asarray(answers.slack_p_mw, float)
    of_kinds = _operated(trajectory)
    offered_mw, fed_in_mw = float(of_kinds["offered_mw"].sum()), float(of_kinds["fed_in_mw"].sum())
    usable_mwh, out_mwh = float(of_kinds["usable_mwh"].sum()), of_kinds["discharged_mw"].sum() * h
    day_end_mwh = of_kinds["stored_mwh"][scenario.steps_per_day - 1 :: scenario.steps_per_day]
    day_start_mwh = of_kinds["stored_before_mwh"][:: scenario.steps_per_day]
    q_mvar, known_mw = of_kinds["generated_q_mvar"], slack_mw[np.isfinite(slack_mw)]
    return Operation(
        bands=tuple(_band_figures(band, vm_pu, feeder, h) for band in bands_of(scenario.limits, feeder)),
        q_loss_mvar=q_loss_mvar(q_mvar),
        losses_mwh=float(np.nansum(np.asarray(answers.loss_mw, float)) * h),
        pv_curtailed_mwh=float((offered_mw - fed_in_mw) * h),
        pv_curtailed_share=float(1 - fed_in_mw / offered_mw) if offered_mw > 0 else np.nan,
        load_curtailed_mwh=float(of_kinds["unserved_mw"].sum() * h),
        equivalent_full_cycles=float(out_mwh / usable_mwh) if usable_mwh > 0 else np.nan,
        soc_change_mwh=float((day_end_mwh - day_start_mwh).sum()),  # by day, because days may be a sample
        peak_import_mw=float(np.max(known_mw, initial=0.0)),
        peak_export_mw=float(np.max(-known_mw, initial=0.0)),
    )


def controllable_rate(share_out: Float[np.ndarray, " n_steps"]) -> float:
    """Return MAPDN's controllable rate, from the share of buses outside a band in every step."""
    return float((share_out <= CONTROLLABLE_SHARE).mean())


def q_loss_mvar(generated_q_mvar: Float[np.ndarray, "n_steps n_device"]) -> float:
    """Return MAPDN's Q loss, from the reactive powers of generation; NaN without any."""
    return float(np.abs(generated_q_mvar).mean()) if generated_q_mvar.size else np.nan


def _operated(trajectory: Trajectory) -> dict[str, Float[np.ndarray, "... _"]]:
    """What an operator counts, by the fields of `Operated`; the last axis is the devices that have it, of any kind."""
    parts = []
    for kind in trajectory.scenario.kinds:
        recorded = {name: np.asarray(trajectory.devices[name], float) for name in columns_of_kind(kind)}
        parts.append(kind.operated(trajectory.scenario.of(kind), recorded))
    counted = {}
    for name in Operated._fields:
        known = [values for part in parts if (values := getattr(part, name)) is not None]
        counted[name] = np.concatenate(known, axis=-1) if known else np.zeros((trajectory.n_steps, 0))
    return counted


def _band_figures(
    band: Band, vm_pu: Float[np.ndarray, "n_steps n_node"], feeder: AnyFeeder, step_hours: float
) -> BandFigures:
    out = ~((vm_pu >= band.low_pu) & (vm_pu <= band.high_pu))  # NaN is outside
    share = out.mean(axis=1)
    excess_pu = np.clip(np.nan_to_num(np.maximum(band.low_pu - vm_pu, vm_pu - band.high_pu)), 0.0, None)
    by_node = excess_pu.sum(axis=0) * step_hours
    return BandFigures(
        band=band.name,
        controllable_rate=controllable_rate(share),
        share_of_buses_out=float(share.mean()),
        outside_pu_h=float(by_node.sum()),
        worst_bus=feeder.nodes.bus[int(by_node.argmax())] if by_node.max() > 0 else None,
    )


def _both(limits: Limits, kind: str, one: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    low, high = (getattr(limits, f"{kind}_{end}_pu") * one for end in ("min", "max"))
    return low, high
