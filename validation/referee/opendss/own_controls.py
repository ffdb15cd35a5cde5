"""Where OpenDSS's own controls move taps and capacitors in every step of a record: solved in its static control mode.

Loads, devices and what devices took over are set as recorded; controls of what they took over are disabled. Each step
begins at the taps and steps that the record has before it, or, for whole days by themselves, where OpenDSS left them.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from neomflex_jax.grid.unbalanced.feeder import UnbalancedFeeder
from validation.recompute.own_controls import OwnControls
from validation.recompute.phase_set_points import PhaseSetPoints
from validation.referee.opendss.circuit import OpenCircuit, open_circuit

MOST_ITERATIONS = 10  # of control, as the environment's, and OpenDSS's default


class Moved(NamedTuple):
    """Where controls came to rest, NaN in steps that did not."""

    tap_ratio: np.ndarray  # (n_steps, n_regulator)
    steps: np.ndarray  # (n_steps, n_capacitor) that are in


def moved_by_opendss(
    feeder: UnbalancedFeeder,
    controls: OwnControls,
    points: PhaseSetPoints,
    hour: np.ndarray,
    before: Moved | None = None,
) -> Moved:
    """Have OpenDSS follow its own controls through some steps.

    Parameters
    ----------
    feeder
        The scenario's.
    controls
        Those that are followed, of at least one.
    points
        Set-points of the steps; what the controls move is not read.
    hour
        (n_steps,) time of the day.
    before
        Where the controls stand before each step; None: as the feeder has them before the first one, then where they
        came to.

    Returns
    -------
    Moved
        Where they stand after each step.
    """
    circuit = open_circuit(feeder, points.device_nodes)
    _keep(circuit, controls.names)
    n = len(points)
    found = Moved(np.full((n, len(controls.windings)), np.nan), np.full((n, len(controls.banks)), np.nan))
    taps = np.array([feeder.taps[each] for each in controls.windings])
    steps = np.array([feeder.steps[each] for each in controls.banks], float)
    for row in range(n):
        if before is not None:
            taps, steps = before.tap_ratio[row], before.steps[row]
        _set(circuit, controls, points, row, taps, steps)
        whole, part = divmod(3600 * float(hour[row]), 3600)
        circuit.engine.Text.Command(f"set time=({int(whole)}, {part})")
        if not _solved(circuit):
            continue
        taps, steps = _standing(circuit, controls)
        found.tap_ratio[row], found.steps[row] = taps, steps
    return found


def _keep(circuit: OpenCircuit, names: tuple[str, ...]) -> None:
    """Leave these controls enabled, and no other."""
    text = circuit.engine.Text
    for name in map(str.lower, circuit.engine.Circuit.AllElementNames()):
        if name.partition(".")[0] in ("regcontrol", "capcontrol") and name not in names:
            text.Command(f"disable {name}")
    text.Command(f"set maxcontroliter={MOST_ITERATIONS}")


def _set(
    circuit: OpenCircuit, controls: OwnControls, points: PhaseSetPoints, row: int, taps: np.ndarray, steps: np.ndarray
) -> None:
    circuit.set_loads(points.load_p_mw[row], points.load_q_mvar[row])
    circuit.set_devices(points.device_p_mw[row], points.device_q_mvar[row])
    if points.taps is not None:
        circuit.set_taps(points.tapped, points.taps[row])
    if points.steps is not None:
        circuit.set_steps(points.switched, points.steps[row])
    circuit.set_taps(controls.windings, np.round(taps, 8))  # single precision's, by far less than a step
    circuit.set_steps(controls.banks, steps)


def _solved(circuit: OpenCircuit) -> bool:
    from opendssdirect import DSSException

    circuit.engine.Text.Command("set controlmode=static")
    try:
        circuit.engine.Solution.Solve()
    except DSSException:  # controls that move for ever are an error of OpenDSS's
        return False
    return bool(circuit.engine.Solution.Converged())


def _standing(circuit: OpenCircuit, controls: OwnControls) -> tuple[np.ndarray, np.ndarray]:
    transformers, capacitors = circuit.engine.Transformers, circuit.engine.Capacitors
    taps, steps = [], []
    for name, winding in controls.windings:
        transformers.Name(name.partition(".")[2])
        transformers.Wdg(winding)
        taps.append(float(transformers.Tap()))
    for name in controls.banks:
        capacitors.Name(name.partition(".")[2])
        steps.append(float(sum(capacitors.States())))
    return np.array(taps), np.array(steps)
