"""Each case's own taps and capacitors on one factorisation, against feeders that are bound anew, and OpenDSS."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import neomflex_jax as nf
from neomflex_jax import Setting

CIRCUITS = Path(__file__).parent / "circuits"
# a current is as sharp as its conductor's admittance, 1e7 siemens of a closed switch, lets the voltages be
FIELDS = {"loss_mw": 1e-8, "slack_q_mvar": 1e-8, "vuf_percent": 1e-9, "branch_i_ka": 1e-7, "residual_mva": 1e-9}


def complex_voltages(flow: nf.PowerFlowResult) -> np.ndarray:
    return np.asarray(flow.vm_pu) * np.exp(1j * np.deg2rad(np.asarray(flow.va_degree)))


def regulators(feeder: nf.UnbalancedFeeder) -> list[tuple[str, int]]:
    return [(name, winding) for name, winding in feeder.taps if ".reg" in name and winding == 2]


def capacitors(feeder: nf.UnbalancedFeeder) -> list[str]:
    return [element.name for element in feeder.elements if element.kind == "capacitor"]


def at(feeder: nf.UnbalancedFeeder, taps: dict[tuple[str, int], float], steps: dict[str, int]) -> nf.UnbalancedFeeder:
    return feeder.with_taps(taps).with_steps(steps)


def check(
    feeder: nf.UnbalancedFeeder, windings: list[tuple[str, int]], n_cases: int, afloat: tuple[str, ...] = ()
) -> None:
    """Compare random taps over the whole range and random steps with the feeder at these.

    Voltages to ground at the buses `afloat`, which a millionth of a winding's admittance grounds, hang on the last
    digits of that admittance, which another tap rounds anew.
    """
    firm = np.array([bus not in afloat for bus in feeder.nodes.bus])
    banks, draws = capacitors(feeder), np.random.default_rng(0)
    limits = {(e.name, k): (w.min_tap, w.max_tap) for e in feeder.elements for k, w in enumerate(e.windings, 1)}
    lower, upper = np.array([limits[key] for key in windings]).T
    taps = draws.uniform(lower, upper, (n_cases, len(windings)))
    steps = draws.integers(0, 2, (n_cases, len(banks))).astype(float)
    factors = draws.uniform(0.3, 1.3, (n_cases, feeder.n_load))
    p, q = factors * feeder.load_p_mw, factors * feeder.load_q_mvar
    solver = nf.bind(feeder, taps=windings, capacitors=banks)
    flow = solver.solve(p, q, setting=Setting(tap_ratio=taps, capacitor_share=steps if banks else None))
    assert flow.converged.all()
    for case in range(n_cases):
        own = dict(zip(windings, taps[case].tolist(), strict=True))
        anew = at(feeder, own, dict(zip(banks, map(int, steps[case]), strict=True)))
        expected = nf.bind(anew).solve(p[case], q[case])
        off = np.abs(complex_voltages(flow)[case] - complex_voltages(expected))
        assert off[firm].max() < 1e-11 and off.max() < 1e-4
        for name, atol in FIELDS.items():
            found, wanted = getattr(flow, name)[case], getattr(expected, name)
            np.testing.assert_allclose(found, wanted, rtol=0, atol=atol, err_msg=name)


def test_they_are_those_of_the_feeder_bound_anew() -> None:
    with jax.enable_x64(True):
        feeder = nf.load_feeder("ieee13")
        check(feeder, regulators(feeder), 3)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ieee34", "ieee123"])
def test_on_the_others_too(name: str) -> None:
    with jax.enable_x64(True):
        feeder = nf.load_feeder(name)
        check(feeder, regulators(feeder), 5)


@pytest.mark.slow
def test_every_connection_of_windings_has_taps() -> None:
    pytest.importorskip("opendssdirect", reason="OpenDSS is not installed (extra opendss)")
    with jax.enable_x64(True):
        feeder = nf.Feeder.from_opendss(CIRCUITS / "transformers.dss")
        check(feeder, list(feeder.taps), 5, afloat=("yd", "dd", "ungrounded", "low"))


@pytest.mark.slow
def test_single_precision_has_them_over_the_whole_range() -> None:
    feeder = nf.load_feeder("ieee123")
    windings, n_cases = regulators(feeder), 16
    taps = np.random.default_rng(1).choice([0.9, 1.1], (n_cases, len(windings)))
    loads = [np.tile(values, (n_cases, 1)) for values in (feeder.load_p_mw, feeder.load_q_mvar)]
    flow = nf.bind(feeder, taps=windings).solve(*loads, setting=Setting(tap_ratio=taps))
    with jax.enable_x64(True):
        exact = nf.bind(feeder, taps=windings).solve(*loads, setting=Setting(tap_ratio=taps))
    np.testing.assert_allclose(flow.vm_pu, exact.vm_pu, atol=2e-6)


def test_derivatives_by_taps_and_capacitors_are_difference_quotients() -> None:
    with jax.enable_x64(True):
        feeder = nf.load_feeder("ieee13")
        solver = nf.bind(feeder, taps=regulators(feeder), capacitors=capacitors(feeder))
        p, q = jnp.asarray(feeder.load_p_mw), jnp.asarray(feeder.load_q_mvar)
        traced = []

        @jax.jit
        def total(values: jax.Array) -> jax.Array:
            traced.append(1)
            return jnp.sum(solver(p, q, setting=Setting(tap_ratio=values[:3], capacitor_share=values[3:])).vm_pu ** 2)

        at = jnp.array([1.05, 0.95, 1.0375, 1.0, 0.5])
        slope = jax.jit(jax.grad(total))(at)
        for place, step in enumerate(1e-5 * jnp.eye(5)):
            expected = (total(at + step) - total(at - step)) / 2e-5
            np.testing.assert_allclose(slope[place], expected, rtol=1e-6, atol=1e-8)
        along = jnp.array([1.0, 0.5, -1.0, 0.3, 0.1])
        forward = jax.jit(lambda values: jax.jvp(total, (values,), (along,))[1])(at)
        np.testing.assert_allclose(forward, slope @ along, rtol=1e-9)
        jax.vmap(total)(jnp.stack([at, at + 0.01]))
        assert len(traced) == 1


def test_what_cannot_be_set_is_named() -> None:
    feeder = nf.load_feeder("ieee13")
    p, q = feeder.load_p_mw, feeder.load_q_mvar
    solver = nf.bind(feeder, taps=[("transformer.reg1", 2)], capacitors=["capacitor.cap1"])
    for setting, said in (
        (Setting(tap_ratio=jnp.array([1.2])), r"transformer\.reg1, winding 2: 1\.2 is outside of 0\.9 to 1\.1"),
        (Setting(capacitor_share=jnp.array([jnp.nan])), r"capacitor\.cap1: nan is outside of 0 to 1"),
        (Setting(tap_ratio=jnp.ones(2)), r"tap_ratio has shape \(2,\); expected \(1,\)"),
        (Setting(shunt_mvar=jnp.ones(41)), "shunt_mvar, which feeders with phases do not take"),
    ):
        with pytest.raises(nf.InputError, match=said):
            solver.solve(p, q, setting=setting)
    with pytest.raises(nf.InputError, match=r"none was bound; bind with taps"):
        nf.bind(feeder).solve(p, q, setting=Setting(tap_ratio=jnp.ones(1)))
    with pytest.raises(nf.InputError, match=r"Did you mean 'transformer\.reg1 2'"):
        nf.bind(feeder, taps=[("transformer.reg1", 3)])
    with pytest.raises(nf.InputError, match=r"unknown capacitor 'capacitor\.cap3'"):
        nf.bind(feeder, capacitors=["capacitor.cap3"])
    with pytest.raises(nf.InputError, match="named twice"):
        nf.bind(feeder, capacitors=["capacitor.cap1"] * 2)
    with pytest.raises(nf.InputError, match="steps = 2 must be"):
        feeder.with_steps({"capacitor.cap1": 2})
    with pytest.raises(nf.InputError, match="on a balanced one each case has shunt_mvar"):
        nf.bind(nf.load_feeder("case33bw"), capacitors=["capacitor.cap1"])
