"""Limits of generators' reactive power: pandapower's answers, sides, counts, derivatives, and what is refused."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pandapower as pp
import pytest

import neomflex_jax as nf
from neomflex_jax.errors import InputError
from neomflex_jax.grid.build import build_feeder
from neomflex_jax.grid.columns import Held
from neomflex_jax.grid.fingerprint import feeder_hash
from neomflex_jax.grid.to_csv import write_feeder

FACTORS = np.array([0.0, 0.2, 0.6, 1.0, 1.6])  # from a generator that takes up to two that deliver all they can


def chain(*limits: tuple[float, float]) -> Any:
    """Five buses in a row, generators at the third and the last."""
    net = pp.create_empty_network(sn_mva=1)
    buses = [pp.create_bus(net, 20.0) for _ in range(5)]
    pp.create_ext_grid(net, buses[0])
    for start, end in pairwise(buses):
        pp.create_line_from_parameters(net, start, end, 1.0, 1.0, 1.5, 300, 10)
        pp.create_load(net, end, 2.0, 1.0)
    for bus, (low, high) in zip((2, 4), limits, strict=True):
        pp.create_gen(net, bus, p_mw=1.0, vm_pu=1.0, min_q_mvar=low, max_q_mvar=high)
    return net


CASES = {
    "upper, one after the other": ((-5.0, 0.5), (-5.0, 4.0)),
    "both sides": ((-0.1, 0.5), (-0.1, 2.5)),
    "one without a limit": ((-0.1, 1.0), (np.nan, np.nan)),
    "never reached": ((-50.0, 50.0), (-50.0, 50.0)),
}


@pytest.fixture(scope="module")
def nets() -> dict[str, Any]:
    return {name: chain(*limits) for name, limits in CASES.items()}


@pytest.mark.parametrize(
    ("name", "method"),
    [
        *((name, "ac") for name in CASES),
        ("both sides", "newton"),
        *(pytest.param(name, "newton", marks=pytest.mark.slow) for name in CASES if name != "both sides"),
    ],
)
def test_generators_keep_their_limits_as_in_pandapower(name: str, method: str, nets: dict[str, Any]) -> None:
    net = nets[name]
    feeder = nf.Feeder.from_pandapower(net)
    p, q = (-FACTORS[:, None] * load for load in (feeder.load_p_mw, feeder.load_q_mvar))
    with jax.enable_x64(True):
        flow = jax.tree.map(np.asarray, nf.power_flow(feeder, p, q, method, enforce_q_lims=True))
    assert flow.converged.all()
    assert flow.residual_mva.max() < 1e-9
    assert flow.held_p_mw == pytest.approx(1.0), "a generator gives its p, at a limit or not"
    order = np.argsort(net.gen["bus"].to_numpy())
    nominal = net.load[["p_mw", "q_mvar"]].copy()
    counts = set()
    for case, factor in enumerate(FACTORS):
        net.load[["p_mw", "q_mvar"]] = factor * nominal
        pp.runpp(net, enforce_q_lims=True, tolerance_mva=1e-10)
        assert flow.vm_pu[case] == pytest.approx(net.res_bus["vm_pu"].to_numpy(), abs=1e-8)
        found = net.res_gen["q_mvar"].to_numpy()[order]
        # where there is no limit pandapower takes 1e9 Mvar, which rounds
        assert flow.held_q_mvar[case] == pytest.approx(found, abs=1e-6 if name == "one without a limit" else 1e-7)
        low, high = (net.gen[column].to_numpy()[order] for column in ("min_q_mvar", "max_q_mvar"))
        assert flow.held_at_limit[case].tolist() == (1 * (found == high) - 1 * (found == low)).tolist()
        counts |= set(flow.held_at_limit[case].tolist())
    net.load[["p_mw", "q_mvar"]] = nominal
    assert counts == {"both sides": {-1, 0, 1}, "never reached": {0}}.get(name, counts | {0, 1})


def test_limits_are_kept_only_where_asked_for(nets: dict[str, Any]) -> None:
    feeder = nf.Feeder.from_pandapower(nets["both sides"])
    flow = nf.nominal_power_flow(feeder)
    assert flow.held_at_limit is None
    assert np.asarray(flow.vm_pu)[[2, 4]] == pytest.approx(1.0, abs=1e-5)
    kept = nf.nominal_power_flow(feeder, enforce_q_lims=True)
    assert kept.held_at_limit is not None
    assert np.asarray(kept.held_q_mvar) == pytest.approx([0.5, 2.5], abs=1e-4)


def test_derivatives_with_a_generator_at_its_limit_are_differences(nets: dict[str, Any]) -> None:
    feeder = nf.Feeder.from_pandapower(nets["one without a limit"])
    with jax.enable_x64(True):
        solver = nf.bind(feeder, enforce_q_lims=True)
        q, direction = -jnp.asarray(feeder.load_q_mvar), jnp.linspace(0.5, 1.0, feeder.n_bus)

        def total(p: jax.Array) -> tuple[jax.Array, jax.Array]:
            flow = solver(p, q)
            return jnp.sum(flow.vm_pu**2) + flow.loss_mw + flow.slack_q_mvar, flow.held_at_limit

        at = -jnp.asarray(feeder.load_p_mw) + jnp.array([0.0, 1e-5, -1e-5])[:, None] * direction
        (values, at_limit), slopes = jax.jit(jax.vmap(jax.value_and_grad(total, has_aux=True)))(at)
        assert at_limit[0].tolist() == [1, 0]
        slope, difference = slopes[0] @ direction, (values[1] - values[2]) / 2e-5
    assert float(slope) == pytest.approx(float(difference), rel=1e-6)


def test_surrogates_keep_no_limits(nets: dict[str, Any]) -> None:
    feeder = nf.Feeder.from_pandapower(nets["both sides"])
    with pytest.raises(InputError, match="has limits of generators' reactive power to keep, and 'lindistflow' knows"):
        nf.bind(feeder, "lindistflow", enforce_q_lims=True)


def test_loads_that_follow_the_voltage_beside_such_a_generator_are_refused() -> None:
    net = chain(*CASES["both sides"])
    net.load["const_z_p_percent"] = 50.0
    feeder = nf.Feeder.from_pandapower(net)
    assert nf.nominal_power_flow(feeder).converged
    with pytest.raises(InputError, match="loads at bus 2 follow the voltage, and so would the generator"):
        nf.nominal_power_flow(feeder, enforce_q_lims=True)


def test_limits_are_a_part_of_a_folder(nets: dict[str, Any], tmp_path: Any) -> None:
    feeder = nf.Feeder.from_pandapower(nets["one without a limit"])
    folder = write_feeder(feeder, tmp_path / "feeder")
    rows = (folder / "held_voltages.csv").read_text("utf-8").splitlines()
    assert rows == ["bus,vm_pu,p_mw,va_degree,q_min_mvar,q_max_mvar", "2,1.0,1.0,,-0.1,1.0", "4,1.0,1.0,,,"]
    assert feeder_hash(nf.load_feeder(folder)) == feeder_hash(feeder)


def test_limits_in_the_wrong_order_are_refused() -> None:
    with pytest.raises(InputError, match=r"q_min_mvar = 1\.0 and q_max_mvar = -1\.0"):
        build_feeder(
            name="two",
            bus_labels=[1, 2],
            vn_kv=[20, 20],
            load_p_mw=[0, 1],
            load_q_mvar=[0, 0.2],
            branches=[(1, 2)],
            r_ohm=[0.5],
            x_ohm=[1.0],
            held=[Held(2, 1.0, q_min_mvar=1.0, q_max_mvar=-1.0)],
        )
