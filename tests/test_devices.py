"""Batteries and PV inverters: the laws that hold for every request, and what their ratings may be."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import neomflex_jax as nf
from neomflex_jax.devices import Battery, PvInverter, deliver_battery_power, deliver_pv_power

SIZE = 64  # one shape, so that every example runs what is compiled already
PROPERTY = settings(max_examples=40, deadline=None)
ROUNDING = 4e-7  # of a state of charge in float32


def numbers(low: float, high: float) -> st.SearchStrategy[np.ndarray]:
    """Give arrays of float32 numbers, the ends included; processors take subnormal ones for zero."""
    return arrays(np.float32, SIZE, elements=st.floats(low, high, width=32, allow_subnormal=False))


def window(low: np.ndarray, width: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Give a window of the state of charge inside 0..1."""
    soc_max = np.minimum(low + width, np.float32(1.0))
    return low, soc_max


@PROPERTY
@given(
    requested=numbers(-4.0, 4.0),
    within=numbers(0.0, 1.0),
    low=numbers(0.0, 0.5),
    width=numbers(0.125, 0.5),
    capacity=numbers(0.25, 8.0),
    power=numbers(0.0625, 4.0),
    step_hours=st.sampled_from([0.25, 0.5, 1.0]),
)
def test_a_battery_keeps_its_energy_its_window_and_its_rating(
    requested: np.ndarray,
    within: np.ndarray,
    low: np.ndarray,
    width: np.ndarray,
    capacity: np.ndarray,
    power: np.ndarray,
    step_hours: float,
) -> None:
    soc_min, soc_max = window(low, width)
    soc = soc_min + within * (soc_max - soc_min)
    delivered, after = (
        np.asarray(value, np.float64)
        for value in deliver_battery_power(
            requested,
            soc,
            capacity_mwh=capacity,
            power_mw=power,
            soc_min=soc_min,
            soc_max=soc_max,
            step_hours=step_hours,
        )
    )
    np.testing.assert_allclose(after, soc - delivered * step_hours / capacity, atol=ROUNDING)  # energy balance
    assert (after >= soc_min - ROUNDING).all()
    assert (after <= soc_max + ROUNDING).all()
    assert (np.abs(delivered) <= power).all()
    assert (np.abs(delivered) <= np.abs(requested)).all()
    assert (delivered * requested >= 0).all()  # never the other direction
    room = np.where(requested > 0, soc - soc_min, soc_max - soc) * capacity / step_hours
    possible = (np.abs(requested) <= power) & (np.abs(requested) < room * (1 - 1e-5))
    np.testing.assert_array_equal(delivered[possible], requested[possible])


def test_a_positive_request_discharges() -> None:
    sizes = {"capacity_mwh": 2.0, "power_mw": 0.5, "soc_min": 0.2, "soc_max": 0.9, "step_hours": 0.5}
    delivered, after = deliver_battery_power(0.4, 0.5, **sizes)
    assert float(delivered) == pytest.approx(0.4)
    assert float(after) == pytest.approx(0.4)
    delivered, after = deliver_battery_power(-0.4, 0.5, **sizes)
    assert float(delivered) == pytest.approx(-0.4)
    assert float(after) == pytest.approx(0.6)


@pytest.mark.parametrize(("requested", "soc", "delivered"), [(1.0, 0.22, 0.08), (-1.0, 0.89, -0.04), (1.0, 0.5, 0.5)])
def test_what_the_window_or_rating_leaves_is_delivered(requested: float, soc: float, delivered: float) -> None:
    sizes = {"capacity_mwh": 2.0, "power_mw": 0.5, "soc_min": 0.2, "soc_max": 0.9, "step_hours": 0.5}
    assert float(deliver_battery_power(requested, soc, **sizes)[0]) == pytest.approx(delivered, abs=1e-6)


@pytest.mark.parametrize(("requested", "soc"), [(0.3, 0.1), (-0.3, 0.95)])
def test_a_battery_outside_its_window_is_not_pushed_further_out(requested: float, soc: float) -> None:
    sizes = {"capacity_mwh": 2.0, "power_mw": 0.5, "soc_min": 0.2, "soc_max": 0.9, "step_hours": 0.5}
    delivered, after = deliver_battery_power(requested, soc, **sizes)
    assert float(delivered) == 0.0
    assert float(after) == pytest.approx(soc)


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


def test_active_power_has_priority_over_reactive_power() -> None:
    p, q = deliver_pv_power(1.0, 1.2, p_max_mw=1.0, s_mva=1.0)
    assert float(p) == 1.0
    assert float(q) == 0.0
    assert math.isclose(float(deliver_pv_power(-0.5, 0.6, p_max_mw=1.0, s_mva=1.0)[1]), -0.4, abs_tol=1e-6)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"capacity_mwh": 0.0}, "capacity_mwh = 0.0 must be above 0"),
        ({"power_mw": -0.5}, "power_mw = -0.5 must be above 0"),
        ({"capacity_mwh": math.nan}, "capacity_mwh = nan"),
        ({"capacity_mwh": math.inf}, "capacity_mwh = inf"),
        ({"power_mw": math.inf}, "power_mw = inf"),
        ({"soc_min": 0.9, "soc_max": 0.2}, "soc_min = 0.9, soc_max = 0.2"),
        ({"soc_max": 1.1}, "soc_max = 1.1"),
        ({"soc_min": -0.1}, "soc_min = -0.1"),
        ({"soc_initial": 0.1}, "soc_initial = 0.1 must lie in"),
    ],
)
def test_impossible_batteries_are_refused_by_bus_field_and_value(fields: dict[str, float], says: str) -> None:
    with pytest.raises(nf.InputError, match="battery at bus 7") as caught:
        Battery(**({"bus": 7, "capacity_mwh": 2.0, "power_mw": 0.5} | fields))
    assert says in str(caught.value)


@pytest.mark.parametrize("value", [0.0, -1.0, math.nan, math.inf])
@pytest.mark.parametrize("name", ["p_max_mw", "s_mva"])
def test_impossible_inverters_are_refused_by_bus_field_and_value(name: str, value: float) -> None:
    with pytest.raises(nf.InputError, match=rf"PV inverter at bus 16: {name} = {value}"):
        PvInverter(**({"bus": 16, "p_max_mw": 1.0, "s_mva": 1.0} | {name: value}))
