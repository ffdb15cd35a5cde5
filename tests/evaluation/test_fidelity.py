"""Errors of the power-flow methods: counted right by hand, signed right in the physics, written as printed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from command_line import neomflex

import neomflex_jax as nf
from neomflex_jax.commands.fidelity import SECTIONS, number
from neomflex_jax.environment.binding import sample_injections
from neomflex_jax.evaluation import fidelity as module
from neomflex_jax.evaluation.deviation import Answers, Violations, compare, count_violations, spread
from neomflex_jax.evaluation.fidelity_report import Fidelity
from neomflex_jax.plots.fidelity import draw
from neomflex_jax.scenario import Limits

FAST = {"batch_size": 64, "seconds_per_method": 0.0}


@pytest.fixture(scope="module")
def report() -> Fidelity:
    """Compare all methods on a few samples."""
    return nf.fidelity("neom33", samples=256, **FAST)


def row(report: Fidelity, method: str) -> pd.Series:
    """Numbers of a method."""
    return report.table.set_index("method").loc[method]


# ---- counting and statistics, by hand ----


def test_missed_and_invented_violations_are_counted() -> None:
    exact = np.array([[0.89, 0.91, 1.00], [1.11, 1.10, 0.90]])  # outside: 0.89 and 1.11; the limits are inside
    said = np.array([[0.92, 0.88, 1.00], [1.12, 1.11, 0.95]])  # 0.89 missed; 0.91 and 1.10 made violations
    found = count_violations(said, exact, 0.9, 1.1)
    assert found == Violations(true=2, missed=1, invented=2)
    assert found.share(found.missed) == 0.5
    assert found.share(found.invented) == 1.0


def test_a_violation_on_the_wrong_side_is_found_and_none_has_no_share() -> None:
    assert count_violations(np.array([0.8]), np.array([1.2]), 0.9, 1.1) == Violations(1, 0, 0)
    none = count_violations(np.ones(3), np.ones(3), 0.9, 1.1)
    assert none == Violations(0, 0, 0)
    assert np.isnan(none.share(0))


def test_the_bias_keeps_the_sign_and_the_rest_does_not() -> None:
    numbers = spread(np.array([1.0, 2.0, 0.0]), np.array([1.0, 1.0, 3.0]))
    assert numbers["error_max"] == 3.0
    assert numbers["error_mean"] == pytest.approx(4.0 / 3.0)
    assert numbers["bias"] == pytest.approx(-2.0 / 3.0)
    assert numbers["error_p99"] == pytest.approx(3.0 - 0.02 * 2.0)  # between the last two of three
    assert all(np.isnan(value) for value in spread(np.zeros(0), np.zeros(0)).values())


def test_samples_without_an_answer_are_counted_and_left_out() -> None:
    def answers(vm_pu: list[float], loss_mw: list[float], converged: list[bool]) -> Answers:
        nothing = np.zeros((3, 0))
        return Answers(np.array(vm_pu)[:, None], np.array(loss_mw), nothing, nothing, np.array(converged))

    exact = answers([0.89, 1.0, np.nan], [0.1, 0.3, np.nan], [True, True, False])
    numbers = compare(answers([0.91, 9.0, 1.0], [0.2, 9.0, 1.0], [True, False, True]), exact, Limits())
    assert (numbers["n_compared"], numbers["n_failed"]) == (1, 1)
    assert numbers["vm_error_max_pu"] == pytest.approx(0.02)
    assert numbers["loss_bias_mw"] == pytest.approx(0.1)
    assert numbers["loss_bias_percent"] == pytest.approx(50.0)  # of the mean over what the reference solves
    assert (numbers["hard_true"], numbers["hard_missed"], numbers["hard_invented"]) == (1, 1, 0)
    assert np.isnan(numbers["branch_i_error_max_ka"])


# ---- the methods ----


@pytest.mark.parametrize("method", ["ac", "newton"])
def test_exact_methods_err_by_rounding_alone(report: Fidelity, method: str) -> None:
    errors = row(report, method)
    assert 0 < errors["vm_error_max_pu"] < 2e-6  # never 0: the reference is in another precision
    assert errors["loss_error_max_mw"] < 2e-6
    assert errors["branch_i_error_max_ka"] < 2e-6
    assert errors["n_failed"] == 0


def test_better_methods_err_less(report: Fidelity) -> None:
    table = report.table.set_index("method")
    assert list(table.index) == ["dc", "lindistflow", "calibrated", "ac", "newton"]
    assert (table.loc[["dc", "lindistflow", "calibrated", "ac"], "vm_error_mean_pu"].diff().dropna() < 0).all()
    assert table.loc["dc", "loss_bias_percent"] == pytest.approx(-100.0)
    assert table.loc["dc", "hard_missed"] == report.hard_violations > 0
    assert (table["flows_per_second"] > 0).all()


def test_lindistflow_says_voltages_too_high_and_losses_too_low_under_load(case33bw: nf.Feeder) -> None:
    factor = np.random.default_rng(0).uniform(0.5, 1.5, (64, 33))
    loads = (-factor * case33bw.load_p_mw, -factor * case33bw.load_q_mvar)
    found = row(nf.fidelity("neom33", ["lindistflow"], injections=loads, **FAST), "lindistflow")
    assert found["vm_bias_pu"] == pytest.approx(found["vm_error_mean_pu"])  # every single one
    assert found["vm_bias_pu"] > 1e-4
    assert found["loss_bias_mw"] < 0
    assert found["hard_invented"] == 0


def test_calibrated_is_the_environments_own_fit_on_other_samples() -> None:
    env = nf.make("neom33", power_flow="calibrated")
    feeder = nf.load_feeder("case33bw")
    own = module._bind(nf.make("neom33", power_flow="lindistflow"), feeder, "calibrated")
    np.testing.assert_array_equal(own.model.gain, env.power_flow.model.gain)
    fitted, ours = (
        np.asarray(sample_injections(env.scenario, feeder, env.profiles, 64, seed)[0])
        for seed in (0, module.FIRST_SEED)
    )
    assert not (fitted[:, None] == ours[None]).all(axis=2).any()


def test_the_seed_chooses_the_samples(report: Fidelity) -> None:
    again, other = (nf.fidelity("neom33", ["lindistflow"], 256, seed, **FAST) for seed in (0, 1))
    assert row(again, "lindistflow")["vm_error_max_pu"] == row(report, "lindistflow")["vm_error_max_pu"]
    assert row(other, "lindistflow")["vm_error_max_pu"] != row(report, "lindistflow")["vm_error_max_pu"]


def test_injections_beyond_collapse_are_refused_or_left_out(case33bw: nf.Feeder) -> None:
    factor = np.array([[1.0], [1000.0]])
    p, q = -factor * case33bw.load_p_mw, -factor * case33bw.load_q_mvar
    half = nf.fidelity("neom33", ["ac"], injections=(p, q), **FAST)
    assert (half.n_solved, half.n_samples, row(half, "ac")["n_compared"]) == (1, 2, 1)
    with pytest.raises(nf.InputError, match="none of the 1 samples has an AC solution"):
        nf.fidelity("neom33", ["ac"], injections=(p[1:], q[1:]), **FAST)
    with pytest.raises(nf.InputError, match=r"expected \(n_samples, 33\)"):
        nf.fidelity("neom33", ["ac"], injections=(p[:, 1:], q), **FAST)


# ---- files, figure, command line ----


def test_the_figure_draws_largest_and_mean_at_each_speed(report: Fidelity) -> None:
    axes = draw(report).axes[0]
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
    points = {tuple(float(xy[0]) for xy in line.get_data()) for line in axes.get_lines() if len(line.get_xdata()) == 1}
    for _, errors in report.table.iterrows():
        for name in ("vm_error_max_pu", "vm_error_mean_pu"):
            assert (errors["flows_per_second"], errors[name]) in points
    assert {text.get_text() for text in axes.texts} == set(report.table["method"])
    assert "pu" in axes.get_ylabel()
    assert "second" in axes.get_xlabel()


def test_the_command_writes_what_it_prints(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "fidelity"
    call = ("fidelity", "--samples", 64, "--batch-size", 64, "--power-flow-methods", "lindistflow", "ac")
    assert neomflex(*call, "--output", folder) == 0
    printed = capsys.readouterr().out
    table = pd.read_csv(folder / "fidelity.csv").set_index("method")
    assert list(table.index) == ["lindistflow", "ac"]
    content = json.loads((folder / "fidelity.json").read_text(encoding="utf-8"))
    assert [entry["method"] for entry in content["methods"]] == ["lindistflow", "ac"]
    assert (content["n_samples"], content["limits"]["hard_min_pu"]) == (64, 0.9)
    for name in (name for lines in SECTIONS.values() for name in lines if "loading" not in name):
        for entry in content["methods"]:
            assert entry[name] == pytest.approx(table.loc[entry["method"], name])
            assert number(entry[name]) in printed
    assert content["methods"][0]["branch_loading_error_max_percent"] is None  # the feeder has no ratings
    assert "loading" not in printed
    words = " ".join(printed.split())
    assert all(note in words for note in content["notes"])
    assert (folder / "fidelity.png").read_bytes().startswith(b"\x89PNG")
    assert neomflex(*call, "--output", folder) == 2
    assert "give --overwrite" in capsys.readouterr().out


def test_a_grid_that_devices_set_is_refused_with_what_helps():
    tap_changers = [{"bus": 1, "from_bus": 0, "to_bus": 1}]
    scenario = nf.load_scenario("neom33", tap_changers=tap_changers)
    with pytest.raises(nf.InputError, match=r"\[\[tap_changers\]\] set ratios.*on a copy of the scenario without"):
        nf.fidelity(scenario, ["ac"], samples=8)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--scenario", "neom34"), "Did you mean 'neom33'"),
        (("--power-flow-methods", "ac", "exact"), "unknown power-flow method 'exact'; known: ac, calibrated, dc"),
        (("--samples", "0"), "samples = 0 must be at least 1"),
        (("--seed", "-1"), "seed = -1 must be at least 0"),
        (("--batch-size", "0"), "batch_size = 0 must be at least 1"),
        (("--profiles", "nowhere.csv"), "no such file"),
        (("--output", "FILE"), "is a file; give an output folder"),
        (("--policies", "FOLDER"), "holds no training run"),
        (("--policies", "FOLDER", "--samples", "8"), "leave out --scenario and --samples"),
    ],
)
def test_unusable_input_exits_2_with_a_sentence(
    arguments: tuple[str, ...], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    places = {"FILE": str(tmp_path / "file"), "FOLDER": str(tmp_path)}
    assert neomflex("fidelity", *(places.get(argument, argument) for argument in arguments)) == 2
    printed = " ".join(capsys.readouterr().out.split())
    assert message in printed
    assert "Traceback" not in printed
