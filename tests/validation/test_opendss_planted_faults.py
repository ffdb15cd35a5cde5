"""Faults planted in the feeder that is played: each must be found by OpenDSS's voltages, and without one none is."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from phases import ask_opendss, play, random_steps

import neomflex_jax as nf
from neomflex_jax.grid.unbalanced import GROUND, Element, Load
from validation.errors.summary import summarise
from validation.recompute.phase_set_points import PhaseSetPoints
from validation.verdict.tolerances import Tolerances

pytest.importorskip("opendssdirect", reason="OpenDSS is not installed (extra opendss)")
HIGHEST = 1.6  # of the loads' powers, so that some see less than their vminpu
Answers = tuple[np.ndarray, np.ndarray]


@pytest.fixture(scope="module")
def feeder() -> nf.UnbalancedFeeder:
    feeder = nf.load_feeder("ieee13")
    assert isinstance(feeder, nf.UnbalancedFeeder)
    return feeder


@pytest.fixture(scope="module")
def points(feeder: nf.UnbalancedFeeder) -> PhaseSetPoints:
    return random_steps(feeder, 4, [feeder.node_labels.index("675.2")], HIGHEST)


@pytest.fixture(scope="module")
def exact_vm_pu(feeder: nf.UnbalancedFeeder, points: PhaseSetPoints) -> np.ndarray:
    return ask_opendss(feeder, points)["vm_pu"]


def off_pu(played: nf.UnbalancedFeeder, points: PhaseSetPoints, exact_vm_pu: np.ndarray) -> float:
    """Largest error of a recorded voltage, as criteria take it."""
    recorded = play(played, points)
    assert np.asarray(recorded.converged).all()
    return summarise(np.asarray(recorded.vm_pu), exact_vm_pu).max_abs


def with_element(feeder: nf.UnbalancedFeeder, name: str, change: Callable[[Element], Element]) -> nf.UnbalancedFeeder:
    assert name in {element.name for element in feeder.elements}
    return replace(feeder, elements=tuple(change(e) if e.name == name else e for e in feeder.elements))


def with_load(feeder: nf.UnbalancedFeeder, name: str, change: Callable[[Load], Load]) -> nf.UnbalancedFeeder:
    assert name in {load.name for load in feeder.loads}
    return replace(feeder, loads=tuple(change(load) if load.name == name else load for load in feeder.loads))


def test_without_a_fault_there_is_no_error(
    feeder: nf.UnbalancedFeeder, points: PhaseSetPoints, exact_vm_pu: np.ndarray
) -> None:
    assert off_pu(feeder, points, exact_vm_pu) < 1e-7


def is_found(played: nf.UnbalancedFeeder, points: PhaseSetPoints, exact_vm_pu: np.ndarray) -> bool:
    return off_pu(played, points, exact_vm_pu) > 10 * Tolerances().vm_max_pu


def test_two_phases_swapped(feeder: nf.UnbalancedFeeder, points: PhaseSetPoints, exact_vm_pu: np.ndarray) -> None:
    def swap(element: Element) -> Element:
        first, second, *rest = element.nodes
        return replace(element, nodes=(second, first, *rest))

    assert is_found(with_element(feeder, "line.692675", swap), points, exact_vm_pu)


def test_a_delta_load_as_wye(feeder: nf.UnbalancedFeeder, points: PhaseSetPoints, exact_vm_pu: np.ndarray) -> None:
    def as_wye(load: Load) -> Load:
        assert load.connection == "delta"
        return replace(load, connection="wye", nodes=(*load.nodes, GROUND), v_nominal_kv=load.v_nominal_kv / 3**0.5)

    assert is_found(with_load(feeder, "load.671", as_wye), points, exact_vm_pu)


def test_a_regulator_one_tap_off(feeder: nf.UnbalancedFeeder, points: PhaseSetPoints, exact_vm_pu: np.ndarray) -> None:
    regulator = next(element for element in feeder.elements if element.name == "transformer.reg1")
    winding = regulator.windings[1]
    off = feeder.with_taps({("transformer.reg1", 2): winding.tap - winding.step})
    assert is_found(off, points, exact_vm_pu)


def test_a_lines_mutual_impedance_dropped(
    feeder: nf.UnbalancedFeeder, points: PhaseSetPoints, exact_vm_pu: np.ndarray
) -> None:
    def without(element: Element) -> Element:
        half = len(element.nodes) // 2
        series = -element.y_siemens[:half, half:]
        own = np.linalg.inv(np.diag(np.diag(np.linalg.inv(series))))
        change = np.block([[own - series, series - own], [series - own, own - series]])
        return replace(element, y_siemens=element.y_siemens + change)

    assert is_found(with_element(feeder, "line.650632", without), points, exact_vm_pu)


def test_a_capacitor_left_in(feeder: nf.UnbalancedFeeder, points: PhaseSetPoints, tmp_path: Path) -> None:
    assert feeder.circuit is not None
    for path in feeder.circuit.path.parent.iterdir():
        text = path.read_text(encoding="utf-8")
        more = "\ndisable capacitor.cap2\n" if path.suffix == ".dss" else ""
        (tmp_path / path.name).write_text(text + more, encoding="utf-8")
    clean = nf.Feeder.from_opendss(tmp_path / feeder.circuit.path.name)
    exact_vm_pu = ask_opendss(clean, points)["vm_pu"]
    assert off_pu(clean, points, exact_vm_pu) < 1e-7
    (left,) = {element.name for element in feeder.elements} - {element.name for element in clean.elements}
    capacitor = next(element for element in feeder.elements if element.name == left)
    assert left == "capacitor.cap2"
    assert is_found(replace(clean, elements=(*clean.elements, capacitor)), points, exact_vm_pu)


def test_a_load_on_the_wrong_phase(
    feeder: nf.UnbalancedFeeder, points: PhaseSetPoints, exact_vm_pu: np.ndarray
) -> None:
    wrong = feeder.node_labels.index("675.2")
    moved = with_load(feeder, "load.675a", lambda load: replace(load, nodes=(wrong, *load.nodes[1:])))
    assert is_found(moved, points, exact_vm_pu)


def test_one_third_of_a_load_lost(feeder: nf.UnbalancedFeeder, points: PhaseSetPoints, exact_vm_pu: np.ndarray) -> None:
    place = [load.name for load in feeder.loads].index("load.671")
    lost = with_load(feeder, "load.671", lambda load: replace(load, n_phases=2))  # of its three branches
    kept = np.where(np.arange(feeder.n_load) == place, 2 / 3, 1.0)
    recorded = replace(points, load_p_mw=points.load_p_mw * kept, load_q_mvar=points.load_q_mvar * kept)
    assert is_found(lost, recorded, exact_vm_pu)


def test_vminpu_ignored(feeder: nf.UnbalancedFeeder, points: PhaseSetPoints, exact_vm_pu: np.ndarray) -> None:
    ignored = tuple(replace(load, model=replace(load.model, v_min_pu=1e-9, v_low_pu=1e-9)) for load in feeder.loads)
    assert is_found(replace(feeder, loads=ignored), points, exact_vm_pu)
