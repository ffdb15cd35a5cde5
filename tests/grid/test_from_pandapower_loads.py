"""Loads that follow the voltage, extended wards, controllers at rest: what pandapower answers, and what is told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandapower as pp
import pytest
from pandapower_nets import add, convert, fuse, set_in, several, small_net

import neomflex_jax as nf
from neomflex_jax.grid.fingerprint import feeder_hash
from neomflex_jax.grid.to_csv import write_feeder
from validation.referee.feeder_check import check_feeder

N_SAMPLES = 6
WITHIN_PU = 1e-8
A_THIRD = {"const_z_p_percent": 30.0, "const_i_p_percent": 20.0, "const_z_q_percent": 90.0, "const_i_q_percent": 5.0}

CASES: dict[str, Callable[[Any], Any]] = {
    "one load": set_in("load", 0, **A_THIRD),
    "one that feeds in": set_in("load", 0, p_mw=-0.03, **A_THIRD),
    "all of constant current": lambda net: net.load.__setitem__("const_i_p_percent", 100.0),
    "a bus of two, and a generator": several(
        set_in("load", 0, **A_THIRD), add("load", 7, 0.05, 0.01, const_i_p_percent=80.0), add("sgen", 7, 0.03, 0.01)
    ),
    "at the slack's bus": several(set_in("load", 0, **A_THIRD), add("load", 10, 0.5, 0.2, const_z_p_percent=100.0)),
    "buses that a switch joins": several(set_in("load", 0, **A_THIRD), set_in("load", 1, **A_THIRD), fuse(7, 25)),
    "at a held voltage": several(set_in("load", 0, **A_THIRD), add("gen", 7, 0.02, 1.03)),
    "an extended ward": add("xward", 7, 0.01, 0.004, 0.02, -0.01, 0.05, 0.1, 1.02),
    "an extended ward that draws": add("xward", 7, -0.01, 0.004, 0.0, 0.01, 0.05, 0.1, 0.97),
}


@pytest.mark.filterwarnings("ignore:.*states what its power flow leaves out")
@pytest.mark.parametrize("name", CASES)
def test_it_is_what_pandapower_solves(name: str, tmp_path: Path) -> None:
    net, path = small_net(), tmp_path / "net.json"
    CASES[name](net)
    pp.to_json(net, str(path))
    check = check_feeder(nf.Feeder.from_pandapower(net), path, n_samples=N_SAMPLES)
    assert check.agrees(WITHIN_PU), (check.largest("vm_pu"), check.unsolved)
    assert check.largest("loss_mw") < WITHIN_PU


def test_what_follows_the_voltage_survives_the_folder_and_the_rebuilt_referee(tmp_path: Path) -> None:
    net = small_net()
    set_in("load", 0, **A_THIRD)(net)
    feeder = convert(net)
    write_feeder(feeder, tmp_path / "folder")
    written = nf.Feeder.from_csv(tmp_path / "folder")
    assert feeder_hash(written) == feeder_hash(feeder) != feeder_hash(convert(small_net()))
    assert check_feeder(written, n_samples=N_SAMPLES).agrees(WITHIN_PU)


@pytest.mark.usefixtures("float64")
def test_every_method_that_is_exact_solves_it_and_no_other() -> None:
    net = small_net()
    set_in("load", 0, **A_THIRD)(net)
    feeder = convert(net)
    ac, newton = (nf.nominal_power_flow(feeder, method) for method in ("ac", "newton"))
    assert ac.converged and newton.converged
    np.testing.assert_allclose(ac.vm_pu, newton.vm_pu, rtol=0, atol=1e-10)
    assert abs(ac.vm_pu - nf.nominal_power_flow(convert(small_net())).vm_pu).max() > 1e-4
    with pytest.raises(nf.InputError, match="loads that follow the voltage, and 'lindistflow' knows constant power"):
        nf.bind(feeder, "lindistflow")
    with pytest.raises(nf.InputError, match="'sweep' does not know; take 'auto'"):
        nf.bind(feeder, "ac", network="sweep")


def test_the_old_columns_stand_for_p_and_q() -> None:
    old, new = small_net(), small_net()
    set_in("load", 0, const_z_p_percent=40.0, const_z_q_percent=40.0)(new)
    old.load = old.load.drop(columns=[name for name in old.load if name.startswith("const_")])
    old.load["const_z_percent"] = [40.0, 0.0, 0.0, 0.0]
    assert feeder_hash(convert(old)) == feeder_hash(convert(new))


def test_a_mean_over_unlike_loads_and_what_follows_beside_them_are_told() -> None:
    net = small_net()
    CASES["a bus of two, and a generator"](net)
    with pytest.warns(UserWarning, match="net.load 0 .* and net.load 4 at bus 7 follow the voltage unlike") as caught:
        convert(net)
    assert "net.sgen 0 at bus 7 follows the voltage too" in str(caught[0].message)


def test_a_generator_at_the_slacks_bus_is_among_what_the_load_is_the_sum_of(tmp_path: Path) -> None:
    net = small_net()
    pp.create_gen(net, 10, p_mw=0.3, vm_pu=1.02)
    feeder = convert(net)
    assert [(row.bus, row.p_mw) for row in feeder.elements.rows if row.table == "sgen"] == [(10, -0.3)]
    write_feeder(feeder, tmp_path / "folder")
    assert feeder_hash(nf.Feeder.from_csv(tmp_path / "folder")) == feeder_hash(feeder)


def test_an_extended_ward_has_a_bus_of_its_own() -> None:
    net = small_net()
    CASES["an extended ward"](net)
    feeder = convert(net)
    assert set(feeder.bus_labels) - set(net.bus.index) == {31}
    assert [(row.table, row.index, row.name, row.bus) for row in feeder.elements.rows[4:]] == [
        ("load", 4, "xward 0", 7)
    ]
    set_in("xward", in_service=False)(net)
    assert convert(net).bus_labels == tuple(sorted(net.bus.index))


def test_controllers_are_at_rest_and_told() -> None:
    net = small_net()
    pp.control.DiscreteTapControl(net, 0, 0.99, 1.01)
    with pytest.warns(UserWarning, match=r"net.controller 0 is in service and does not act.*run_control=True"):
        feeder = convert(net)
    assert feeder_hash(feeder) == feeder_hash(convert(small_net()))


def test_what_pandapower_rounds_beside_a_slack_is_no_difference(tmp_path: Path) -> None:
    """It shares the reactive power of a slack's bus by generators' limits, 1e9 Mvar where there are none."""
    net, path = small_net(), tmp_path / "net.json"
    several(add("gen", 10, 0.05, 1.02), add("gen", 25, 0.02, 1.01))(net)
    pp.to_json(net, str(path))
    check = check_feeder(nf.Feeder.from_pandapower(net), path, n_samples=N_SAMPLES)
    assert WITHIN_PU < check.largest("slack_q_mvar") < check.q_rounding_mvar
    assert check.agrees(WITHIN_PU)
    more = replace(check, own=replace(check.own, slack_q_mvar=check.own.slack_q_mvar + 1e-5))
    assert more.differs(WITHIN_PU)
    assert replace(check, q_rounding_mvar=0.0).differs(WITHIN_PU)


def test_a_dc_line_that_ends_at_a_slack_takes_part_in_its_reactive_power(tmp_path: Path) -> None:
    net, path = small_net(), tmp_path / "net.json"
    several(set_in("trafo", shift_degree=0.0), add("gen", 25, 0.05, 1.0, slack=True))(net)
    add("dcline", 25, 2, 0.01, 2.0, 0.001, 1.0, 1.005)(net)
    pp.to_json(net, str(path))
    check = check_feeder(nf.Feeder.from_pandapower(net), path, n_samples=N_SAMPLES)
    assert check.agrees(WITHIN_PU)
    pp.runpp(net, calculate_voltage_angles=True)
    assert abs(net.res_dcline["q_from_mvar"].item()) > 1e-4, "it supplies something there"
