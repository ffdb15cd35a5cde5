"""Flexible loads: energy balance, buffer and what is left of a load for every request, and what their fields may be."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import neomflex_jax as nf
from neomflex_jax.devices import FlexibleLoad, deliver_flexible_load

SIZE = 64
STEPS = 48
FIELDS: dict[str, Any] = {"curtail_share": 0.5, "shift_mw": 0.2, "buffer_mwh": 0.3, "step_hours": 0.5}


@jax.jit
def drive(fields: Any, first: Any, inputs: Any) -> Any:
    """Step loads through a day: consumption, what is shed, and the energy owed before and after every step."""

    def step(owed: Any, inputs: Any) -> Any:
        p_mw, curtailed, after = deliver_flexible_load(**inputs[0], owed_mwh=owed, **fields, available=inputs[1])
        return after, (p_mw, curtailed, owed, after)

    return jax.lax.scan(step, first, inputs)[1]


def a_day(dtype: type, seed: int, step_hours: float) -> dict[str, np.ndarray]:
    """Drive random loads of every kind through a day of random requests and outages: (STEPS, SIZE) or (SIZE,)."""
    random = np.random.default_rng(seed)
    only_shed, only_shift = random.random((2, SIZE)) < 0.25
    fields = {
        "curtail_share": np.where(only_shift, 0.0, random.uniform(0.0, 1.0, SIZE)),
        "shift_mw": np.where(only_shed, 0.0, random.uniform(0.0, 1.0, SIZE)),
        "buffer_mwh": np.where(only_shed, 0.0, random.uniform(0.0, 1.5, SIZE)),
        "step_hours": step_hours,
    }
    first = fields["buffer_mwh"] * random.uniform(0.0, 1.0, SIZE)
    inputs = {
        "curtail_fraction": random.uniform(0.0, 1.0, (STEPS, SIZE)).round(1),  # the ends too
        "shift_fraction": random.uniform(-1.0, 1.0, (STEPS, SIZE)).round(1),
        "p_load_mw": random.uniform(-0.2, 1.0, (STEPS, SIZE)).round(1),
    }
    available = random.random((STEPS, SIZE)) > 0.1

    with jax.enable_x64(dtype is np.float64):
        fields, first, inputs = jax.tree.map(lambda value: jnp.asarray(value, dtype), (fields, first, inputs))
        results = drive(fields, first, (inputs, available))
    day = fields | inputs | dict(zip(("p_mw", "curtailed_mw", "owed_mwh", "after_mwh"), results, strict=True))
    return {name: np.asarray(value, np.float64) for name, value in day.items()} | {"available": available}


@settings(max_examples=15)
@given(seed=st.integers(0, 2**32 - 1), step_hours=st.sampled_from([0.25, 0.5, 1.0]))
@pytest.mark.parametrize(("dtype", "rounding"), [(np.float32, 1e-5), (np.float64, 1e-13)])
def test_a_day_keeps_the_energy_balance_and_every_limit(
    dtype: type, rounding: float, seed: int, step_hours: float
) -> None:
    day = a_day(dtype, seed, step_hours)
    p, load, curtailed, owed, after = (
        day[name] for name in ("p_mw", "p_load_mw", "curtailed_mw", "owed_mwh", "after_mwh")
    )
    balance = step_hours * (load - curtailed).sum(axis=0) - (after[-1] - owed[0])
    np.testing.assert_allclose(step_hours * p.sum(axis=0), balance, atol=rounding)

    assert (after >= 0).all()
    assert (after <= day["buffer_mwh"]).all()
    assert (p >= np.minimum(load, 0)).all()
    assert (curtailed >= 0).all()
    assert (curtailed <= day["curtail_share"] * np.maximum(load, 0) * (1 + 1e-6)).all()
    np.testing.assert_allclose(
        curtailed,
        day["available"] * day["curtail_fraction"] * day["curtail_share"] * np.maximum(load, 0),
        atol=rounding,
    )
    shifted = load - curtailed - p  # positive: deferred
    assert (np.abs(shifted) <= day["shift_mw"] * np.abs(day["shift_fraction"]) + rounding).all()
    assert (shifted * day["shift_fraction"] >= -rounding).all()  # never the other direction
    assert (shifted[load <= 0] <= 0).all()
    idle = ~day["available"]
    np.testing.assert_array_equal(p[idle], load[idle])
    assert (curtailed[idle] == 0).all()
    np.testing.assert_array_equal(after[idle], owed[idle])

    slack = 4 * rounding / step_hours
    wanted = day["shift_fraction"] * day["shift_mw"]
    room = np.minimum(np.maximum(load - curtailed, 0), (day["buffer_mwh"] - owed) / step_hours)
    possible = day["available"] & (wanted < room - slack) & (wanted > -owed / step_hours + slack)
    np.testing.assert_allclose(shifted[possible], wanted[possible], atol=rounding)
    assert possible.any()


@pytest.mark.parametrize(
    ("requests", "load", "owed", "expected"),
    [
        ((0.0, 0.0), 0.8, 0.1, (0.8, 0.0, 0.1)),  # nothing asked, nothing done
        ((0.5, 0.0), 0.8, 0.1, (0.6, 0.2, 0.1)),  # half of the share of one half
        ((0.0, 1.0), 0.8, 0.1, (0.6, 0.0, 0.2)),  # defers
        ((0.0, -1.0), 0.8, 0.2, (1.0, 0.0, 0.1)),  # catches up
        ((0.0, -1.0), 0.8, 0.05, (0.9, 0.0, 0.0)),  # no more than is owed
        ((0.0, 1.0), 0.8, 0.28, (0.76, 0.0, 0.3)),  # no more than the buffer takes
        ((1.0, 1.0), 0.3, 0.1, (0.0, 0.15, 0.175)),  # no more than shedding leaves
        ((1.0, 1.0), 0.0, 0.1, (0.0, 0.0, 0.1)),  # no load
        ((1.0, 1.0), -0.2, 0.1, (-0.2, 0.0, 0.1)),  # a feed-in
        ((1.0, -1.0), -0.2, 0.1, (0.0, 0.0, 0.0)),  # which can still catch up
        ((1.0, -0.5), 0.8, 0.1, (0.5, 0.4, 0.05)),  # sheds and catches up
    ],
)
def test_a_step_by_hand(
    requests: tuple[float, float], load: float, owed: float, expected: tuple[float, float, float]
) -> None:
    np.testing.assert_allclose(deliver_flexible_load(*requests, load, owed, **FIELDS), expected, atol=1e-7)


def test_deferred_energy_comes_back_whole(float64: None) -> None:
    p_defer, _, owed = deliver_flexible_load(0.0, 0.7, 0.8, 0.0, **FIELDS)
    p_catch_up, _, after = deliver_flexible_load(0.0, -1.0, 0.8, owed, **FIELDS)
    assert float(after) == 0.0
    assert float(p_defer + p_catch_up) == pytest.approx(1.6, abs=1e-15)
    assert float(p_defer) == pytest.approx(0.66, abs=1e-15)


@pytest.mark.parametrize(("owed", "shift"), [(0.4, 1.0), (-0.1, -1.0), (0.4, 0.0), (-0.1, 0.0)])
def test_a_debt_outside_the_buffer_does_not_jump(owed: float, shift: float) -> None:
    p_mw, _, after = deliver_flexible_load(0.0, shift, 0.8, owed, **FIELDS)
    assert float(p_mw) == np.float32(0.8)
    assert float(after) == np.float32(owed)


def test_an_outage_leaves_the_load_as_it_is() -> None:
    available = np.array([True, False])
    p_mw, curtailed, after = deliver_flexible_load(1.0, 1.0, np.full(2, 0.8), 0.1, **FIELDS, available=available)
    np.testing.assert_allclose(p_mw, [0.2, 0.8], atol=1e-7)
    np.testing.assert_allclose(curtailed, [0.4, 0.0], atol=1e-7)
    np.testing.assert_allclose(after, [0.2, 0.1], atol=1e-7)


@pytest.mark.parametrize("available", [True, np.True_, np.ones(3, bool)])
def test_an_outage_that_is_off_traces_no_operation(available: Any) -> None:
    def law(load: Any, **keywords: Any) -> Any:
        return deliver_flexible_load(0.3, 0.2, load, np.zeros(3), **FIELDS, **keywords)

    load = np.full(3, 0.5, np.float32)
    assert str(jax.make_jaxpr(lambda load: law(load, available=available))(load)) == str(jax.make_jaxpr(law)(load))


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"curtail_share": -0.1}, "curtail_share = -0.1 must lie in 0..1"),
        ({"curtail_share": 1.1}, "curtail_share = 1.1 must lie in 0..1"),
        ({"curtail_share": math.nan}, "curtail_share = nan must lie in 0..1"),
        ({"shift_mw": -0.1, "buffer_mwh": 0.2}, "shift_mw = -0.1 must be at least 0 and finite"),
        ({"shift_mw": math.inf, "buffer_mwh": 0.2}, "shift_mw = inf must be at least 0 and finite"),
        ({"shift_mw": 0.1, "buffer_mwh": -0.2}, "buffer_mwh = -0.2 must be at least 0 and finite"),
        ({"shift_mw": 0.1, "buffer_mwh": math.nan}, "buffer_mwh = nan must be at least 0 and finite"),
        ({"shift_mw": 0.1}, "shift_mw = 0.1, buffer_mwh = 0.0 must both be above 0"),
        ({"buffer_mwh": 0.2, "curtail_share": 0.5}, "shift_mw = 0.0, buffer_mwh = 0.2 must both be above 0"),
        ({}, "curtail_share = 0.0, shift_mw = 0.0, buffer_mwh = 0.0 must not all be 0"),
    ],
)
def test_impossible_loads_are_refused_by_bus_field_and_value(fields: dict[str, float], says: str) -> None:
    with pytest.raises(nf.InputError, match="flexible load at bus 9") as caught:
        FlexibleLoad(9, **fields)
    assert says in str(caught.value)


@pytest.mark.parametrize("fields", [{"curtail_share": 1.0}, {"shift_mw": 0.1, "buffer_mwh": 0.2}])
def test_shedding_or_shifting_alone_is_enough(fields: dict[str, float]) -> None:
    FlexibleLoad(9, **fields)
