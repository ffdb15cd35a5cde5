"""Solutions behind the nose are told from those before it: by hand on one line, and with held voltages."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import jax
import numpy as np
import pandapower
import pytest
from pandapower_nets import add_transformer, set_in, small_net

import neomflex_jax as nf
from neomflex_jax.commands.feeder_text import verdict
from neomflex_jax.errors import InputError
from neomflex_jax.grid.build import build_feeder
from neomflex_jax.grid.columns import Held
from validation.referee import feeder_check


def line(**more: object) -> nf.Feeder:
    """Two buses 1 ohm apart at 10 kV."""
    columns = {"bus_labels": [1, 2], "vn_kv": [10, 10], "load_p_mw": [0, 10], "load_q_mvar": [0, 0]}
    return build_feeder(name="line", branches=[(1, 2)], r_ohm=[0.0], x_ohm=[1.0], **columns, **more)


@pytest.mark.parametrize(("share", "stable"), [(+1.0, True), (-1.0, False)])
def test_both_solutions_of_a_line_by_hand(share: float, stable: bool) -> None:
    """``v^4 - v^2 + (p x)^2 = 0``, with p x = 0.1 per unit."""
    v = np.sqrt(0.5 + share * np.sqrt(0.25 - 0.1**2))
    va = -np.arccos(v)  # the drop is at right angles to the load's voltage
    assert nf.on_stable_branch(line(), [1.0, v], np.rad2deg([0.0, va])) == stable


@pytest.mark.parametrize("held", [[], [Held(2, 1.0, 5.0)]])
def test_what_is_solved_is_stable_and_nan_is_not(held: list[Held]) -> None:
    feeder = line(held=held)
    with jax.enable_x64(True):
        flow = nf.power_flow(feeder, [[0.0, -10.0], [0.0, -20.0]], 0.0)
    vm_pu = np.asarray(flow.vm_pu).copy()
    vm_pu[1] = np.nan
    assert nf.on_stable_branch(feeder, vm_pu, flow.va_degree).tolist() == [True, False]


def test_an_angle_beyond_a_right_one_is_unstable() -> None:
    feeder = line(held=[Held(2, 1.0, 5.0)])
    assert nf.on_stable_branch(feeder, 1.0, [0.0, 80.0])
    assert not nf.on_stable_branch(feeder, 1.0, [0.0, 100.0])


def test_voltages_of_another_feeder_are_refused() -> None:
    with pytest.raises(InputError, match="n_bus = 2"):
        nf.on_stable_branch(line(), np.ones(3), 0.0)


def test_feeder_check_names_cases_on_no_stable_branch() -> None:
    """A solution that pandapower does not find, with the voltages of the lower root in its place."""
    low = np.sqrt(0.5 - np.sqrt(0.25 - 0.1**2))
    lower = SimpleNamespace(vm_pu=[[1.0, low]], va_degree=[[0.0, -np.rad2deg(np.arccos(low))]])
    assert feeder_check._by_branch(line(), lower, np.array([0])) == ((), (0,))
    assert feeder_check._by_branch(line(), lower, np.array([], int)) == ((), ())
    both = feeder_check.Answers(np.ones((2, 2)), *np.zeros((3, 2)))
    nominal = feeder_check.Answers(np.array([[1.0, 1.0], [np.nan, np.nan]]), *np.zeros((3, 2)))
    said = verdict(feeder_check.FeederCheck(line(), both, nominal, unstable=(1,)), 1e-6, "ac")
    assert "1 of these are on no stable branch" in said
    assert "the failure is ours and not pandapower's. The feeder cannot carry its loads there; look at units" in said
    assert "look at these voltages" not in said


def test_feeder_check_says_whose_failure_it_is_and_names_unlike_transformers_side_by_side(tmp_path: Path) -> None:
    """What converters make of a bank's single-phase regulators: `runpp` finds no solution, and there is one."""
    plate = {"vk_percent": 1e-3, "vkr_percent": 1e-5, "pfe_kw": 0.0, "i0_percent": 0.0}
    net, path = small_net(), tmp_path / "net.json"
    set_in("line", 0, length_km=300.0)(net)
    set_in("trafo", 0, **plate)(net)
    add_transformer(net, tap_pos=1, **plate)
    pandapower.to_json(net, str(path))
    check = feeder_check.check_feeder(nf.Feeder.from_pandapower(path), path, n_samples=0, method="newton")
    assert (check.stable, check.unstable) == ((0,), ())
    said = verdict(check, 1e-6, "newton")
    assert said.startswith(
        "DIFFERS: 0 of 1 cases solved by both\n1 of 1 cases have an answer here, and pandapower finds"
    )
    assert "1 of these are on the branch of solutions that begins without load" in said
    assert "the failure is pandapower's" in said
    assert "transformers side by side at 30-4 have unlike ratios" in said
