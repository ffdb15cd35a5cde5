"""What notebooks show of a feeder, a scenario, an environment and a power flow: numbers, a map, every name escaped."""

import dataclasses

import jax
import numpy as np
import pytest
from run_pages import Page

import neomflex_jax as nf
from neomflex_jax.grid.small_map import MOST_BUSES, small_map

EVIL = "<script>alert(1)</script>\"><img src=x onerror=y>'"


def read(shown: str) -> Page:
    """Read a cell; fails where a tag is open, or something loads or runs. Styles are our own."""
    page = Page(shown.replace(" style=", " data-style="))
    assert not page.open and not page.scripts and not page.loads
    return page


@pytest.fixture(scope="module")
def feeder():
    return nf.load_feeder("case33bw")


def test_a_feeder_is_a_map_and_its_sizes_with_its_name_escaped(feeder):
    shown = dataclasses.replace(feeder, name=EVIL)._repr_html_()
    text = read(shown).text
    assert EVIL in text and "32 of 37" in text and "3.715, 2.3" in text
    assert shown.count("<circle") == 33 and shown.count("<line") == 37
    assert shown.count("stroke-dasharray") == 5  # its open ties


def test_a_feeder_with_phases_is_a_table_with_its_name_escaped():
    text = read(dataclasses.replace(nf.load_feeder("ieee13"), name=EVIL)._repr_html_()).text
    assert EVIL in text and "41" in text and "3.466, 2.102" in text  # IEEE 13's published total load


def test_a_large_feeder_has_no_map():
    n = MOST_BUSES + 1
    topology = dataclasses.replace(nf.load_feeder("case33bw").topology, n_bus=n)
    assert small_map(topology, [""] * n) is None


def test_scenario_and_environment_show_agents_with_every_name_escaped():
    scenario = nf.load_scenario("neom33")
    evil = dataclasses.replace(scenario, name=EVIL, description=EVIL)
    text = read(evil._repr_html_()).text
    assert text.count(EVIL) == 2 and "7, 14" in text  # agent_2's batteries
    env = dataclasses.replace(nf.make("neom33", power_flow="lindistflow"), scenario=evil)
    shown = nf.AutoReset(env)._repr_html_()
    page = read(shown)
    assert shown.count("<circle") == 33 and shown.count("#E69F00") == 13  # agent_2's buses
    assert page.text.count("agent_2") == 1 + 13 and EVIL in page.text  # its row and its buses
    assert "lindistflow" in page.text and str(env.observation_mask[1].sum()) in page.text


def test_a_power_flow_shows_what_came_out_and_whether_it_converged(feeder):
    p_mw = -np.stack([feeder.load_p_mw, 0.5 * feeder.load_p_mw])
    q_mvar = -np.stack([feeder.load_q_mvar, 0.5 * feeder.load_q_mvar])
    flow = nf.power_flow(feeder, p_mw, q_mvar, method="ac")
    text = read(flow._repr_html_()).text
    assert "2 of 2" in text and "0.9131 to 1.0000" in text and "0.2027" in text
    one = read(jax.tree.map(lambda leaf: leaf[0], flow)._repr_html_()).text
    assert "one case" in one and "1 of 1" in one
    some = read(dataclasses.replace(flow, converged=None, branch_loading_percent=flow.vm_pu[:, :0])._repr_html_()).text
    assert "voltages" in some and "converged" not in some and "loading, %none" in "".join(some.split("\n"))
