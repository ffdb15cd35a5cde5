"""OpenDSS as the referee of feeders with phases: its answers step by step, and what it says where it has none."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from phases import ask_opendss, play, random_steps

import neomflex_jax as nf
from neomflex_jax.grid.unbalanced.write_folder import write_unbalanced_feeder
from validation.recompute.phase_set_points import PhaseSetPoints
from validation.referee.opendss.circuit import check_circuit, open_circuit
from validation.referee.opendss.day_solver import opendss_day_solver
from validation.referee.runpp import NOT_CONVERGED, OK

pytest.importorskip("opendssdirect", reason="OpenDSS is not installed (extra opendss)")
CIRCUITS = Path(__file__).parents[1] / "unbalanced" / "circuits"
# float64 on both sides; closed switches and delta windings make Y ill-conditioned, which the angles show most
LARGEST = {"vm_pu": 2e-8, "va_degree": 2e-6, "loss_mw": 2e-7, "slack_p_mw": 2e-7, "slack_q_mvar": 2e-7}


@pytest.fixture(scope="module")
def ieee13() -> nf.UnbalancedFeeder:
    feeder = nf.load_feeder("ieee13")
    assert isinstance(feeder, nf.UnbalancedFeeder)
    return feeder


def check(feeder: nf.UnbalancedFeeder, points: PhaseSetPoints) -> None:
    """Hold OpenDSS's answers and ours against each other."""
    ours, theirs = play(feeder, points), ask_opendss(feeder, points)
    assert (theirs["status"] == OK).all() and (theirs["attempts"] == 1).all()
    for name, largest in LARGEST.items():
        off = np.abs(np.asarray(getattr(ours, name)) - theirs[name]).max()
        assert off < largest, (name, off)
    largest_ka = float(np.max(theirs["branch_i_ka"]))
    np.testing.assert_allclose(theirs["branch_i_ka"], ours.branch_i_ka, rtol=0, atol=1e-6 * largest_ka)


def test_every_step_is_opendss_step(ieee13: nf.UnbalancedFeeder) -> None:
    at = [ieee13.node_labels.index(label) for label in ("671.1", "634.2", "611.3")]
    check(ieee13, random_steps(ieee13, 5, at))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ieee34", "ieee123", "european_lv"])
def test_every_step_is_opendss_step_elsewhere(name: str) -> None:
    feeder = nf.load_feeder(name)
    assert isinstance(feeder, nf.UnbalancedFeeder)
    check(feeder, random_steps(feeder, 10, [9, feeder.n_node // 4, feeder.n_node // 2]))


def test_what_the_file_feeds_in_is_set_too() -> None:
    """Generators of both models, PV systems and storages, charging and idle."""
    feeder = nf.Feeder.from_opendss(CIRCUITS / "generation.dss")
    check(feeder, random_steps(feeder, 5, [8]))


def test_every_load_model_is_opendss_own() -> None:
    feeder = nf.Feeder.from_opendss(CIRCUITS / "load_models.dss")
    check(feeder, random_steps(feeder, 5))


def test_taps_may_differ_from_step_to_step(ieee13: nf.UnbalancedFeeder) -> None:
    tapped = (("transformer.reg1", 2), ("transformer.reg3", 2))
    points = random_steps(ieee13, 3)
    taps = np.array([[1.0, 1.1], [0.95625, 1.0], [1.0, 1.1]])
    found = ask_opendss(ieee13, replace(points, taps=taps, tapped=tapped))
    for row, own in enumerate(taps.tolist()):
        expected = play(ieee13.with_taps(dict(zip(tapped, own, strict=True))), points.rows(slice(row, row + 1)))
        np.testing.assert_allclose(found["vm_pu"][[row]], expected.vm_pu, rtol=0, atol=2e-8)
        np.testing.assert_allclose(found["branch_i_ka"][[row]], expected.branch_i_ka, rtol=0, atol=1e-6)
        np.testing.assert_allclose(found["loss_mw"][[row]], expected.loss_mw, rtol=0, atol=1e-7)


def test_a_step_knows_nothing_of_others(ieee13: nf.UnbalancedFeeder) -> None:
    """A step beyond what the feeder can carry fails, and those around it have the very same answers as alone."""
    points = random_steps(ieee13, 3)
    heavy = replace(points, load_p_mw=points.load_p_mw * np.array([[1], [100], [1]]))
    solver = opendss_day_solver(ieee13, ())
    together = solver.solve(heavy)
    assert together["status"].tolist() == [OK, NOT_CONVERGED, OK] and together["attempts"].tolist() == [1, 3, 1]
    assert np.isnan(together["vm_pu"][1]).all() and np.isnan(together["branch_i_ka"][1]).all()
    alone = solver.solve(points.rows(slice(2, 3)))
    for name, values in alone.items():
        np.testing.assert_array_equal(values[0], together[name][2])


def test_the_working_directory_stays(ieee13: nf.UnbalancedFeeder) -> None:
    before = Path.cwd()
    open_circuit(ieee13)
    assert Path.cwd() == before


def test_a_feeder_without_a_circuit_says_the_way_out(ieee13: nf.UnbalancedFeeder) -> None:
    with pytest.raises(nf.InputError, match="names no file that OpenDSS or pandapower could read"):
        check_circuit(replace(ieee13, circuit=None))


def test_a_circuit_that_is_gone_or_says_something_else_is_named(tmp_path: Path) -> None:
    path = tmp_path / "own.dss"
    text = (CIRCUITS / "transformers.dss").read_text(encoding="utf-8")
    path.write_text(text, encoding="utf-8")
    feeder = nf.load_feeder(write_unbalanced_feeder(nf.Feeder.from_opendss(path), tmp_path / "own"))
    assert isinstance(feeder, nf.UnbalancedFeeder)
    check_circuit(feeder)
    path.write_text("! a comment says nothing\n" + text, encoding="utf-8")
    check_circuit(feeder)
    path.write_text(text + "\nset loadmult=1.1\n", encoding="utf-8")
    with pytest.raises(nf.InputError, match=r"own\.dss says something else"):
        check_circuit(feeder)
    path.unlink()
    with pytest.raises(nf.InputError, match=r"own\.dss: the circuit .* is gone"):
        check_circuit(feeder)


def test_without_opendss_the_extra_is_named(ieee13: nf.UnbalancedFeeder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opendssdirect", None)
    with pytest.raises(nf.InputError, match=r"neomflex-jax\[opendss\]"):
        check_circuit(ieee13)


def test_another_feeder_than_the_one_played_is_named(ieee13: nf.UnbalancedFeeder) -> None:
    other = nf.load_feeder("ieee34")
    assert isinstance(other, nf.UnbalancedFeeder)
    with pytest.raises(nf.InputError, match="node"):
        open_circuit(replace(ieee13, circuit=other.circuit))
    with pytest.raises(nf.InputError, match=r"load\.671 consumes 1\.155 MW, and in the feeder 1\.2"):
        changed = tuple(replace(load, p_mw=1.2) if load.name == "load.671" else load for load in ieee13.loads)
        open_circuit(replace(ieee13, loads=changed))
    with pytest.raises(nf.InputError, match=r"has load\.670c, which"):
        open_circuit(replace(ieee13, loads=tuple(load for load in ieee13.loads if load.name != "load.670c")))
    with pytest.raises(nf.InputError, match=r"has no line\.new"):
        extra = replace(ieee13.elements[-1], name="line.new")
        open_circuit(replace(ieee13, elements=(*ieee13.elements, extra)))


def test_a_bus_whose_name_would_tell_opendss_more_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "hostile.dss"
    lines = ["clear", "new circuit.c basekv=4.16", 'new line.a bus1=sourcebus bus2="b usermodel=x.1.2.3"']
    lines += ['new pvsystem.p bus1="b usermodel=x.1" phases=1 kv=2.4 kva=10 pmpp=5']
    path.write_text("\n".join([*lines, "set voltagebases=[4.16]", "calcvoltagebases"]), encoding="utf-8")
    with pytest.raises(nf.InputError, match="one word"):
        open_circuit(nf.Feeder.from_opendss(path))
