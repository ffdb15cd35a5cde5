"""The error budget: groups add up, planted errors show where they were planted, margins and orders are right."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kendalltau
from test_validation_replay import record_random

import neomflex_jax as nf
from neomflex_jax.evaluation import Trajectory
from validation import Replay, replay
from validation.errors.budget import Budget, branch_names, error_budget, load_level
from validation.errors.currents import RecordedCurrents, recorded_currents
from validation.errors.margin import margin_of
from validation.errors.ranking import ranking_of
from validation.errors.summary import outside
from validation.recompute.record import record_of

QUANTITIES = ("vm_pu", "loss_mw", "slack_p_mw", "slack_q_mvar", "branch_i_ka")


@pytest.fixture(scope="module")
def run() -> Trajectory:
    return record_random("calibrated")


@pytest.fixture(scope="module")
def replayed(run: Trajectory) -> Replay:
    return replay(run)


@pytest.fixture(scope="module")
def currents(run: Trajectory, case33bw: nf.Feeder) -> RecordedCurrents:
    return recorded_currents(record_of(run, case33bw))


@pytest.fixture(scope="module")
def budget(run: Trajectory, replayed: Replay, case33bw: nf.Feeder, currents: RecordedCurrents) -> Budget:
    return error_budget(record_of(run, case33bw), replayed, currents)


@pytest.mark.parametrize("quantity", QUANTITIES)
def test_groups_of_an_axis_add_up_to_the_whole(budget: Budget, quantity: str) -> None:
    whole = budget.of(quantity)["all"]
    axes = ["hour", "load_level", "slack_flow"]
    axes += {"vm_pu": ["bus"], "branch_i_ka": ["branch"]}.get(quantity, [])
    assert whole.n_compared > 0
    for axis in axes:
        groups = budget.of(quantity, axis).values()
        counts = np.array([group.n_compared for group in groups])
        assert counts.sum() == whole.n_compared
        assert max(group.max_abs for group in groups) == whole.max_abs
        assert counts @ [group.mean_abs for group in groups] / counts.sum() == pytest.approx(whole.mean_abs)
        assert counts @ [group.bias for group in groups] / counts.sum() == pytest.approx(whole.bias)


def test_axes_have_the_groups_that_there_are(budget: Budget, run: Trajectory) -> None:
    assert list(budget.of("vm_pu", "bus")) == [str(bus) for bus in run.bus_labels]
    assert list(budget.of("loss_mw", "hour")) == [str(hour) for hour in range(24)]
    assert list(budget.of("loss_mw", "load_level")) == ["low", "medium", "high"]
    assert set(budget.of("loss_mw", "slack_flow")) == {"import", "export"}
    assert len(budget.of("branch_i_ka", "branch")) == 32  # the five ties are open


def test_a_planted_error_shows_at_its_bus_and_hour(
    run: Trajectory, replayed: Replay, case33bw: nf.Feeder, currents: RecordedCurrents
) -> None:
    exact = dataclasses.replace(run, vm_pu=replayed.vm_pu.copy())
    step, bus = 48 + 11, run.bus_labels.index(22)  # half past five of the second day
    exact.vm_pu[step, bus] += 0.03
    planted = error_budget(record_of(exact, case33bw), replayed, currents)
    assert {group for group, error in planted.of("vm_pu", "bus").items() if error.max_abs > 0} == {"22"}
    assert {group for group, error in planted.of("vm_pu", "hour").items() if error.max_abs > 0} == {"5"}
    assert planted.of("vm_pu", "bus")["22"].bias == pytest.approx(0.03 / run.n_steps)


def test_a_failed_flow_is_in_no_error_and_in_the_margins(
    run: Trajectory, replayed: Replay, case33bw: nf.Feeder, currents: RecordedCurrents
) -> None:
    lost = {name: np.array(getattr(replayed, name)) for name in (*QUANTITIES, "surplus_mw", "status")}
    for name, values in lost.items():
        values[7] = "not_converged" if name == "status" else np.nan
    failed = error_budget(record_of(run, case33bw), dataclasses.replace(replayed, **lost), currents)
    assert failed.of("vm_pu")["all"].n_compared == (run.n_steps - 1) * 33
    groups = failed.of("loss_mw", "slack_flow").values()
    assert sum(group.n_compared for group in groups) == run.n_steps - 1
    assert failed.margins[0].unsolved == 33


def test_load_levels_are_thirds_and_ties_stay_together() -> None:
    np.testing.assert_array_equal(load_level(np.array([3.0, 1.0, 2.0, 6.0, 5.0, 4.0])), [1, 0, 0, 2, 2, 1])
    assert set(load_level(np.full(48, 0.7))) == {0}


def test_parallel_branches_have_names_of_their_own(case33bw: nf.Feeder) -> None:
    names = branch_names(case33bw, np.ones(37, bool))
    assert len(set(names)) == 37 and names[0] == "0-1"
    doubled = dataclasses.replace(
        case33bw, topology=dataclasses.replace(case33bw.topology, from_bus=(0,) * 37, to_bus=(1,) * 37)
    )
    assert branch_names(doubled, np.arange(37) < 3) == ["0-1", "0-1 (2)", "0-1 (3)"]


# ---- currents ----


def test_exact_currents_are_pandapowers(case33bw: nf.Feeder) -> None:
    run = record_random("ac")
    found = recorded_currents(record_of(run, case33bw))
    assert found.branch_i_ka is not None
    np.testing.assert_allclose(found.branch_i_ka, replay(run).branch_i_ka, atol=2e-6)


def test_currents_of_another_method_than_stated_are_not_available(
    run: Trajectory, replayed: Replay, case33bw: nf.Feeder
) -> None:
    lied = dataclasses.replace(run, power_flow="ac")
    found = recorded_currents(record_of(lied, case33bw))
    assert found.branch_i_ka is None
    assert "gives other voltages" in found.source
    nothing = error_budget(record_of(lied, case33bw), replayed, found)
    assert np.isnan(nothing.of("branch_i_ka")["all"].max_abs)
    lost = dataclasses.replace(run, scenario=dataclasses.replace(run.scenario, profiles="gone.csv"))
    assert "cannot be set up again" in recorded_currents(record_of(lost, case33bw)).source


def test_loading_without_a_rating_is_not_available(
    run: Trajectory, replayed: Replay, case33bw: nf.Feeder, currents: RecordedCurrents, budget: Budget
) -> None:
    assert budget.loading_percent.n_rated == 0
    assert np.isnan(budget.loading_percent.pandapower) and np.isnan(budget.loading_percent.recorded)
    rating_ka = np.full(37, np.nan)
    rating_ka[[0, 36]] = 0.2, 1e-9  # the tie is open: its rating must not matter
    rated = error_budget(record_of(run, dataclasses.replace(case33bw, max_i_ka=rating_ka)), replayed, currents)
    assert rated.loading_percent.n_rated == 1
    assert rated.loading_percent.pandapower == pytest.approx(100 * replayed.branch_i_ka[:, 0].max() / 0.2)


# ---- margin ----

voltages = st.lists(st.floats(0.8, 1.2), min_size=1, max_size=12)


@given(voltages, st.data())
def test_the_margin_is_the_smallest_that_misses_nothing(exact: list[float], data: st.DataObject) -> None:
    recorded = data.draw(st.lists(st.floats(0.8, 1.2), min_size=len(exact), max_size=len(exact)))
    said, true = np.array([recorded]), np.array([exact])
    margin = margin_of("hard", said, true, 0.9, 1.1)
    broken = outside(true, 0.9, 1.1)

    def missed(tightened_by: float) -> int:
        return int((broken & ~outside(said, 0.9 + tightened_by, 1.1 - tightened_by)).sum())

    assert missed(margin.margin_pu + 1e-12) == 0
    assert margin.missed == missed(0.0)
    if margin.margin_pu > 1e-9:
        assert missed(margin.margin_pu - 1e-9) > 0


def test_margin_by_hand() -> None:
    exact = np.array([[0.89, 0.95, 1.00, 1.12, np.nan]])
    recorded = np.array([[0.92, 0.915, 1.00, 1.09, 1.00]])
    margin = margin_of("hard", recorded, exact, 0.9, 1.1)
    assert margin.margin_pu == pytest.approx(0.02)
    assert (margin.missed, margin.invented, margin.unsolved) == (2, 1, 1)
    assert margin_of("hard", exact, exact, 0.9, 1.1).margin_pu == 0.0


# ---- order ----


@given(st.lists(st.tuples(st.integers(0, 99), st.integers(0, 99)), min_size=2, max_size=8))
def test_tau_is_scipys_where_there_are_no_ties(pairs: list[tuple[int, int]]) -> None:
    recorded = {f"run {number}": pair[0] + number / 100 for number, pair in enumerate(pairs)}
    exact = {f"run {number}": pair[1] - number / 100 for number, pair in enumerate(pairs)}
    found = ranking_of(recorded, exact)
    assert found.tau == pytest.approx(kendalltau(list(recorded.values()), list(exact.values())).statistic)
    n_pairs = len(pairs) * (len(pairs) - 1) / 2
    assert found.tau == pytest.approx(1 - 2 * len(found.swapped) / n_pairs)


def test_a_swapped_pair_is_named_better_first() -> None:
    found = ranking_of({"a": 1.0, "b": 2.0, "c": 9.0}, {"a": 4.0, "b": 3.0, "c": 9.0})
    assert found.swapped == (("a", "b"),)
    assert found.tau == pytest.approx(1 / 3)
    assert np.isnan(ranking_of({"a": 1.0}, {"a": 1.0}).tau)
    assert ranking_of({"a": 1.0, "b": 2.0}, {"a": np.nan, "b": 2.0}).swapped == (("a", "b"),)
