"""What a page carries: numbers keep their decimals, names of any letters stay names, and what is large is cut."""

import json
import math

import numpy as np
import pytest
from phases import small_run
from run_pages import HALF_A_UNIT, unpacked

from neomflex_jax import load_feeder, load_scenario
from neomflex_jax.commands.page.drawn_feeder import drawn_feeder
from neomflex_jax.commands.page.packed import json_in_html, packed
from neomflex_jax.commands.page.recorded import recorded_runs
from neomflex_jax.commands.page.seed import SeedResults
from neomflex_jax.commands.page.shown_days import days_that_fit
from neomflex_jax.environment import evaluation_environment, make
from neomflex_jax.evaluation.branch_flows import flows_are_known
from neomflex_jax.grid.build import build_feeder
from neomflex_jax.training.options import TrainOptions, config_of
from neomflex_jax.training.result import write_result
from neomflex_jax.training.run_folder import RunFolder

HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "[x](javascript:alert(1))",
    "</style>&{{7*7}}",
)
SEPARATORS = "\u2028\u2029"  # which end a line of a script


def chain(n_bus, branches):
    """A feeder of equal buses."""
    ones = np.ones(n_bus)
    ohms = np.full(len(branches), 1e-3)
    return build_feeder(
        name="made up", bus_labels=range(n_bus), vn_kv=10.0 * ones, load_p_mw=1e-4 * ones, load_q_mvar=0.0 * ones,
        branches=branches, r_ohm=ohms, x_ohm=ohms,
    )  # fmt: skip


def test_the_page_of_a_feeder_with_phases_plays_its_steps(tmp_path):
    run, _ = small_run(tmp_path)
    run.save(tmp_path / "trajectory_controlled.npz")
    recorded = recorded_runs(tmp_path, ["controlled"])
    carried = recorded.carried(5_000_000)
    assert not isinstance(carried, str), carried  # the sentence on why it cannot be shown
    assert any("several phases" in note for note in carried["notes"]) and carried["runs"][0]["flow"] is None
    shown, labels = unpacked(carried["runs"][0]["vm"]), carried["grid"]["labels"]
    own = run.vm_pu[:, [node for node, bus in enumerate(run.nodes.bus) if bus == "675"]]
    limits = run.scenario.limits
    off = np.abs(own - (limits.band_min_pu + limits.band_max_pu) / 2)
    farthest = own[np.arange(len(own)), off.argmax(axis=1)]
    np.testing.assert_allclose(shown[:, labels.index("675")], farthest, atol=6e-5)


def test_flows_are_not_told_where_the_equations_do_not_hold():
    assert flows_are_known(chain(3, [(0, 1), (1, 2), (2, 0)])) == "a loop is closed"
    assert flows_are_known(chain(3, [(0, 1), (1, 2)])) == ""


@pytest.mark.parametrize("name", [*HOSTILE, SEPARATORS])
def test_json_in_a_page_ends_neither_its_element_nor_a_line(name):
    text = json_in_html({name: [name]})
    assert not set("<>&\u2028\u2029") & set(text) and json.loads(text) == {name: [name]}


def test_packed_numbers_keep_their_decimals_and_what_is_missing():
    numbers = packed(np.array([1.04567, np.nan, 0.9, -np.inf]), 4)
    np.testing.assert_array_equal(unpacked(numbers)[:, 0], [1.0457, np.nan, 0.9, np.nan])
    for largest in (0.0, 3e-7, 0.5, 31.0, 4e4, 1e9):
        values = np.array([largest, -largest / 3])
        numbers = packed(values)
        np.testing.assert_allclose(unpacked(numbers)[:, 0], values, atol=HALF_A_UNIT * 10.0 ** -numbers["decimals"])
        assert math.isclose(unpacked(numbers)[0, 0], largest, rel_tol=1e-3, abs_tol=6e-7)


def test_of_many_days_the_dearest_are_carried_and_the_cheapest():
    cost = np.array([5.0, 1, 9, 7, 2, 8, 3, np.nan])
    assert list(days_that_fit(cost, 8)) == list(range(8)) == list(days_that_fit(cost, 100))
    for most in range(1, 8):
        days = days_that_fit(cost, most)
        assert len(days) == most == len({*days}) and list(days) == sorted(days) and 7 in days  # the failed one
    assert {1, 2, 7} <= {*days_that_fit(cost, 4)}


def test_a_large_feeder_is_cut_to_a_tree_that_can_be_drawn():
    n_bus = 3001  # in two branches from the slack
    feeder = chain(n_bus, [(bus - 1 if bus not in (1, 1500) else 0, bus) for bus in range(1, n_bus)])
    drawn = drawn_feeder(feeder, [2999, 1234], most=200)
    assert len(drawn.buses) == 200 and {0, 1234, 2999} <= {*drawn.buses.tolist()}
    assert np.count_nonzero(drawn.before < 0) == 1 and (drawn.before < 200).all()
    whole = drawn_feeder(load_feeder("case141"), [], most=400).plain([0] * 141)
    assert whole["note"] == "" and len(whole["labels"]) == 141
    assert "200 of 3,001 buses are drawn" in drawn.plain([0] * n_bus)["note"]


def as_trained(run):
    """What an evaluation of a run without policies would be of."""
    results = SeedResults(run)
    results.__dict__["hashes"] = {}
    return results.as_trained()


def test_a_run_that_finished_on_another_power_flow_is_identified_by_it(tmp_path):
    """`evaluate` plays what the run ended on, and `report` means the same without an evaluation."""
    folder = RunFolder(tmp_path)
    options = TrainOptions(load_scenario("neom33", power_flow="lindistflow"), finish_on="ac")
    folder.write_config(config_of(options))
    hashes = {}
    for ended_on in ("ac", "lindistflow"):
        write_result(folder.result, {"power_flow": ended_on})
        scenario = evaluation_environment(make(options.scenario, power_flow=ended_on)).scenario
        hashes[ended_on] = as_trained(tmp_path).scenario_hash
        assert hashes[ended_on] == scenario.hash()
    folder.result.unlink()
    assert as_trained(tmp_path).scenario_hash == hashes["ac"] != hashes["lindistflow"]
