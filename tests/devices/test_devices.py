"""What holds for every device: options that are off cost nothing, transformations change nothing, slopes are finite."""

import math
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

import neomflex_jax as nf
from neomflex_jax.devices import (
    Battery,
    FlexibleLoad,
    PvInverter,
    deliver_battery_power,
    deliver_battery_q,
    deliver_flexible_load,
    deliver_pv_power,
    export_room_mw,
)
from neomflex_jax.devices.options import is_off

# Values of every argument: the ends, where limits meet, and some between.
CORNERS: dict[str, tuple[Callable[..., Any], dict[str, list[Any]]]] = {
    "battery_power": (
        deliver_battery_power,
        {
            "p_requested_mw": [-0.5, -0.4, 0.0, 0.3, 0.5, 0.7],
            "soc": [0.0, 0.2, 0.5, 0.7, 0.9, 1.0],
            "capacity_mwh": [2.0, 0.5],
            "power_mw": [0.5],
            "soc_min": [0.0, 0.2],
            "soc_max": [0.9, 1.0],
            "step_hours": [0.5],
            "charge_efficiency": [1.0, 0.9],
            "discharge_efficiency": [1.0, 0.8],
            "previous_p_mw": [-0.5, 0.0, 0.3],
            "ramp_mw": [math.inf, 0.2, 0.8],
            "available": [True, True, False],
        },
    ),
    "battery_q": (
        deliver_battery_q,
        {
            "q_fraction": [-1.0, -0.3, 0.0, 1.0],
            "p_mw": [-0.5, -0.2, 0.0, 0.5],
            "s_mva": [0.0, 0.5, 0.6],
            "available": [True, True, False],
        },
    ),
    "pv_power": (
        deliver_pv_power,
        {
            "q_fraction": [-1.0, -0.3, 0.0, 1.0],
            "solar": [0.0, 0.4, 1.0, 1.2],
            "p_max_mw": [1.0, 0.8],
            "s_mva": [1.0, 0.4, 1.1],
            "curtail_fraction": [0.0, 0.5, 1.0],
            "q_priority": [True, False],
            "p_limit_mw": [math.inf, 0.0, 0.4],
            "available": [True, True, False],
        },
    ),
    "export_room": (
        export_room_mw,
        {"export_limit_mw": [math.inf, 0.0, 0.5], "load_p_mw": [0.0, 0.5, -0.2], "battery_p_mw": [-0.5, 0.0, 0.5]},
    ),
    "flexible_load": (
        deliver_flexible_load,
        {
            "curtail_fraction": [0.0, 0.4, 1.0],
            "shift_fraction": [-1.0, -0.3, 0.0, 0.5, 1.0],
            "p_load_mw": [-0.2, 0.0, 0.1, 0.6],
            "owed_mwh": [0.0, 0.05, 0.2, 0.3],
            "curtail_share": [0.0, 0.5, 1.0],
            "shift_mw": [0.0, 0.3],
            "buffer_mwh": [0.0, 0.2],
            "step_hours": [0.5],
            "available": [True, True, False],
        },
    ),
}
BATTERY = {
    "capacity_mwh": 2.1,
    "power_mw": 0.5,
    "soc_min": 0.2,
    "soc_max": 0.9,
    "step_hours": 0.5,
    "charge_efficiency": 0.93,
    "discharge_efficiency": 0.95,
}
PV = {"q_fraction": 0.6, "solar": 0.9, "p_max_mw": 1.1, "s_mva": 1.2, "curtail_fraction": 0.3}
LOAD = {
    "curtail_fraction": 0.4,
    "p_load_mw": 0.6,
    "curtail_share": 0.3,
    "shift_mw": 0.2,
    "buffer_mwh": 0.4,
    "step_hours": 0.5,
}
SMOOTH: dict[str, dict[str, float]] = {  # points where no limit is near, one for every branch of the laws
    "battery_power discharging": BATTERY | {"p_requested_mw": 0.31, "soc": 0.52, "previous_p_mw": 0.1, "ramp_mw": 0.4},
    "battery_power on its ramp": BATTERY | {"p_requested_mw": -0.4, "soc": 0.52, "previous_p_mw": 0.0, "ramp_mw": 0.2},
    "battery_power running empty": BATTERY | {"p_requested_mw": 0.45, "soc": 0.24},
    "battery_power running full": BATTERY | {"p_requested_mw": -0.45, "soc": 0.86},
    "battery_q": {"q_fraction": -0.7, "p_mw": 0.3, "s_mva": 0.6},
    "pv_power": PV,
    "pv_power at its limit": PV | {"p_limit_mw": 0.5},
    "pv_power with q first": PV | {"q_fraction": 0.95, "q_priority": 1.0},
    "export_room": {"export_limit_mw": 0.3, "load_p_mw": 0.4, "battery_p_mw": -0.2},
    "flexible_load deferring": LOAD | {"shift_fraction": 0.5, "owed_mwh": 0.05},
    "flexible_load catching up": LOAD | {"shift_fraction": -0.5, "owed_mwh": 0.15},
    "flexible_load with a full buffer": LOAD | {"shift_fraction": 0.9, "owed_mwh": 0.37},
}


def draw(name: str, n: int) -> tuple[Callable[..., Any], dict[str, jax.Array]]:
    """Give a device's law, as a function of keywords, and n random mixtures of its corners."""
    law, corners = CORNERS[name]
    random = np.random.default_rng(7)
    return law, {key: jnp.asarray(random.choice(values, n)) for key, values in corners.items()}


def outputs(law: Callable[..., Any], arguments: dict[str, Any]) -> list[np.ndarray]:
    """Give every output of a law as NumPy arrays."""
    return [np.asarray(leaf) for leaf in jax.tree.leaves(law(**arguments))]


@pytest.mark.parametrize("name", CORNERS)
def test_jit_and_eager_agree(name: str) -> None:
    law, arguments = draw(name, 256)
    for eager, jitted in zip(outputs(law, arguments), outputs(jax.jit(law), arguments), strict=True):
        # On the circle's edge the root of one rounding error of s^2 = 1 is 3e-4.
        np.testing.assert_allclose(jitted, eager, atol=5e-4 if "pv" in name or name == "battery_q" else 1e-6)


@pytest.mark.parametrize("name", CORNERS)
def test_jit_and_eager_agree_in_double_precision(name: str, float64: None) -> None:
    law, arguments = draw(name, 256)
    for eager, jitted in zip(outputs(law, arguments), outputs(jax.jit(law), arguments), strict=True):
        np.testing.assert_allclose(jitted, eager, atol=5e-8)


@pytest.mark.parametrize("name", CORNERS)
def test_vmap_and_elementwise_calls_equal_a_loop(name: str) -> None:
    law, arguments = draw(name, 24)
    single = [outputs(law, {key: value[index] for key, value in arguments.items()}) for index in range(24)]
    looped = [np.stack(values) for values in zip(*single, strict=True)]
    mapped = outputs(jax.vmap(lambda keywords: law(**keywords)), {"keywords": arguments})
    for whole, one_by_one, by_vmap in zip(outputs(law, arguments), looped, mapped, strict=True):
        np.testing.assert_array_equal(whole, one_by_one)
        np.testing.assert_array_equal(by_vmap, one_by_one)


@pytest.mark.parametrize("name", CORNERS)
def test_slopes_are_finite_in_every_corner(name: str) -> None:
    law, arguments = draw(name, 4096)
    fixed = {key: value for key, value in arguments.items() if value.dtype == bool}
    moving = {key: value for key, value in arguments.items() if key not in fixed}
    slopes = jax.jit(jax.vmap(jax.jacrev(lambda moving, fixed: law(**moving, **fixed))))(moving, fixed)
    for slope in jax.tree.leaves(slopes):
        assert np.isfinite(np.asarray(slope)).all()


@pytest.mark.parametrize("point", SMOOTH)
def test_slopes_equal_finite_differences(point: str, float64: None) -> None:
    law, _ = CORNERS[point.split()[0]]
    values = SMOOTH[point]
    fixed = {key: value for key, value in values.items() if key in ("q_priority", "step_hours")}
    moving = {key: jnp.asarray(value) for key, value in values.items() if key not in fixed}
    check_grads(lambda moving: law(**moving, **fixed), (moving,), order=1, atol=1e-7, rtol=1e-7, eps=1e-5)


BROKEN = [(point, name) for point in SMOOTH for name in SMOOTH[point] if name != "q_priority"]


@pytest.mark.parametrize(("point", "broken"), BROKEN)
def test_what_is_not_a_number_stays_visible(point: str, broken: str) -> None:
    law, _ = CORNERS[point.split()[0]]
    assert any(np.isnan(value).any() for value in outputs(law, SMOOTH[point] | {broken: math.nan}))


@pytest.mark.parametrize(
    ("value", "neutral", "like", "off"),
    [
        (1.0, 1.0, 0.3, True),
        (1, 1.0, 0.3, True),
        (np.ones(3), 1.0, np.zeros(3), True),
        (np.ones(3), 1.0, np.zeros((2, 3)), True),
        (np.ones(3), 1.0, np.zeros(()), False),  # the result has three entries
        (np.array([1.0, 0.9]), 1.0, np.zeros(2), False),
        (math.inf, math.inf, 0.3, True),
        (True, True, np.zeros(2), True),
        (np.array([True, False]), True, np.zeros(2), False),
    ],
)
def test_an_option_is_off_if_it_changes_neither_values_nor_shape(
    value: Any, neutral: Any, like: Any, off: bool
) -> None:
    assert is_off(value, neutral, like) is off
    assert not is_off(jnp.asarray(value), neutral, like)  # may be traced


DEVICES = {
    "battery": lambda **fields: Battery(7, 2.0, 0.5, **fields),
    "pv": lambda **fields: PvInverter(7, 1.0, 1.0, **fields),
    "load": lambda **fields: FlexibleLoad(7, curtail_share=0.1, **fields),
}


@pytest.mark.parametrize("kind", DEVICES)
def test_a_devices_label_is_its_name_or_made_of_its_bus(kind: str) -> None:
    assert DEVICES[kind]().label == f"{kind}_7"
    assert DEVICES[kind](name="School-2_b").label == "School-2_b"


@pytest.mark.parametrize("kind", DEVICES)
@pytest.mark.parametrize("name", ["a b", "a,b", "ä", "a\n"])
def test_names_that_are_not_fit_for_a_column_are_refused(kind: str, name: str) -> None:
    with pytest.raises(nf.InputError, match=r"at bus 7: name = .* must be made of letters, digits, _ and -"):
        DEVICES[kind](name=name)


@pytest.mark.parametrize(("kind", "term", "recorded"), [
    (Battery, "throughput", None), (Battery, "reactive", "battery_q_mvar"), (PvInverter, "reactive", "pv_q_mvar")
])  # fmt: skip
def test_what_rests_is_pushed_nowhere_by_what_moving_costs(kind: Any, term: str, recorded: str | None) -> None:
    """JAX takes the derivative of |x| at 0 as 1: costs of throughput and reactive power pushed idle devices down."""
    amount = next(each.amount for each in kind.costs if each.name == term)
    params = SimpleNamespace(throughput_cost=0.0)

    def cost(power: jax.Array) -> jax.Array:
        return amount(params, SimpleNamespace(p_mw=power, recorded={recorded: power}), 1.0, 1.0).sum()

    assert [float(jax.grad(cost)(power)) for power in (-0.3, 0.0, 0.2)] == [-1.0, 0.0, 1.0]
    assert [float(cost(power)) for power in (-0.3, 0.0, 0.2)] == pytest.approx([0.3, 0.0, 0.2])
