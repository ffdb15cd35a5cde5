"""Where controls bring taps and capacitors to rest, against OpenDSS's static control mode."""

import sys
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import pytest

import neomflex_jax as nf
from neomflex_jax.grid.unbalanced import folder as files
from neomflex_jax.grid.unbalanced.control import OtherControl, RegulatorControl
from neomflex_jax.grid.unbalanced.write_folder import write_unbalanced_feeder

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
CIRCUITS = Path(__file__).parent / "circuits"
# steps of 0.625 % of the regulators of IEEE 13 at levels of load, by OpenDSS (opendssdirect.py 0.9.4)
LEVELS = {0.3: (4, 4, 4), 1.0: (9, 6, 9), 1.3: (12, 8, 12)}


def test_regulators_of_a_packaged_feeder_rest_where_opendss_leaves_them() -> None:
    feeder = nf.load_feeder("ieee13")
    levels = np.array(list(LEVELS))[:, None]
    found = nf.follow_controls(feeder, feeder.load_p_mw * levels, feeder.load_q_mvar * levels)
    assert found.settled.all() and found.flow.vm_pu.shape == (len(LEVELS), feeder.n_node)
    steps = (np.asarray(found.tap_ratio) - 1) / 0.00625
    np.testing.assert_allclose(steps, list(LEVELS.values()), atol=1e-3)
    anew = feeder.with_taps(dict(zip(found.windings, found.tap_ratio[2].tolist(), strict=True)))
    expected = nf.bind(anew).solve(feeder.load_p_mw * 1.3, feeder.load_q_mvar * 1.3)
    np.testing.assert_allclose(found.flow.vm_pu[2], expected.vm_pu, atol=2e-6)


@pytest.mark.slow
def test_every_way_to_measure_and_act_is_that_of_opendss() -> None:
    pytest.importorskip("opendssdirect", reason="OpenDSS is not installed (extra opendss)")
    from opendss_answers import opendss_controls

    path, levels = CIRCUITS / "controls.dss", np.linspace(0.1, 1.4, 14)
    with jax.enable_x64(True):
        feeder = nf.Feeder.from_opendss(path)
        scaled = [load.name.startswith("load.") for load in feeder.loads]
        factors = np.where(scaled, levels[:, None], 1.0)
        found = nf.follow_controls(
            feeder, feeder.load_p_mw * factors, feeder.load_q_mvar * factors, max_control_iterations=40
        )
    taps, steps, settled, iterations = opendss_controls(path, found.windings, found.capacitors, levels)
    np.testing.assert_array_equal(found.settled, settled)
    assert (
        settled.sum() >= 10
    )  # where controls chase each other for ever, what is left depends on when they are stopped
    np.testing.assert_allclose(np.asarray(found.tap_ratio)[settled], taps[settled], atol=1e-9)
    np.testing.assert_array_equal(np.asarray(found.capacitor_steps)[settled], steps[settled])
    np.testing.assert_array_equal(np.asarray(found.control_iterations)[settled], iterations[settled])
    assert len({tuple(row) for row in steps.tolist()}) > 2  # capacitors did switch


def test_controls_and_banks_come_back_from_a_folder(tmp_path: Path) -> None:
    pytest.importorskip("opendssdirect", reason="OpenDSS is not installed (extra opendss)")
    feeder = nf.Feeder.from_opendss(CIRCUITS / "controls.dss")
    again = nf.load_feeder(write_unbalanced_feeder(feeder, tmp_path / "own"))
    assert again.controls == feeder.controls and len(feeder.controls) == 11
    assert (
        again.steps
        == feeder.steps
        == {"capacitor.volt": 1, "capacitor.amp": 1, "capacitor.var": 0, "capacitor.clock": 1}
    )
    for name in ("capacitor.volt", "capacitor.var"):
        own, other = ({each.name: each for each in one.elements}[name] for one in (feeder, again))
        assert other.step_shares == pytest.approx(own.step_shares)
        np.testing.assert_allclose(other.whole_siemens, own.whole_siemens, rtol=1e-12)
    bare = write_unbalanced_feeder(replace(feeder.with_steps({"capacitor.var": 1}), controls=()), tmp_path / "own")
    assert nf.load_feeder(bare).controls == () and not (bare / files.REGULATOR_CONTROLS).exists()


@pytest.mark.parametrize(
    ("text", "by", "said"),
    [
        (",122,2,20,700,", ",nan,2,20,700,", "line 2, column 'v_set': 'nan' must be a finite number"),
        (",122,2,20,700,", ",122,-2,20,700,", "line 2, column 'band': '-2' must be above 0"),
        (",0,1,,20,", ",0,first,,20,", "column 'phase': 'first' must be the number of a phase"),
        (",0,1,,20,", ",0,1,671.1,20,", "column 'remote': '671.1' must be nodes of the feeder, two or none"),
        ("regcontrol.reg2", "regcontrol.reg1", "control 'regcontrol.reg1' is there twice"),
    ],
)
def test_what_is_wrong_in_a_table_of_controls_is_named(tmp_path: Path, text: str, by: str, said: str) -> None:
    folder = write_unbalanced_feeder(nf.load_feeder("ieee13"), tmp_path / "own")
    path = folder / files.REGULATOR_CONTROLS
    whole = path.read_text(encoding="utf-8")
    assert text in whole
    path.write_text(whole.replace(text, by, 1), encoding="utf-8")
    with pytest.raises(nf.InputError) as refused:
        nf.load_feeder(folder)
    assert said in str(refused.value)


def test_what_is_not_followed_is_named() -> None:
    feeder = nf.load_feeder("ieee13")
    other = replace(feeder, controls=(*feeder.controls, OtherControl("invcontrol.roof", "its class is not modelled")))
    with pytest.raises(
        nf.InputError, match=r"invcontrol\.roof is not followed: .*without_controls\('invcontrol\.roof'\)"
    ):
        nf.nominal_power_flow(other, controls=True)
    assert other.without_controls("invcontrol.roof").controls == feeder.controls
    with pytest.raises(nf.InputError, match=r"unknown control 'regcontrol\.reg7'"):
        feeder.without_controls("regcontrol.reg7")
    with pytest.raises(nf.InputError, match="has no controls to follow"):
        nf.follow_controls(feeder.without_controls(*(control.name for control in feeder.controls)))
    lost = replace(feeder, controls=(RegulatorControl("regcontrol.a", "transformer.b", 2, 2, 120.0, 2.0, 20.0),))
    with pytest.raises(nf.InputError, match=r"regcontrol\.a: transformer\.b has no such winding"):
        nf.follow_controls(lost)
    with pytest.raises(nf.InputError, match="a balanced feeder has no controls"):
        nf.nominal_power_flow(nf.load_feeder("case33bw"), controls=True)
    with pytest.raises(nf.InputError, match="must have one shape, with n_load = 15"):
        nf.follow_controls(feeder, feeder.load_p_mw[:3], feeder.load_q_mvar[:3])
