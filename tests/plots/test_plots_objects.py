"""Figures of a feeder, a scenario and a comparison of methods, from `nf.plots`, in one call each."""

import matplotlib.figure
import numpy as np
import pytest

import neomflex_jax as nf


def test_a_feeder_is_drawn_at_nominal_load_or_with_voltages_given(tmp_path):
    feeder = nf.load_feeder("case33bw")
    for vm_pu, lowest in ((None, 0.9131), (np.linspace(0.95, 1.0, 33), 0.95)):
        figure = nf.plots.draw_feeder(feeder, vm_pu)
        assert isinstance(figure, matplotlib.figure.Figure)
        dots = next(each for each in figure.axes[0].collections if each.get_array() is not None)
        assert dots.get_array().min() == pytest.approx(lowest, abs=1e-4)
    nf.plots.save(figure, tmp_path / "feeder.svg")
    assert (tmp_path / "feeder.svg").stat().st_size > 1000


def test_a_scenario_is_drawn_with_a_colour_an_agent():
    figure = nf.plots.draw_territories(nf.load_scenario("neom33"))
    names = {
        text.get_text() for legend in (figure.axes[0].get_legend(), *figure.legends) if legend for text in legend.texts
    }
    assert {"agent_1", "agent_2", "agent_3"} <= names


def test_territories_with_phases_have_no_loop_where_each_phase_has_a_branch_of_its_own():
    figure = nf.plots.draw_territories(nf.load_scenario("ieee123"))
    said = {text.get_text() for text in figure.legends[0].texts}
    assert {"agent_9", "battery", "in service"} <= said and "closes a loop" not in said


def test_what_there_is_is_documented():
    for name in set(nf.plots.__all__) - {"FIGURES"}:
        assert len(getattr(nf.plots, name).__doc__.splitlines()) > 3, name


def test_a_feeder_with_phases_is_refused_where_a_balanced_one_is_drawn_or_fitted():
    feeder = nf.load_feeder("ieee13")
    uses = {
        "a drawing of the tree": nf.plots.draw_feeder,
        "a calibrated power flow": lambda feeder: nf.calibrate(feeder, [[0.0]], [[0.0]]),
    }
    for what, use in uses.items():
        with pytest.raises(nf.InputError, match=f"'ieee13' has phases, and {what} is of balanced feeders alone"):
            use(feeder)
