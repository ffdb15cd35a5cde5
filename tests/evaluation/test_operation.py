"""The operator's figures: MAPDN's by its definitions, written out as loops, and the others by hand."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

import neomflex_jax as nf
from neomflex_jax.agents.policy import NoControl
from neomflex_jax.environment import evaluation_environment
from neomflex_jax.evaluation import Trajectory, record
from neomflex_jax.evaluation.operation import bands_of, operation
from neomflex_jax.evaluation.tables import run_summary, step_metrics


@pytest.fixture(scope="module")
def run() -> Trajectory:
    """One idle day, to be overwritten with numbers that can be added up by hand."""
    env = evaluation_environment(nf.make("neom33", power_flow="lindistflow"))
    return record(env, NoControl(env.action_size), "idle", n_days=1)


@pytest.fixture(scope="module")
def answers() -> SimpleNamespace:
    random = np.random.default_rng(0)
    vm_pu = random.uniform(0.94, 1.06, (48, 33))
    vm_pu[5] = 1.0
    vm_pu[6] = np.nan
    loss_mw, slack_p_mw = random.uniform(0.0, 0.2, 48), random.uniform(-1.5, 3.0, 48)
    loss_mw[6] = slack_p_mw[6] = np.nan
    return SimpleNamespace(vm_pu=vm_pu, loss_mw=loss_mw, slack_p_mw=slack_p_mw)


def test_mapdns_figures_are_its_programs(run: Trajectory, answers: SimpleNamespace, case33bw: nf.Feeder) -> None:
    found = operation(run, answers, case33bw)
    for band, figures in zip(bands_of(run.scenario.limits, case33bw), found.bands, strict=True):
        low, high = band.low_pu[0], band.high_pu[0]
        shares, controllable = [], []
        for row in answers.vm_pu:
            share = (np.sum(row < low) + np.sum(row > high)) / 33
            share = 1.0 if np.isnan(row).any() else share  # MAPDN shows the step before instead; here it counts
            shares.append(share)
            controllable.append(0.0 if share > 1e-3 else 1.0)
        assert figures.share_of_buses_out == pytest.approx(np.mean(shares))
        assert figures.controllable_rate == pytest.approx(np.mean(controllable))


def test_q_loss_is_the_inverters_mean_size(run: Trajectory, answers: SimpleNamespace, case33bw: nf.Feeder) -> None:
    pv_q_mvar = np.tile([0.3, -0.6, 0.0], (48, 1))
    found = operation(dataclasses.replace(run, pv_q_mvar=pv_q_mvar), answers, case33bw)
    assert found.q_loss_mvar == pytest.approx(0.3)


def test_both_end_the_run_table_in_the_scenarios_band(run: Trajectory) -> None:
    """By hand: of 48 steps two have one bus outside 0.97 to 1.03, and a third has no power flow."""
    vm_pu = np.ones((48, 33))
    vm_pu[3, 10], vm_pu[4, 10], vm_pu[9, 2], vm_pu[6] = 0.96, 1.04, 0.98, np.nan
    pv_q_mvar = np.zeros((48, 3))
    pv_q_mvar[:24] = 0.3, -0.6, 0.0
    changed = dataclasses.replace(run, vm_pu=vm_pu, pv_q_mvar=pv_q_mvar, converged=np.arange(48) != 6)
    flat = dataclasses.replace(run, run="flat", vm_pu=np.ones((48, 33)), pv_q_mvar=np.zeros((48, 3)))
    steps = pd.concat([step_metrics(changed), step_metrics(flat)], ignore_index=True)
    steps["battery_bus_7_q_mvar"] = 9.0  # a battery is no generation
    runs = run_summary(steps)
    assert list(runs.columns[-2:]) == ["controllable_rate", "q_loss_mvar"]
    assert runs["run"].tolist() == ["idle", "flat"]
    assert runs["controllable_rate"].tolist() == [45 / 48, 1.0]
    np.testing.assert_allclose(runs["q_loss_mvar"], [0.15, 0.0], rtol=1e-6)
    without = steps.drop(columns=[name for name in steps if name.startswith("pv_")])
    assert "q_loss_mvar" not in run_summary(without)


def test_bands_have_names_and_the_limits_that_they_name(case33bw: nf.Feeder) -> None:
    limits = nf.load_scenario("neom33").limits
    bands = {band.name: (band.low_pu[0], band.high_pu[0]) for band in bands_of(limits, case33bw)}
    assert list(bands.values()) == [(0.97, 1.03), (0.9, 1.1), (0.95, 1.05), (0.9, 1.1), (0.975, 1.05)]
    assert "scenario's band 0.97..1.03" in bands and "MAPDN 0.95..1.05" in bands
    assert any(name.startswith("EN 50160") for name in bands)
    behind_transformer = nf.load_feeder(nf.load_scenario("lv_kerber").feeder)
    ansi = next(band for band in bands_of(limits, behind_transformer) if band.name.startswith("ANSI"))
    vn_kv = np.asarray(behind_transformer.vn_kv)
    np.testing.assert_array_equal(ansi.low_pu, np.where(vn_kv > 0.6, 0.975, 0.95))
    assert set(ansi.low_pu) == {0.975, 0.95}


def test_excess_times_time_by_hand(run: Trajectory, case33bw: nf.Feeder) -> None:
    vm_pu = np.ones((48, 33))
    vm_pu[3, 10], vm_pu[4, 10], vm_pu[9, 2] = 0.95, 1.06, 0.96
    flat = SimpleNamespace(vm_pu=vm_pu, loss_mw=np.full(48, 0.1), slack_p_mw=np.linspace(-1.0, 2.0, 48))
    found = operation(run, flat, case33bw)
    assert found.bands[0].outside_pu_h == pytest.approx(0.5 * (0.02 + 0.03 + 0.01))
    assert found.bands[0].worst_bus == case33bw.bus_labels[10]
    assert found.bands[1].outside_pu_h == 0.0 and found.bands[1].worst_bus is None
    assert found.losses_mwh == pytest.approx(2.4)
    assert (found.peak_import_mw, found.peak_export_mw) == (2.0, 1.0)


def test_energy_by_hand(run: Trajectory, answers: SimpleNamespace, case33bw: nf.Feeder) -> None:
    p_mw, soc, before = np.zeros((48, 3)), np.full((48, 3), 0.5), np.full((48, 3), 0.5)
    p_mw[:4, 0], p_mw[10:12, 1] = 0.5, -0.4
    soc[-1] = 0.2, 0.9, 0.5
    offered = np.full((48, 3), 0.2)
    fed_in = offered.copy()
    fed_in[20:30, 2] = 0.1
    worked = dataclasses.replace(
        run, battery_p_mw=p_mw, battery_soc=soc, battery_soc_before=before, pv_available_mw=offered, pv_p_mw=fed_in
    )
    found = operation(worked, answers, case33bw)
    assert found.equivalent_full_cycles == pytest.approx(1.0 / (3 * 2.0 * 0.7))  # 1 MWh out of 4.2 usable
    assert found.soc_change_mwh == pytest.approx(2.0 * (-0.3 + 0.4))
    assert found.pv_curtailed_mwh == pytest.approx(0.5)
    assert found.pv_curtailed_share == pytest.approx(1.0 / 28.8)
    assert found.load_curtailed_mwh == 0.0


def test_a_failed_step_is_counted_and_invents_no_energy(
    run: Trajectory, answers: SimpleNamespace, case33bw: nf.Feeder
) -> None:
    found = operation(run, answers, case33bw)
    assert found.losses_mwh == pytest.approx(0.5 * np.nansum(answers.loss_mw))
    assert np.isfinite([found.peak_import_mw, found.peak_export_mw]).all()
    assert np.isfinite([figures.outside_pu_h for figures in found.bands]).all()
    nothing = SimpleNamespace(
        vm_pu=np.full((48, 33), np.nan), loss_mw=np.full(48, np.nan), slack_p_mw=np.full(48, np.nan)
    )
    lost = operation(run, nothing, case33bw)
    assert all(figures.controllable_rate == 0.0 and figures.share_of_buses_out == 1.0 for figures in lost.bands)
