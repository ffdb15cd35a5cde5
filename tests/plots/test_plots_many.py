"""Figures of 3, 36 and 200 batteries, runs or agents: what all span and a few by name, nothing cut, nothing covered."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from radial_trees import binary, radial_feeder

from neomflex_jax.commands.plot import CURVES, PlotCommand
from neomflex_jax.devices import PvInverter
from neomflex_jax.errors import InputError
from neomflex_jax.plots import FIGURES, draw_figure
from neomflex_jax.plots.curves import draw as draw_curves
from neomflex_jax.plots.many import MOST_LINES
from neomflex_jax.plots.territories import draw_territories
from neomflex_jax.scenario import Scenario
from neomflex_jax.scenario.parts import Territory

SIZES = (3, 36, 200)
MOST_ENTRIES = MOST_LINES + 3  # solar, demand and the rest of the runs stand beside the lines
N_STEPS = 8
COLUMNS = {"soc": ("battery_soc", ""), "dispatch": ("battery_power", "_mw"), "reactive-power": ("pv", "_q_mvar")}
LONG = "a_name_that_somebody_found_telling_" * 4


def table(run: str, n_devices: int, seed: int) -> pd.DataFrame:
    """One day of random numbers."""
    random = np.random.default_rng(seed)
    columns = {
        "run": run,
        "day": 0,
        "step": np.arange(N_STEPS),
        "load_factor": 0.5,
        "price_per_mwh": random.uniform(20.0, 60.0, N_STEPS),
        "solar_factor": 0.5,
        "losses_mw": 0.1,
        "voltage_min_pu": 0.95,
        "voltage_max_pu": 1.05,
        "voltage_mean_pu": 1.0,
        "voltage_violations": 0,
        "buses_outside_band": 1,
        "reward_east": -random.uniform(1.0, 2.0, N_STEPS) * (1 + seed),
        "voltage_bus_1_pu": 1.0,
        "loading_branch_0-1_percent": 40.0,
        "vuf_max_percent": 1.0,
        "vuf_mean_percent": 0.5,
        "tap_bus_1_position": -2.0,
        "terminated_early": False,
        "converged": True,
        "step_hours": 3.0,
    }
    for bus in range(n_devices):
        columns[f"battery_soc_bus_{bus}"] = random.uniform(0.4, 1.8, N_STEPS)
        columns[f"battery_power_bus_{bus}_mw"] = random.uniform(-0.5, 0.5, N_STEPS)
        columns[f"pv_bus_{bus}_q_mvar"] = random.uniform(-1.0, 1.0, N_STEPS)
    return pd.DataFrame(columns)


def check_legend(figure: Figure, most: int = MOST_ENTRIES) -> list[str]:
    """Hold that the legend lies inside the figure and over nothing; gives its entries."""
    FigureCanvasAgg(figure).draw()
    (legend,) = figure.legends
    box, page = legend.get_window_extent(), figure.bbox
    assert page.x0 <= box.x0 and box.x1 <= page.x1 and page.y0 <= box.y0 and box.y1 <= page.y1, "the legend is cut"
    for axes in figure.axes:
        assert not box.overlaps(axes.bbox)
        for title in (axes.title, axes._left_title, axes._right_title):
            assert not title.get_text() or not title.get_window_extent().overlaps(box), "a title over the legend"
            assert not title.get_text() or title.get_window_extent().x1 <= page.x1, "the title is cut"
    entries = [text.get_text() for text in legend.get_texts()]
    assert len(entries) <= most
    return entries


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("name", COLUMNS)
def test_of_many_devices_the_band_and_the_extremes_are_drawn(name: str, n: int) -> None:
    steps = table("controlled", n, 0)
    figure = draw_figure(name, steps, "controlled", [0])
    entries = check_legend(figure)
    if n == 3:
        assert len([each for each in entries if "at bus" in each]) == 3
        return
    prefix, suffix = COLUMNS[name]
    values = steps[[each for each in steps if each.startswith(prefix) and each.endswith(suffix)]].to_numpy()
    band = next(each for each in figure.axes[0].collections if str(each.get_label()).startswith(f"all {n} "))
    heights = band.get_paths()[0].vertices[:, 1]
    assert (heights.min(), heights.max()) == (values.min(), values.max())
    named = {
        float(x) for line in figure.axes[0].get_lines() if "at bus" in str(line.get_label()) for x in line.get_ydata()
    }
    assert {values.min(), values.max()} <= named, "the series with the extreme values are named"


@pytest.mark.parametrize("n", SIZES)
def test_of_many_runs_a_few_are_named(n: int) -> None:
    steps = pd.concat([table(f"{LONG}{index}", 1, index) for index in range(n)])
    entries = check_legend(draw_figure("comparison", steps, f"{LONG}2"))
    assert n == 3 or entries[0] == f"{n - 4} further runs"
    ticks = draw_figure("comparison", steps, f"{LONG}2").axes[0].get_xticks()
    assert all(tick == round(tick) for tick in ticks), "a day is a whole number, also where there is one alone"
    where = np.arange(4.0)
    runs = {f"{LONG}{index}": [(where, 10.0 + index - where)] * 2 for index in range(n)}
    entries = check_legend(draw_curves(runs))
    assert n == 3 or entries[0] == f"{n - 4} further runs"


@pytest.mark.parametrize("n", SIZES)
def test_territories_of_many_agents(n: int) -> None:
    feeder = radial_feeder(binary(n, np.random.default_rng(0)), 0)
    buses = [bus for bus in feeder.bus_labels if bus != feeder.bus_labels[feeder.topology.slack]][:n]
    scenario = Scenario(
        name="many",
        feeder="case33bw",
        territories=tuple(Territory(f"agent_{bus}", (bus,)) for bus in buses),
        pv_inverters=tuple(PvInverter(bus, 1.0, 1.0) for bus in buses),
    )
    check_legend(draw_territories(scenario, feeder), most=40)


def test_a_figure_that_is_unknown_gets_the_names_that_work(tmp_path: pytest.TempPathFactory) -> None:
    known = "bus, comparison, curves, device, dispatch, distance, loading, map, positions, price, reactive-power, soc, "
    with pytest.raises(InputError, match=f"known: {known}unbalance, voltage"):
        PlotCommand("curve", ()).execute(0.0)
    with pytest.raises(InputError) as refused:
        draw_figure(CURVES, table("controlled", 1, 0))
    assert CURVES not in str(refused.value).partition("known:")[2]
    for name in FIGURES:
        draw_figure(name, table("controlled", 1, 0))
