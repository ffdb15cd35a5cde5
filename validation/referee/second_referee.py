"""A second referee: power-grid-model solves the same steps in one batch, and must agree with pandapower.

Built from the feeder itself, not from pandapower's net, so that a mistake in making that net shows too. Every branch is
a `generic_branch`, the two-port of `grid.feeder`: ``r1, x1, g1, b1`` at the `to` end, half of the admittance at each
side, ``k`` the ratio and ``theta`` the angle. The slack is a source behind a short-circuit power of `STIFF_VA`. What a
bus consumes is one load of constant power, its net injection reversed. Source: power-grid-model's documentation, user
manual, components. Needs the extra `referee`.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np

from neomflex_jax.evaluation.trajectory import Trajectory
from neomflex_jax.grid import Feeder, UnbalancedFeeder
from neomflex_jax.one_line import one_line
from validation.recompute.record import Record, record_of
from validation.recompute.set_points import SetPoints
from validation.recompute.twins import sets_of
from validation.referee.grid_settings import feeder_as_set
from validation.referee.replay import Replay

PROGRAM = "power-grid-model"
AGREEMENT_PU = 1e-6
STIFF_VA = 1e20  # moves the slack's voltage by less than 1e-12 pu
MOST_ITERATIONS, STOP_PU = 30, 1e-10


@dataclass(frozen=True)
class SecondReferee:
    """How far power-grid-model is from pandapower on the same steps."""

    version: str | None  # None: not installed
    vm_max_pu: float  # largest difference of a voltage; NaN if nothing could be compared
    slack_p_max_mw: float
    slack_q_max_mvar: float
    bus: int | None  # label, where voltages differ most
    row: int | None  # of the record
    n_compared: int  # steps that both solve
    n_disputed: int  # steps that only one of them solves
    agrees: bool | None  # None: no second opinion
    sentence: str

    __repr__ = one_line

    def as_dict(self) -> dict[str, object]:
        """Plain values."""
        return dataclasses.asdict(self)


def second_referee(trajectory: Trajectory, replayed: Replay, *, within_pu: float = AGREEMENT_PU) -> SecondReferee:
    """Solve a replay's steps again in power-grid-model.

    Parameters
    ----------
    trajectory, replayed
        The record and pandapower's answers to it.
    within_pu
        Largest difference of a voltage at which the two agree.

    Returns
    -------
    SecondReferee
        With `agrees` None and a sentence why, if power-grid-model is not installed or cannot take the feeder.
    """
    return ask_again(record_of(trajectory), replayed, within_pu)


def ask_again(record: Record, replayed: Replay, within_pu: float = AGREEMENT_PU) -> SecondReferee:
    """Solve the steps of a replayed record again, as `second_referee` does."""
    if isinstance(record.feeder, UnbalancedFeeder):
        return _silent(None, f"{PROGRAM} is not asked: feeder {record.feeder.name!r} has phases, and OpenDSS judges it")
    try:
        number = version(PROGRAM)
    except PackageNotFoundError:
        return _silent(None, f"{PROGRAM} is not installed; pip install 'neomflex-jax[referee]' for a second opinion")
    from power_grid_model.errors import PowerGridError

    feeder = record.feeder
    assert isinstance(feeder, Feeder)
    if feeder.held is not None:
        return _silent(
            number,
            f"{PROGRAM} {number} is not asked: feeder {feeder.name!r} has generators or several external grids, which "
            "the model built for it here leaves out",
        )
    if feeder.has_two_impedances:
        return _silent(
            number,
            f"{PROGRAM} {number} is not asked: feeder {feeder.name!r} has branches of another impedance from their to "
            "end, which its model has no place for",
        )
    if feeder.voltage_dependence is not None:
        return _silent(
            number,
            f"{PROGRAM} {number} is not asked: feeder {feeder.name!r} has loads that follow the voltage, which the "
            "model built for it here takes as constant power",
        )
    try:
        answers = _solve_as_set(record)
    except PowerGridError as error:
        return _silent(number, f"{PROGRAM} {number} cannot take feeder {feeder.name!r}: {error}")
    return _compared(number, feeder, answers, replayed, within_pu)


def _silent(number: str | None, sentence: str) -> SecondReferee:
    return SecondReferee(number, math.nan, math.nan, math.nan, None, None, 0, 0, None, sentence)


def _compared(
    number: str, feeder: Feeder, answers: dict[str, np.ndarray], replayed: Replay, within_pu: float
) -> SecondReferee:
    solved = np.isfinite(answers["vm_pu"]).all(axis=1)
    both, disputed = solved & ~replayed.failed, int((solved == replayed.failed).sum())
    if not both.any():
        found = _silent(number, f"{PROGRAM} {number} and pandapower solve no step in common")
        return dataclasses.replace(found, n_disputed=disputed, agrees=False if disputed else None)
    off = {name: np.abs(values - getattr(replayed, name))[both] for name, values in answers.items()}
    row, bus = np.unravel_index(int(off["vm_pu"].argmax()), off["vm_pu"].shape)
    largest = float(off["vm_pu"].max())
    agrees = largest <= within_pu and not disputed
    verb = "agrees" if agrees else "does not agree"
    sentence = (
        f"{PROGRAM} {number} {verb} with pandapower within {within_pu:g} pu: voltages differ by up to {largest:.1e}"
    )
    if disputed:
        sentence += f", and {disputed} of {len(solved)} steps are solved by only one of them"
    return SecondReferee(
        version=number,
        vm_max_pu=largest,
        slack_p_max_mw=float(off["slack_p_mw"].max()),
        slack_q_max_mvar=float(off["slack_q_mvar"].max()),
        bus=feeder.bus_labels[int(bus)],
        row=int(np.flatnonzero(both)[row]),
        n_compared=int(both.sum()),
        n_disputed=disputed,
        agrees=agrees,
        sentence=sentence,
    )


def _solve_as_set(record: Record) -> dict[str, np.ndarray]:
    """Solve a record's steps, those of equal positions together: a model has one set of ratios and shunts."""
    scenario, p_mw, q_mvar = record.trajectory.scenario, record.p_injection_mw, record.q_injection_mvar
    points, feeder = record.set_points, record.feeder
    assert isinstance(points, SetPoints) and isinstance(feeder, Feeder)  # nobody else is asked
    held = {sets.position: points.devices[sets.position] for sets, _ in sets_of(scenario)}
    if not held:
        return _solve(feeder, p_mw, q_mvar)
    cuts = np.cumsum([values.shape[1] for values in held.values()])[:-1]
    different, which = np.unique(np.concatenate(list(held.values()), axis=1), axis=0, return_inverse=True)
    answers: dict[str, np.ndarray] = {}
    for number, row in enumerate(different):
        here = which.ravel() == number
        positions = dict(zip(held, np.split(row, cuts), strict=True))
        found = _solve(feeder_as_set(feeder, scenario, positions), p_mw[here], q_mvar[here])
        for name, values in found.items():
            answers.setdefault(name, np.full((len(p_mw), *values.shape[1:]), np.nan))[here] = values
    return answers


def _solve(feeder: Feeder, p_injection_mw: np.ndarray, q_injection_mvar: np.ndarray) -> dict[str, np.ndarray]:
    """Solve cases of injections (n, n_bus) in one call; NaN where there is no solution."""
    from power_grid_model import ComponentType, DatasetType, PowerGridModel, initialize_array

    parts = _input(feeder)
    model = PowerGridModel(parts)
    update = initialize_array(DatasetType.update, ComponentType.sym_load, p_injection_mw.shape)
    update["id"] = parts[ComponentType.sym_load]["id"]
    update["p_specified"], update["q_specified"] = -1e6 * p_injection_mw, -1e6 * q_injection_mvar
    found = model.calculate_power_flow(
        error_tolerance=STOP_PU,
        max_iterations=MOST_ITERATIONS,
        update_data={ComponentType.sym_load: update},
        output_component_types={ComponentType.node: ["u_pu"], ComponentType.source: ["p", "q"]},
        continue_on_batch_error=True,
    )
    answers = {
        "vm_pu": np.array(found[ComponentType.node]["u_pu"], float),
        "slack_p_mw": 1e-6 * found[ComponentType.source]["p"][:, 0],
        "slack_q_mvar": 1e-6 * found[ComponentType.source]["q"][:, 0],
    }
    if model.batch_error is not None:
        for values in answers.values():
            values[model.batch_error.failed_scenarios] = np.nan
    return answers


def _input(feeder: Feeder) -> dict[Any, Any]:
    """Describe the feeder, every bus with one load to be set."""
    from power_grid_model import ComponentType, DatasetType, LoadGenType, initialize_array

    n_bus, topology = feeder.n_bus, feeder.topology
    charging, transformers, shunts = feeder.charging, feeder.transformers, feeder.shunts
    columns: dict[Any, dict[str, Any]] = {
        ComponentType.node: {"u_rated": 1e3 * feeder.vn_kv},
        ComponentType.generic_branch: {
            "from_node": topology.from_bus,
            "to_node": topology.to_bus,
            "from_status": topology.in_service,
            "to_status": topology.in_service,
            "r1": feeder.r_ohm,
            "x1": feeder.x_ohm,
            "g1": 0.0 if charging is None else 1e-6 * charging.g_us,
            "b1": 0.0 if charging is None else 1e-6 * charging.b_us,
            "k": 1.0 if transformers is None else transformers.ratio,
            "theta": 0.0 if transformers is None else np.deg2rad(transformers.shift_degree),
        },
        ComponentType.source: {"node": topology.slack, "status": 1, "u_ref": feeder.slack_vm_pu, "sk": STIFF_VA},
        ComponentType.sym_load: {
            "node": np.arange(n_bus),
            "status": 1,
            "type": LoadGenType.const_power,
            "p_specified": 0.0,
            "q_specified": 0.0,
        },
    }
    sizes = {ComponentType.node: n_bus, ComponentType.generic_branch: topology.n_branch, ComponentType.source: 1}
    sizes[ComponentType.sym_load] = n_bus
    if shunts is not None:
        siemens_per_mw = 1.0 / np.asarray(feeder.vn_kv, float) ** 2
        own = {"g1": shunts.p_mw * siemens_per_mw, "b1": -shunts.q_mvar * siemens_per_mw}
        columns[ComponentType.shunt] = {"node": np.arange(n_bus), "status": 1, **own}
        sizes[ComponentType.shunt] = n_bus
    parts, first = {}, 0
    for component, values in columns.items():
        array = parts[component] = initialize_array(DatasetType.input, component, sizes[component])
        array["id"] = first + np.arange(sizes[component])
        first += sizes[component]
        for name, value in values.items():
            array[name] = value
    return parts
