"""PV inverters: circle, priorities, curtailment and export limit for every request, and what their fields may be."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import neomflex_jax as nf
from neomflex_jax.devices import PvInverter, deliver_pv_power, export_room_mw

SIZE = 64
PROPERTY = settings(max_examples=40)


def numbers(low: float, high: float) -> st.SearchStrategy[np.ndarray]:
    """Give arrays of float32 numbers, the ends included; processors take subnormal ones for zero."""
    return arrays(np.float32, SIZE, elements=st.floats(low, high, width=32, allow_subnormal=False))


@PROPERTY
@given(
    fraction=numbers(-1.0, 1.0),
    solar=numbers(0.0, 1.1875),
    p_max=numbers(0.125, 4.0),
    s=numbers(0.125, 4.0),
)
def test_an_inverter_stays_inside_its_circle(
    fraction: np.ndarray, solar: np.ndarray, p_max: np.ndarray, s: np.ndarray
) -> None:
    p, q = (np.asarray(value, np.float64) for value in deliver_pv_power(fraction, solar, p_max_mw=p_max, s_mva=s))
    assert (np.hypot(p, q) <= s * (1 + 1e-6)).all()
    assert (p >= 0).all()
    assert (p <= solar * p_max * (1 + 1e-6)).all()
    assert (q * fraction >= 0).all()  # the request's sign
    room = np.sqrt(np.maximum(s.astype(float) ** 2 - p**2, 0.0))
    np.testing.assert_allclose(q, fraction * room, atol=1e-3 * s.max())


@PROPERTY
@given(
    fraction=numbers(-1.0, 1.0),
    solar=numbers(0.0, 1.1875),
    p_max=numbers(0.125, 4.0),
    s=numbers(0.125, 4.0),
    curtailed=numbers(0.0, 1.0),
    q_priority=arrays(bool, SIZE),
    limit=numbers(0.0, 4.0),
    available=arrays(bool, SIZE, elements=st.sampled_from([True, True, True, False])),
)
def test_every_option_keeps_the_circle_and_takes_power_away_only(
    fraction: np.ndarray,
    solar: np.ndarray,
    p_max: np.ndarray,
    s: np.ndarray,
    curtailed: np.ndarray,
    q_priority: np.ndarray,
    limit: np.ndarray,
    available: np.ndarray,
) -> None:
    powers = deliver_pv_power(
        fraction,
        solar,
        p_max_mw=p_max,
        s_mva=s,
        curtail_fraction=curtailed,
        q_priority=q_priority,
        p_limit_mw=limit,
        available=available,
    )
    p, q = (np.asarray(value, np.float64) for value in powers)
    assert (np.hypot(p, q) <= s * (1 + 1e-6)).all()
    assert (p >= 0).all()
    assert (solar * p_max - p >= 0).all()  # what stays unused
    assert (p <= solar * p_max * (1 - curtailed) * (1 + 1e-6)).all()
    assert (p <= limit).all()
    assert (q * fraction >= 0).all()
    assert (p[~available] == 0).all()
    assert (q[~available] == 0).all()

    wanted = np.minimum(solar.astype(float) * p_max * (1 - curtailed.astype(float)), limit)
    q_first = available & q_priority
    np.testing.assert_allclose(q[q_first], (fraction * s)[q_first], rtol=1e-6, atol=1e-30)
    left = np.sqrt(s.astype(float) ** 2 * (1 - fraction.astype(float) ** 2))
    np.testing.assert_allclose(p[q_first], np.minimum(wanted, left)[q_first], atol=1e-3 * s.max())
    p_first = available & ~q_priority
    np.testing.assert_allclose(p[p_first], np.minimum(wanted, s)[p_first], rtol=1e-5, atol=1e-6)


def test_active_power_has_priority_over_reactive_power() -> None:
    p, q = deliver_pv_power(1.0, 1.2, p_max_mw=1.0, s_mva=1.0)
    assert float(p) == 1.0
    assert float(q) == 0.0
    assert math.isclose(float(deliver_pv_power(-0.5, 0.6, p_max_mw=1.0, s_mva=1.0)[1]), -0.4, abs_tol=1e-6)


@pytest.mark.parametrize("priority", [True, np.True_, np.array(True), jnp.asarray(True)])
def test_reactive_power_has_priority_where_asked(priority: Any) -> None:
    p, q = deliver_pv_power(-0.6, 1.0, p_max_mw=1.0, s_mva=1.0, q_priority=priority)
    assert float(p) == pytest.approx(0.8)
    assert float(q) == pytest.approx(-0.6)
    p, q = deliver_pv_power(-0.6, 0.5, p_max_mw=1.0, s_mva=1.0, q_priority=priority)
    assert float(p) == 0.5  # room for both
    assert float(q) == pytest.approx(-0.6)


def test_an_oversized_inverter_has_reactive_power_left_in_full_sun() -> None:
    p, q = deliver_pv_power(1.0, 1.0, p_max_mw=1.0, s_mva=1.25)
    assert float(p) == 1.0
    assert float(q) == pytest.approx(0.75)


@pytest.mark.parametrize(
    ("options", "p_mw"),
    [
        ({}, 0.8),
        ({"curtail_fraction": 0.25}, 0.6),
        ({"curtail_fraction": 1.0}, 0.0),
        ({"p_limit_mw": 0.7}, 0.7),
        ({"p_limit_mw": 0.0}, 0.0),
        ({"curtail_fraction": 0.25, "p_limit_mw": 0.7}, 0.6),  # the share is one of the available power
        ({"available": False}, 0.0),
    ],
)
def test_what_curtailment_limit_and_outage_leave(options: dict[str, Any], p_mw: float) -> None:
    p, q = deliver_pv_power(1.0, 0.8, p_max_mw=1.0, s_mva=1.0, **options)
    assert float(p) == pytest.approx(p_mw)
    assert float(q) == pytest.approx(math.sqrt(1 - p_mw**2) if options.get("available", True) else 0.0)
    assert float(deliver_pv_power(0.0, 0.8, p_max_mw=1.0, s_mva=1.0, **options)[1]) == 0.0  # no request, no q


@PROPERTY
@given(solar=numbers(0.0, 1.0), limit=numbers(0.0, 2.0), load=numbers(0.0, 2.0), battery=numbers(-2.0, 2.0))
def test_net_export_keeps_the_limit_unless_the_battery_breaks_it_alone(
    solar: np.ndarray, limit: np.ndarray, load: np.ndarray, battery: np.ndarray
) -> None:
    room = export_room_mw(limit, load, battery)
    p = np.asarray(deliver_pv_power(0.3, solar, p_max_mw=2.0, s_mva=3.0, p_limit_mw=room)[0], np.float64)
    without_pv = battery.astype(float) - load
    assert (p + without_pv <= np.maximum(limit, without_pv) + 1e-6).all()
    assert (p[without_pv > limit] == 0).all()
    free = without_pv + solar * 2.0 < limit - 1e-5
    np.testing.assert_array_equal(p[free], (solar * np.float32(2.0))[free])  # not held back without need


def test_export_room_by_hand() -> None:
    assert float(export_room_mw(0.5, 0.2, 0.1)) == pytest.approx(0.6)
    assert float(export_room_mw(0.5, 0.2, -0.4)) == pytest.approx(1.1)  # a charging battery makes room
    assert float(export_room_mw(0.5, 0.2, 0.9)) == 0.0
    assert float(export_room_mw(math.inf, 0.2, 0.9)) == math.inf


def by_active_power_first(q_fraction: Any, solar: Any, p_max_mw: Any, s_mva: Any) -> Any:
    """Write the law of an inverter without options down; its derivative on the circle's edge is not finite."""
    p_mw = jnp.minimum(solar * jnp.asarray(p_max_mw), s_mva)
    return p_mw, jnp.asarray(q_fraction) * jnp.sqrt(jnp.maximum(jnp.asarray(s_mva) ** 2 - p_mw**2, 0.0))


NEUTRAL: dict[str, dict[str, Any]] = {
    "not given": {},
    "numbers": {"curtail_fraction": 0.0, "q_priority": False, "p_limit_mw": math.inf, "available": True},
    "arrays": {
        "curtail_fraction": np.zeros(3),
        "q_priority": np.zeros(3, bool),
        "p_limit_mw": np.full(3, math.inf),
        "available": np.ones(3, bool),
    },
}


@pytest.mark.parametrize("options", NEUTRAL.values(), ids=NEUTRAL)
@pytest.mark.parametrize("transform", [lambda law: law, jax.jit], ids=["eager", "jit"])
def test_options_that_are_off_change_no_bit(options: dict[str, Any], transform: Any) -> None:
    random = np.random.default_rng(3)
    fraction, solar = (random.uniform(low, 1.2, (500, 3)).astype(np.float32) for low in (-1.2, 0.0))
    solar[:50] = 1.0
    sizes = {"p_max_mw": np.array([1.0, 0.7, 1.3]), "s_mva": np.array([1.0, 0.8, 1.1])}
    ours = transform(lambda *inputs: deliver_pv_power(*inputs, **sizes, **options))(fraction, solar)
    expected = transform(lambda *inputs: by_active_power_first(*inputs, **sizes))(fraction, solar)
    for got, wanted in zip(ours, expected, strict=True):
        np.testing.assert_array_equal(got, wanted)


@pytest.mark.parametrize("options", NEUTRAL.values(), ids=NEUTRAL)
def test_options_that_are_off_trace_no_operation(options: dict[str, Any]) -> None:
    def law(solar: Any, **keywords: Any) -> Any:
        return deliver_pv_power(np.full(3, 0.5), solar, p_max_mw=np.ones(3), s_mva=np.ones(3), **keywords)

    solar = np.full(3, 0.5, np.float32)
    traced = str(jax.make_jaxpr(lambda solar: law(solar, **options))(solar))
    assert traced == str(jax.make_jaxpr(law)(solar))
    assert traced.count("\n") < str(jax.make_jaxpr(lambda x: law(x, p_limit_mw=x))(solar)).count("\n")


@pytest.mark.parametrize("q_priority", [False, True])
def test_the_slope_on_the_circles_edge_is_that_of_a_law_that_stays_there(q_priority: bool) -> None:
    def reactive(solar: float, fraction: float) -> Any:
        return deliver_pv_power(fraction, solar, p_max_mw=1.0, s_mva=1.0, q_priority=q_priority)

    for solar, fraction in [(1.1, 0.5), (1.1, 1.0), (1.0, -1.0)]:
        slopes = jax.jacobian(reactive, argnums=(0, 1))(solar, fraction)
        assert np.isfinite(jax.tree.leaves(slopes)).all()
    (_, q_by_solar) = jax.jacobian(reactive)(1.1, 0.5)
    assert float(q_by_solar) == 0.0  # p stays at s, or q does not care


@pytest.mark.parametrize("value", [0.0, -1.0, math.nan, math.inf])
@pytest.mark.parametrize("name", ["p_max_mw", "s_mva"])
def test_impossible_inverters_are_refused_by_bus_field_and_value(name: str, value: float) -> None:
    with pytest.raises(nf.InputError, match=rf"PV inverter at bus 16: {name} = {value} must be above 0 and finite"):
        PvInverter(**({"bus": 16, "p_max_mw": 1.0, "s_mva": 1.0} | {name: value}))


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"curtailable": "yes"}, "curtailable = 'yes' must be True or False"),
        ({"priority": "s"}, "priority = 's' must be 'p' or 'q'"),
        ({"priority": ""}, "priority = '' must be 'p' or 'q'"),
        ({"export_limit_mw": -0.1}, "export_limit_mw = -0.1 must be at least 0 and finite"),
        ({"export_limit_mw": math.nan}, "export_limit_mw = nan must be at least 0 and finite"),
        ({"export_limit_mw": math.inf}, "export_limit_mw = inf must be at least 0 and finite"),
    ],
)
def test_impossible_options_are_refused_by_bus_field_and_value(fields: dict[str, Any], says: str) -> None:
    with pytest.raises(nf.InputError, match="PV inverter at bus 16") as caught:
        PvInverter(16, 1.0, 1.0, **fields)
    assert says in str(caught.value)


def test_the_ends_of_what_is_allowed_are_allowed() -> None:
    PvInverter(16, 1.0, 0.5, curtailable=True, priority="q", export_limit_mw=0.0)
