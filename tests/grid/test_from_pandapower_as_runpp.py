"""What `runpp` decides by itself, as a feeder does where asked: several slacks at a bus, buses without supply."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandapower as pp
import pytest
from command_line import neomflex
from pandapower_nets import VM_PU, add, fresh_bus, fuse, set_in, several, small_net
from reference_flow import solve_reference

import neomflex_jax as nf
from validation.referee.feeder_check import supplied_by_slacks

cut_off = set_in("line", 2, in_service=False)  # bus 25 with its load
standby = several(fresh_bus(11, 20.0), fuse(10, 11), add("ext_grid", 11, vm_pu=1.02))

DECIDED: dict[str, tuple[Callable[[Any], Any], str]] = {  # how, and what a warning names
    "two external grids at one bus": (add("ext_grid", 10, vm_pu=1.02), ""),
    "two that a switch joins": (standby, ""),
    "two beside a generator": (several(standby, add("gen", 10, 0.05, vm_pu=1.02)), ""),
    "a slack generator beside one": (add("gen", 10, vm_pu=1.02, p_mw=0.05, slack=True), ""),
    "an external grid at a dead bus": (
        several(fresh_bus(60), add("ext_grid", 60), set_in("bus", 60, in_service=False)),
        "net.ext_grid 1 is in service at bus 60, which is not",
    ),
    "a load without supply": (
        cut_off,
        r"bus 25 to an external grid, .* 0.03 MW of consumption .*net.load 1 \('load at 25'\) \+0.03 MW$",
    ),
    "an island of many": (
        several(cut_off, add("gen", 25, 0.01), *[add("sgen", 25, 0.002)] * 6, add("shunt", 25, 0.1)),
        r"0.03 MW of consumption and 0.022 MW of production: net.gen 0 -0.01 MW, .* \(9 in all\)$",
    ),
    "wards and motors without supply": (
        several(cut_off, add("ward", 25, 0.1, 0, 0.1, 0), add("xward", 25, 0, 0, 0, 0, 0.1, 0.1, 1.0)),
        r"net.ward 0 \+0.1 MW",
    ),
}


@pytest.mark.parametrize("name", DECIDED)
def test_a_net_is_read_as_runpp_solves_it(name: str) -> None:
    net = small_net()
    change, told = DECIDED[name]
    change(net)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        feeder = nf.Feeder.from_pandapower(net, strict=False)
    said = [str(each.message) for each in caught]
    assert len(said) == bool(told)
    assert re.search(told, "".join(said)), said
    pp.runpp(net, tolerance_mva=1e-10)
    supplied = net.res_bus.index[net.res_bus["vm_pu"].notna()]
    assert set(feeder.bus_labels) == set(supplied) - {11}
    flow = solve_reference(feeder, -feeder.load_p_mw, -feeder.load_q_mvar)
    np.testing.assert_allclose(flow.vm_pu, net.res_bus["vm_pu"][list(feeder.bus_labels)], rtol=0, atol=VM_PU)
    found = flow.slack_p_mw, flow.slack_q_mvar  # runpp shares q out by limits of 1e9 Mvar, which rounds it
    np.testing.assert_allclose(found, supplied_by_slacks(net), rtol=0, atol=1e-7)
    with pytest.raises(nf.InputError):
        nf.Feeder.from_pandapower(net)


REFUSED: dict[str, tuple[Callable[[Any], Any], str]] = {
    "two voltages at one bus": (add("ext_grid", 10, vm_pu=1.03), "hold one bus, 10, at 1.02 and 1.03 pu"),
    "two angles at one bus": (add("ext_grid", 10, vm_pu=1.02, va_degree=5.0), "at 0 and 5 degrees; give them one"),
    "no bus but the slack's": (set_in("line", 0, in_service=False), "bus 10 is alone"),
    "the only external grid at a dead bus": (set_in("bus", 10, in_service=False), "feeds bus 10, which is not in"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_runpp_refuses_too_is_refused(name: str) -> None:
    net = small_net()
    change, message = REFUSED[name]
    change(net)
    with pytest.raises(nf.InputError, match=message):
        nf.Feeder.from_pandapower(net, strict=False)
    if "two" in name:
        with pytest.raises(UserWarning, match=r"different .*setpoints"):
            pp.runpp(net)


def test_commands_take_such_a_net_and_say_what_is_left_out(tmp_path: Path, capsys: Any) -> None:
    net, path = small_net(), tmp_path / "net.json"
    several(cut_off, standby)(net)
    pp.to_json(net, str(path))
    assert neomflex("feeder", "check", path, "--samples", "1") == 0
    told = "nothing connects bus 25 to an external grid"
    checked = " ".join(capsys.readouterr().out.split())
    assert told in checked
    assert "AGREES: 2 of 2 cases" in checked
    assert neomflex("scenario", "new", "--from", path, "--agents", "2", "--output", tmp_path / "task.toml") == 0
    assert told in " ".join(capsys.readouterr().out.split())
    assert nf.load_feeder(tmp_path / "task_feeder").bus_labels == (2, 4, 7, 10, 30)
