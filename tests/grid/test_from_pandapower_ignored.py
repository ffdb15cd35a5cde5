"""What a net states and no power flow reads is told, and numbers that a conversion makes are not blamed on the user."""

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
from pandapower_nets import add, convert, fresh_bus, set_in, several, small_net

import neomflex_jax as nf
from neomflex_jax.environment.make import warn_of_own_generation

IGNORED: dict[str, tuple[Callable[[Any], Any], str]] = {
    "a tap of no kind": (
        set_in("trafo", tap_changer_type=None, tap_pos=-2),
        "= -2 and no tap_changer_type",
    ),
    "a tap of no side": (set_in("trafo", tap_side=None, tap_pos=-2), "net.trafo 0 .*no tap_side"),
    "a tap without neutral": (set_in("trafo", tap_neutral=np.nan), "no tap_neutral"),
    "a tap without a step": (set_in("trafo", tap_step_percent=np.nan, tap_pos=-2), "no tap_step_percent"),
    "a tap beyond its last": (set_in("trafo", tap_pos=9, tap_max=5, tap_min=-5), "tap_pos = 9 beyond its tap_min"),
    "a second tap": (
        set_in("trafo", tap2_pos=2.0, tap2_neutral=0.0, tap2_step_percent=1.0, tap2_side="hv"),
        "tap2_pos = 2 and no tap2_changer_type",
    ),
    "a no-load current below 0": (set_in("trafo", i0_percent=-0.9), "i0_percent = -0.9, whose sign is not read"),
    "a load at a dead bus": (
        several(fresh_bus(60), add("load", 60, 0.1), set_in("bus", 60, in_service=False)),
        "net.load 4 is in service at bus 60, which is not",
    ),
    "options": (
        lambda net: net.user_pf_options.update(trafo_model="pi"),
        r"_options \(trafo_model\) is not read",
    ),
}


@pytest.mark.parametrize("name", IGNORED)
def test_what_pandapower_leaves_out_is_named(name: str) -> None:
    net = small_net()
    change, message = IGNORED[name]
    change(net)
    with pytest.warns(UserWarning, match=message) as caught:
        convert(net)
    assert len(caught) == 1


def test_a_net_that_states_nothing_in_vain_is_converted_without_a_word() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        convert(small_net())


def test_many_of_them_are_one_warning_that_counts() -> None:
    net = small_net()
    fresh_bus(60)(net)
    for _ in range(50):
        pp.create_load(net, 60, 0.1)
    set_in("bus", 60, in_service=False)(net)
    with pytest.warns(UserWarning, match="and 46 more like these") as caught:
        convert(net)
    assert len(caught) == 1


def difference_pu(net: Any) -> float:
    """Largest difference between our voltages and those of `runpp`."""
    pp.runpp(net, init="flat", tolerance_mva=1e-9)
    feeder = convert(net)
    flow = nf.power_flow(feeder, -feeder.load_p_mw, -feeder.load_q_mvar)
    assert flow.converged
    return float(np.abs(np.asarray(flow.vm_pu) - net.res_bus.vm_pu.loc[list(feeder.bus_labels)]).max())


@pytest.mark.parametrize("plate", [{"vkr_percent": 4.0, "vk_percent": 4.0}, {"vkr_percent": 0.0, "vk_percent": 4.0}])
def test_a_transformer_without_reactance_or_resistance_is_what_pandapower_solves(plate: dict[str, float]) -> None:
    """The pi form of its T has a little below 0 of what it lacks."""
    net = small_net()
    set_in("trafo", i0_percent=1.2, pfe_kw=1.0, shift_degree=0.0, **plate)(net)
    assert difference_pu(net) < 1e-6


def test_an_index_of_floats_numbers_the_rows() -> None:
    net = small_net()
    expected = convert(net)
    for table in ("bus", "line", "load", "trafo", "ext_grid"):
        net[table].index = net[table].index.astype(float)
    net.line["from_bus"] = net.line["from_bus"].astype(float)
    feeder = convert(net)
    assert feeder.bus_labels == expected.bus_labels
    np.testing.assert_array_equal(feeder.load_p_mw, expected.load_p_mw)


def test_the_advice_for_buses_of_words_makes_a_net_that_is_read() -> None:
    net = small_net()
    words = {bus: f"bus {bus}" for bus in net.bus.index}
    net.bus.index = net.bus.index.map(words)
    for table, columns in {"line": ("from_bus", "to_bus"), "trafo": ("hv_bus", "lv_bus"), "load": ("bus",)}.items():
        for column in columns:
            net[table][column] = net[table][column].map(words)
    net.ext_grid["bus"] = net.ext_grid["bus"].map(words)
    with pytest.raises(nf.InputError, match="create_continuous_bus_index"):
        convert(net)
    pp.toolbox.create_continuous_bus_index(net)
    assert convert(net).n_bus == 6


def test_a_nets_own_generators_are_told_wherever_a_scenario_is_made_of_it(tmp_path: Path, capsys: Any) -> None:
    """Generators of no stated source follow the sun, storages stay as they are: neither follows the demand."""
    net, path = small_net(), tmp_path / "net.json"
    for p_mw in (0.04, 0.02):
        pp.create_sgen(net, 25, p_mw)
    pp.create_storage(net, 7, -0.01, 0.1)
    pp.to_json(net, str(path))
    told = (
        r"static generator 0, static generator 1 \(0.06 MW\) following Solar and "
        r"storage 0 \(0.01 MW\) at nominal power day and night"
    )
    assert neomflex("scenario", "new", "--from", path, "--agents", "2", "--output", tmp_path / "task.toml") == 0
    assert re.search(told, " ".join(capsys.readouterr().out.split()))
    with pytest.warns(UserWarning, match=told):
        nf.make(str(tmp_path / "task.toml"), power_flow="dc")  # from the folder that was written
    with pytest.warns(UserWarning, match=told):
        nf.make(str(tmp_path / "task.toml"), power_flow="dc", feeder=str(path))


def test_buses_of_a_folder_that_produce_are_told(feeder_folder: Callable[..., Path]) -> None:
    folder = feeder_folder("bus,vn_kv,p_mw,q_mvar\n10,12.66,0,0\n20,12.66,0.5,0.2\n30,12.66,-0.4,0\n40,12.66,0.3,0\n")
    with pytest.warns(UserWarning, match=r"day and night: net generation at bus 30 \(0.4 MW\)"):
        warn_of_own_generation(nf.load_feeder(folder))
