"""Batteries: energy balance, window, rating, ramp and circle for every request, and what their fields may be."""

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
from neomflex_jax.devices import Battery, deliver_battery_power, deliver_battery_q

SIZE = 64  # one shape, so that every example runs what is compiled already
STEPS = 48
PROPERTY = settings(max_examples=40)
ROUNDING = 4e-7  # of a state of charge in float32
SIZES: dict[str, Any] = {"capacity_mwh": 2.0, "power_mw": 0.5, "soc_min": 0.2, "soc_max": 0.9, "step_hours": 0.5}
LOSSY = SIZES | {"charge_efficiency": 0.9, "discharge_efficiency": 0.8}


def numbers(low: float, high: float) -> st.SearchStrategy[np.ndarray]:
    """Give arrays of float32 numbers, the ends included; processors take subnormal ones for zero."""
    return arrays(np.float32, SIZE, elements=st.floats(low, high, width=32, allow_subnormal=False))


@PROPERTY
@given(
    requested=numbers(-4.0, 4.0),
    within=numbers(0.0, 1.0),
    soc_min=numbers(0.0, 0.5),
    width=numbers(0.125, 0.5),
    capacity=numbers(0.25, 8.0),
    power=numbers(0.0625, 4.0),
    step_hours=st.sampled_from([0.25, 0.5, 1.0]),
)
def test_a_battery_keeps_its_energy_its_window_and_its_rating(
    requested: np.ndarray,
    within: np.ndarray,
    soc_min: np.ndarray,
    width: np.ndarray,
    capacity: np.ndarray,
    power: np.ndarray,
    step_hours: float,
) -> None:
    soc_max = np.minimum(soc_min + width, np.float32(1.0))
    soc = soc_min + within * (soc_max - soc_min)
    sizes = {"capacity_mwh": capacity, "power_mw": power, "soc_min": soc_min, "soc_max": soc_max}
    delivered, after = (
        np.asarray(value, np.float64) for value in deliver_battery_power(requested, soc, **sizes, step_hours=step_hours)
    )
    np.testing.assert_allclose(after, soc - delivered * step_hours / capacity, atol=ROUNDING)  # energy balance
    assert (after >= soc_min - ROUNDING).all()
    assert (after <= soc_max + ROUNDING).all()
    assert (np.abs(delivered) <= power).all()
    assert (np.abs(delivered) <= np.abs(requested)).all()
    assert (delivered * requested >= 0).all()  # never the other direction
    room = np.where(requested > 0, soc - soc_min, soc_max - soc) * capacity / step_hours
    possible = (np.abs(requested) <= power) & (np.abs(requested) < room * (1 - 1e-5) - ROUNDING * capacity / step_hours)
    np.testing.assert_array_equal(delivered[possible], requested[possible])


@jax.jit
def drive(fields: Any, first: Any, inputs: Any) -> Any:
    """Step batteries through a day: power and the states of charge before and after every step."""

    def step(carry: Any, inputs: Any) -> Any:
        soc, previous = carry
        p_mw, after = deliver_battery_power(inputs[0], soc, **fields, previous_p_mw=previous, available=inputs[1])
        return (after, p_mw), (p_mw, soc, after)

    return jax.lax.scan(step, (first, jnp.zeros_like(first)), inputs)[1]


def a_day(dtype: type, seed: int, step_hours: float) -> dict[str, np.ndarray]:
    """Drive random batteries of every kind through a day of random requests and outages: (STEPS, SIZE) or (SIZE,)."""
    random = np.random.default_rng(seed)
    lossless, rampless = random.random((2, SIZE)) < 0.25
    fields = {
        "capacity_mwh": random.uniform(0.25, 2.0, SIZE),
        "power_mw": random.uniform(0.1, 1.0, SIZE),
        "soc_min": random.uniform(0.0, 0.4, SIZE),
        "soc_max": random.uniform(0.6, 1.0, SIZE),
        "charge_efficiency": np.where(lossless, 1.0, random.uniform(0.3, 1.0, SIZE)),
        "discharge_efficiency": np.where(lossless, 1.0, random.uniform(0.3, 1.0, SIZE)),
        "ramp_mw": np.where(rampless, math.inf, random.uniform(0.02, 1.0, SIZE)),
        "step_hours": step_hours,
    }
    first = random.uniform(0.0, 1.0, SIZE)  # some outside their window
    requested, available = random.uniform(-1.5, 1.5, (STEPS, SIZE)), random.random((STEPS, SIZE)) > 0.1

    with jax.enable_x64(dtype is np.float64):
        fields, first, requested = jax.tree.map(lambda value: jnp.asarray(value, dtype), (fields, first, requested))
        p_mw, soc, after = drive(fields, first, (requested, available))
    day = fields | {"requested_mw": requested, "p_mw": p_mw, "soc": soc, "after": after}
    return {name: np.asarray(value, np.float64) for name, value in day.items()} | {"available": available}


@settings(max_examples=15)
@given(seed=st.integers(0, 2**32 - 1), step_hours=st.sampled_from([0.25, 0.5, 1.0]))
@pytest.mark.parametrize(("dtype", "rounding"), [(np.float32, 1e-5), (np.float64, 1e-13)])
def test_a_day_keeps_the_energy_balance_and_every_limit(
    dtype: type, rounding: float, seed: int, step_hours: float
) -> None:
    day = a_day(dtype, seed, step_hours)
    p, capacity = day["p_mw"], day["capacity_mwh"]
    from_store = np.maximum(p, 0) / day["discharge_efficiency"] + np.minimum(p, 0) * day["charge_efficiency"]
    drawn_mwh = step_hours * from_store.sum(axis=0)
    np.testing.assert_allclose(capacity * (day["soc"][0] - day["after"][-1]), drawn_mwh, atol=rounding)

    slack = rounding / 0.25 / 0.3  # of powers and of states of charge: energies over the smallest capacity, efficiency
    assert (np.abs(p) <= day["power_mw"]).all()
    first = day["soc"][0]
    assert (day["after"] >= np.minimum(day["soc_min"], first) - slack).all()
    assert (day["after"] <= np.maximum(day["soc_max"], first) + slack).all()
    assert (p[~day["available"]] == 0).all()
    np.testing.assert_array_equal(day["after"][~day["available"]], day["soc"][~day["available"]])

    previous = np.vstack([np.zeros(SIZE), p[:-1]])
    could_give = np.maximum(day["soc"] - day["soc_min"], 0) * capacity * day["discharge_efficiency"] / step_hours
    could_take = np.maximum(day["soc_max"] - day["soc"], 0) * capacity / day["charge_efficiency"] / step_hours
    low, high = previous - day["ramp_mw"], previous + day["ramp_mw"]
    by_window = (p >= np.minimum(could_give, low) - slack) & (p <= np.maximum(-could_take, high) + slack)
    assert (by_window | ~day["available"]).all()  # a step beyond the ramp goes no further than the window makes it
    inside = (p > -could_take + slack) & (p < could_give - slack) & (np.abs(p) < day["power_mw"] - slack)
    free = inside & day["available"]
    wanted = np.minimum(np.maximum(day["requested_mw"], low), high)
    np.testing.assert_allclose(p[free], wanted[free], atol=1e-6 if dtype is np.float32 else 1e-15)
    assert free.any()


def reference_step(
    requested: float, soc: float, previous: float, ramp: float, eta_c: float, eta_d: float
) -> tuple[float, float]:
    """Work one step of a battery of SIZES out case by case."""
    if requested - previous > ramp:
        requested = previous + ramp
    if previous - requested > ramp:
        requested = previous - ramp
    if requested > 0:
        energy = min(requested, 0.5) * 0.5 / eta_d
        energy = min(energy, max(0.0, (soc - 0.2) * 2.0))
        return energy * eta_d / 0.5, soc - energy / 2.0
    energy = min(-requested, 0.5) * 0.5 * eta_c
    energy = min(energy, max(0.0, (0.9 - soc) * 2.0))
    return -energy / eta_c / 0.5, soc + energy / 2.0


@PROPERTY
@given(
    requested=st.floats(-1.0, 1.0),
    soc=st.floats(0.0, 1.0),
    previous=st.floats(-0.5, 0.5),
    ramp=st.floats(0.01, 2.0) | st.just(math.inf),
    eta_c=st.floats(0.1, 1.0),
    eta_d=st.floats(0.1, 1.0),
)
def test_a_step_equals_one_worked_out_case_by_case(
    requested: float, soc: float, previous: float, ramp: float, eta_c: float, eta_d: float
) -> None:
    options = {"charge_efficiency": eta_c, "discharge_efficiency": eta_d, "previous_p_mw": previous, "ramp_mw": ramp}
    with jax.enable_x64(True):
        delivered = deliver_battery_power(requested, soc, **SIZES, **options)
    np.testing.assert_allclose(delivered, reference_step(requested, soc, previous, ramp, eta_c, eta_d), atol=1e-12)


def test_a_positive_request_discharges() -> None:
    delivered, after = deliver_battery_power(0.4, 0.5, **SIZES)
    assert float(delivered) == pytest.approx(0.4)
    assert float(after) == pytest.approx(0.4)
    delivered, after = deliver_battery_power(-0.4, 0.5, **SIZES)
    assert float(delivered) == pytest.approx(-0.4)
    assert float(after) == pytest.approx(0.6)


def test_losses_are_the_stores_when_discharging_and_the_grids_when_charging() -> None:
    delivered, after = deliver_battery_power(0.4, 0.5, **LOSSY)
    assert float(delivered) == pytest.approx(0.4)
    assert float(after) == pytest.approx(0.5 - 0.4 * 0.5 / 0.8 / 2.0)
    delivered, after = deliver_battery_power(-0.4, 0.5, **LOSSY)
    assert float(delivered) == pytest.approx(-0.4)
    assert float(after) == pytest.approx(0.5 + 0.4 * 0.5 * 0.9 / 2.0)


@pytest.mark.parametrize(("requested", "soc", "delivered"), [(1.0, 0.22, 0.08), (-1.0, 0.89, -0.04), (1.0, 0.5, 0.5)])
def test_what_the_window_or_rating_leaves_is_delivered(requested: float, soc: float, delivered: float) -> None:
    assert float(deliver_battery_power(requested, soc, **SIZES)[0]) == pytest.approx(delivered, abs=1e-6)


@pytest.mark.parametrize(("requested", "soc", "delivered"), [(1.0, 0.22, 0.064), (-1.0, 0.89, -0.04 / 0.9)])
def test_the_window_bounds_the_stores_energy_not_the_terminals(requested: float, soc: float, delivered: float) -> None:
    p_mw, after = deliver_battery_power(requested, soc, **LOSSY)
    assert float(p_mw) == pytest.approx(delivered, abs=1e-6)
    assert float(after) == pytest.approx(0.2 if requested > 0 else 0.9, abs=1e-6)


@pytest.mark.parametrize("sizes", [SIZES, LOSSY])
@pytest.mark.parametrize(("requested", "soc"), [(0.3, 0.1), (-0.3, 0.95)])
def test_a_battery_outside_its_window_is_not_pushed_further_out(requested: float, soc: float, sizes: Any) -> None:
    delivered, after = deliver_battery_power(requested, soc, **sizes)
    assert float(delivered) == 0.0
    assert float(after) == pytest.approx(soc)
    back, after = deliver_battery_power(-requested, soc, **sizes)
    assert float(back) == pytest.approx(-requested)  # inwards as asked, no faster
    assert abs(float(after) - 0.55) < abs(soc - 0.55)


@pytest.mark.parametrize(("eta_c", "eta_d"), [(1.0, 1.0), (0.9, 1.0), (1.0, 0.8), (0.93, 0.87)])
def test_a_round_trip_loses_what_the_efficiencies_say(eta_c: float, eta_d: float, float64: None) -> None:
    options = {"charge_efficiency": eta_c, "discharge_efficiency": eta_d}
    charged, soc = deliver_battery_power(-0.3, 0.5, **SIZES, **options)
    returned, after = deliver_battery_power(-charged * eta_c * eta_d, soc, **SIZES, **options)
    assert float(after) == pytest.approx(0.5, abs=1e-15)
    assert 1 - float(returned / -charged) == pytest.approx(1 - eta_c * eta_d, abs=1e-15)


@pytest.mark.parametrize(
    ("requested", "previous", "delivered"), [(0.5, 0.0, 0.1), (-0.5, 0.0, -0.1), (0.0, 0.4, 0.3), (0.35, 0.3, 0.35)]
)
def test_power_changes_by_no_more_than_the_ramp(requested: float, previous: float, delivered: float) -> None:
    p_mw, _ = deliver_battery_power(requested, 0.5, **SIZES, previous_p_mw=previous, ramp_mw=0.1)
    assert float(p_mw) == pytest.approx(delivered, abs=1e-6)


@pytest.mark.parametrize(("soc", "previous", "delivered"), [(0.2, 0.5, 0.0), (0.21, 0.5, 0.04), (0.9, -0.5, 0.0)])
def test_the_window_wins_over_the_ramp(soc: float, previous: float, delivered: float) -> None:
    p_mw, _ = deliver_battery_power(previous, soc, **SIZES, previous_p_mw=previous, ramp_mw=0.1)
    assert float(p_mw) == pytest.approx(delivered, abs=1e-6)


def test_the_rating_wins_over_the_ramp() -> None:
    assert float(deliver_battery_power(0.9, 0.5, **SIZES, previous_p_mw=0.9, ramp_mw=0.1)[0]) == 0.5


@pytest.mark.parametrize("sizes", [SIZES, LOSSY, LOSSY | {"ramp_mw": 0.1}])
def test_no_request_does_nothing(sizes: Any) -> None:
    soc = np.linspace(0.0, 1.0, 11, dtype=np.float32)
    p_mw, after = deliver_battery_power(np.zeros(11, np.float32), soc, **sizes)
    np.testing.assert_array_equal(p_mw, np.zeros(11))
    np.testing.assert_array_equal(after, soc)


def test_an_outage_stops_a_battery_at_once_and_keeps_its_energy() -> None:
    available = np.array([True, False])
    p_mw, after = deliver_battery_power(
        np.full(2, 0.4), np.full(2, 0.5), **LOSSY, previous_p_mw=0.4, ramp_mw=0.1, available=available
    )
    np.testing.assert_allclose(p_mw, [0.4, 0.0])
    np.testing.assert_allclose(after, [0.375, 0.5])
    np.testing.assert_allclose(deliver_battery_q(1.0, p_mw, s_mva=0.5, available=available), [0.3, 0.0], rtol=1e-6)


@PROPERTY
@given(fraction=numbers(-1.0, 1.0), share=numbers(-1.0, 1.0), s=numbers(0.125, 4.0))
def test_reactive_power_stays_inside_the_circle(fraction: np.ndarray, share: np.ndarray, s: np.ndarray) -> None:
    p = share * s
    q = np.asarray(deliver_battery_q(fraction, p, s_mva=s), np.float64)
    assert (np.hypot(p, q) <= s * (1 + 1e-6)).all()
    assert (q * fraction >= 0).all()  # the request's sign
    room = np.sqrt(np.maximum(s.astype(float) ** 2 - p.astype(float) ** 2, 0.0))
    np.testing.assert_allclose(q, fraction * room, atol=1e-3 * s.max())


def test_reactive_power_by_hand() -> None:
    assert float(deliver_battery_q(0.5, -0.3, s_mva=0.5)) == pytest.approx(0.2)
    assert float(deliver_battery_q(-1.0, 0.0, s_mva=0.5)) == -0.5
    assert float(deliver_battery_q(1.0, 0.5, s_mva=0.5)) == 0.0
    assert float(deliver_battery_q(1.0, 0.3, s_mva=0.0)) == 0.0  # no four-quadrant inverter


def lossless(p_requested_mw: Any, soc: Any, sizes: dict[str, Any], step_hours: float) -> Any:
    """Write the law of a battery without options down, operation by operation."""
    mw_per_soc = jnp.asarray(sizes["capacity_mwh"]) / step_hours
    most_discharge = jnp.minimum(sizes["power_mw"], jnp.maximum(soc - jnp.asarray(sizes["soc_min"]), 0.0) * mw_per_soc)
    most_charge = jnp.minimum(sizes["power_mw"], jnp.maximum(jnp.asarray(sizes["soc_max"]) - soc, 0.0) * mw_per_soc)
    p_mw = jnp.clip(p_requested_mw, -most_charge, most_discharge)
    return p_mw, jnp.asarray(soc) - p_mw / mw_per_soc


NEUTRAL: dict[str, dict[str, Any]] = {
    "not given": {},
    "numbers": {"charge_efficiency": 1.0, "discharge_efficiency": 1.0, "ramp_mw": math.inf, "available": True},
    "arrays": {
        "charge_efficiency": np.ones(3),
        "discharge_efficiency": np.ones(3),
        "ramp_mw": np.full(3, math.inf),
        "previous_p_mw": np.full(3, 0.4),
        "available": np.ones(3, bool),
    },
}


@pytest.mark.parametrize("options", NEUTRAL.values(), ids=NEUTRAL)
def test_options_that_are_off_trace_no_operation_and_change_no_bit(options: dict[str, Any]) -> None:
    random = np.random.default_rng(3)
    sizes = {
        "capacity_mwh": np.array([2.0, 1.0, 0.7]),
        "power_mw": np.array([0.5, 0.4, 0.3]),
        "soc_min": np.array([0.2, 0.1, 0.0]),
        "soc_max": np.array([0.9, 1.0, 0.8]),
    }

    def law(requested: Any, soc: Any) -> Any:
        return deliver_battery_power(requested, soc, **sizes, step_hours=0.5, **options)

    requested, soc = random.uniform(-1, 1, (500, 3)), random.uniform(0, 1, (500, 3))
    requested, soc = requested.astype(np.float32), soc.astype(np.float32)
    written = jax.make_jaxpr(lambda requested, soc: lossless(requested, soc, sizes, 0.5))(requested, soc)
    assert str(jax.make_jaxpr(law)(requested, soc)) == str(written)
    for ours, expected in zip(law(requested, soc), lossless(requested, soc, sizes, 0.5), strict=True):
        np.testing.assert_array_equal(ours, expected)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"capacity_mwh": 0.0}, "capacity_mwh = 0.0 must be above 0 and finite"),
        ({"power_mw": -0.5}, "power_mw = -0.5 must be above 0 and finite"),
        ({"capacity_mwh": math.nan}, "capacity_mwh = nan"),
        ({"capacity_mwh": math.inf}, "capacity_mwh = inf"),
        ({"power_mw": math.inf}, "power_mw = inf"),
        ({"soc_min": 0.9, "soc_max": 0.2}, "soc_min = 0.9, soc_max = 0.2 must satisfy 0 <= soc_min < soc_max <= 1"),
        ({"soc_max": 1.1}, "soc_max = 1.1"),
        ({"soc_min": -0.1}, "soc_min = -0.1"),
        ({"soc_initial": 0.1}, "soc_initial = 0.1 must lie in soc_min..soc_max = 0.2..0.9"),
        ({"charge_efficiency": 0.0}, "charge_efficiency = 0.0 must lie above 0 and at most at 1"),
        ({"charge_efficiency": 1.01}, "charge_efficiency = 1.01 must lie above 0 and at most at 1"),
        ({"discharge_efficiency": 95.0}, "discharge_efficiency = 95.0 must lie above 0 and at most at 1"),
        ({"discharge_efficiency": math.nan}, "discharge_efficiency = nan"),
        ({"ramp_mw": 0.0}, "ramp_mw = 0.0 must be above 0 and finite"),
        ({"ramp_mw": math.inf}, "ramp_mw = inf"),
        ({"s_mva": 0.4}, "s_mva = 0.4 must be at least power_mw = 0.5"),
        ({"s_mva": math.nan}, "s_mva = nan"),
        ({"s_mva": math.inf}, "s_mva = inf"),
    ],
)
def test_impossible_batteries_are_refused_by_bus_field_and_value(fields: dict[str, float], says: str) -> None:
    with pytest.raises(nf.InputError, match="battery at bus 7") as caught:
        Battery(**({"bus": 7, "capacity_mwh": 2.0, "power_mw": 0.5} | fields))
    assert says in str(caught.value)


def test_the_ends_of_what_is_allowed_are_allowed() -> None:
    Battery(7, 2.0, 0.5, soc_min=0.0, soc_max=1.0, soc_initial=1.0, discharge_efficiency=0.01, ramp_mw=9.0, s_mva=0.5)
