"""The steps of a day in OpenDSS, one after the other, each from its voltages without load.

So no step sees another's values, and a day's answers are the same whoever solves it. A step that does not settle is
tried again by `RETRY_LADDER`, then it is recorded as failed with NaN results. Controls are off: taps and steps are the
record's.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from neomflex_jax.grid.unbalanced.feeder import UnbalancedFeeder
from validation.recompute.phase_set_points import PhaseSetPoints
from validation.referee.opendss.admittances import Admittances, Block, put_together, read_blocks
from validation.referee.opendss.circuit import MAX_ITERATIONS, TOLERANCE, OpenCircuit, open_circuit
from validation.referee.runpp import NON_FINITE, NOT_CONVERGED, OK, Solved

RETRY_LADDER = (f"maxiterations={10 * MAX_ITERATIONS}", "algorithm=newton")  # one after the other
BACK = ("algorithm=normal", f"maxiterations={MAX_ITERATIONS}")
OPTIONS = {"tolerance": TOLERANCE, "maxiterations": MAX_ITERATIONS, "controlmode": "off", "ladder": RETRY_LADDER}


@dataclass(frozen=True, eq=False)
class OpenDssDaySolver:
    """A feeder's circuit, and what is known of its elements by taps."""

    circuit: OpenCircuit
    blocks: dict[str, Block]  # of the feeder's elements, by name, as the taps stand
    known: dict[bytes, Admittances] = field(default_factory=dict)  # of the last taps

    def solve(self, points: PhaseSetPoints) -> Solved:
        """Solve steps."""
        feeder, n = self.circuit.feeder, len(points)
        volts = np.full((n, feeder.n_node), np.nan, complex)
        slack, attempts = np.full((n, 2), np.nan), np.zeros(n, int)
        status = np.full(n, OK, "<U16")
        loss_mw, branch_i_ka = np.full(n, np.nan), np.full((n, len(feeder.branch_labels)), np.nan)
        for row in range(n):
            one = slice(row, row + 1)
            status[row], attempts[row] = self._solve_step(points, row)
            if status[row] == OK:
                volts[row], slack[row] = self._answer()
                if not np.isfinite(volts[row]).all():
                    status[row], volts[row], slack[row] = NON_FINITE, np.nan, np.nan
            if status[row] != OK:
                continue
            admittances = self._admittances(points, row)
            loss_mw[one], branch_i_ka[one] = admittances.loss_mw(volts[one]), admittances.branch_i_ka(volts[one])
        return {
            "vm_pu": np.abs(volts) / (1000 * feeder.v_base_kv),
            "va_degree": np.rad2deg(np.angle(volts)),
            "loss_mw": loss_mw,
            "slack_p_mw": slack[:, 0],
            "slack_q_mvar": slack[:, 1],
            "branch_i_ka": branch_i_ka,
            "status": status,
            "attempts": attempts,
        }

    def _solve_step(self, points: PhaseSetPoints, row: int) -> tuple[str, int]:
        """Set a step and solve it; return its status and the number of attempts."""
        from opendssdirect import DSSException

        self.circuit.set_loads(points.load_p_mw[row], points.load_q_mvar[row])
        self.circuit.set_devices(points.device_p_mw[row], points.device_q_mvar[row])
        if points.taps is not None:
            self.circuit.set_taps(points.tapped, points.taps[row])
        if points.steps is not None:
            self.circuit.set_steps(points.switched, points.steps[row])
        text, solution, status = self.circuit.engine.Text, self.circuit.engine.Solution, NOT_CONVERGED
        try:
            for attempt, option in enumerate(("", *RETRY_LADDER), 1):
                if option:
                    text.Command(f"set {option}")
                text.Command("init")
                try:
                    solution.Solve()
                except DSSException:
                    continue
                if solution.Converged():
                    return OK, attempt
        finally:
            if attempt > 1:
                for option in BACK:
                    text.Command(f"set {option}")
        return status, attempt

    def _answer(self) -> tuple[np.ndarray, np.ndarray]:
        """Voltages in volts, (n_node,) complex, and what the sources deliver in MW and Mvar."""
        circuit = self.circuit.engine.Circuit
        volts = np.asarray(circuit.YNodeVArray(), float).view(complex)
        return volts, -np.asarray(circuit.TotalPower(), float)[:2] / 1000

    def _admittances(self, points: PhaseSetPoints, row: int) -> Admittances:
        """Admittances at a step's taps, right after it was solved."""
        key = b"|".join(b"" if values is None else values[row].tobytes() for values in (points.taps, points.steps))
        if key not in self.known:
            moved = {name for name, _ in points.tapped} | set(points.switched)
            self.blocks.update(read_blocks(self.circuit.engine, moved))
            self.known.clear()
            self.known[key] = put_together(self.blocks.values(), self.circuit.feeder.n_node)
        return self.known[key]


def opendss_day_solver(feeder: UnbalancedFeeder, device_nodes: tuple[int, ...]) -> OpenDssDaySolver:
    """Open a feeder's circuit.

    Raises
    ------
    InputError
        If OpenDSS cannot, or reads another feeder; see `open_circuit`.
    """
    circuit = open_circuit(feeder, device_nodes)
    circuit.engine.Solution.Solve()
    return OpenDssDaySolver(circuit, read_blocks(circuit.engine, [element.name for element in feeder.elements]))
