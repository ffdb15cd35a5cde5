"""A user's own net from `train` to a verdict: whatever its grid has, all at once, by the commands."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandapower
import pandas as pd
import pytest
from command_line import neomflex
from pandapower_nets import three_winding_net

import neomflex_jax as nf
from neomflex_jax.evaluation import Trajectory
from neomflex_jax.grid.to_csv import write_feeder
from validation.report.stored_report import read_report

SCENARIO = """name = "own_net"
feeder = "{folder}/feeder"
profiles = "{folder}/days.csv"
evaluation_profiles = "{folder}/days.csv"
power_flow = "{method}"
steps_per_day = 8
step_hours = 3.0
enforce_q_lims = {limits}
territories = [{{ agent = "west", buses = [0, 1] }}, {{ agent = "east", buses = [2, 3] }}]
batteries = [{{ bus = 3, capacity_mwh = 8.0, power_mw = 2.0 }}]
pv_inverters = [{{ bus = 1, p_max_mw = 5.0, s_mva = 5.5 }}, {{ bus = 2, p_max_mw = 15.0, s_mva = 16.0 }}]
tap_changers = [{{ bus = 3, from_bus = 2, to_bus = 3, steps = 4, step_percent = 1.0 }}]
[loading]
loading_soft_percent = 40.0
loading_hard_percent = 110.0
loading_observed = true
[loading.branch_limits]
"0-1" = 95.0
"""


def with_limits_and_loads_that_follow(net: Any) -> None:
    net.gen["min_q_mvar"], net.gen["max_q_mvar"] = -1.0, 2.0
    elsewhere = net.load["bus"] != 1  # at the generator's own bus loads are constant power
    net.load["const_z_p_percent"], net.load["const_i_q_percent"] = 40.0 * elsewhere, 60.0 * elsewhere


@pytest.mark.slow
@pytest.mark.parametrize(("change", "method"), [(None, "ac"), (with_limits_and_loads_that_follow, "newton")])
def test_loadings_taps_and_a_generator_together(
    change: Callable[[Any], None] | None, method: str, tmp_path: Path, three_days: Path
) -> None:
    net = three_winding_net()
    net.line["c_nf_per_km"] = 0.0  # a tap changer makes a transformer of it
    pandapower.create_gen(net, 1, 4.0, 1.0)
    if change is not None:
        change(net)
    write_feeder(nf.Feeder.from_pandapower(net), tmp_path / "feeder")
    (tmp_path / "days.csv").write_text("\n".join(three_days.read_text().splitlines()[: 1 + 3 * 8]) + "\n")
    path = tmp_path / "own.toml"
    limits = "false" if change is None else "true"
    path.write_text(SCENARIO.format(folder=tmp_path, method=method, limits=limits), encoding="utf-8")
    run, days, verdict = (tmp_path / name for name in ("run", "days", "verdict"))
    small = ("--gradient.n-copies", 4, "--gradient.warmup-steps", 8, "--gradient.hidden-sizes", 16)
    steps = ("--total-steps", 1500)
    assert neomflex("train", "--scenario", path, "--algorithm", "gradient", *small, *steps, "--output", run) == 0
    assert neomflex("evaluate", "--policies", run, "--baseline", "--output", days) == 0
    assert neomflex("validate", "--policies", run, "--output", verdict) == 0
    report = read_report(verdict)
    assert report.verdict == "PASS" and report.runs[0].loading_violations == 0
    table = pd.read_csv(days / "step_metrics.csv")
    assert table["loading_max_percent"].max() > 40 and table["branches_above_soft_limit"].sum() > 0
    assert {"loading_branch_0-1_percent", "loading_branch_1-2_percent", "loading_branch_2-0_percent"} <= set(table)
    played = Trajectory.load(days / "trajectory_controlled.npz")
    assert played.held_q_mvar is not None and np.ptp(played.held_q_mvar) > 0.1
    if change is not None:
        assert np.abs(played.held_at_limit).sum() > 0
