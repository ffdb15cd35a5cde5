"""Tap changers and capacitor banks on feeders with phases: they move what the feeder has, in its own whole steps."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import neomflex_jax as nf
from neomflex_jax.devices import CapacitorBank, TapChanger

BAND = {"control": "band", "vm_set_pu": 1.0, "dead_band_pu": 0.02}


@pytest.fixture(scope="module")
def scenario() -> nf.Scenario:
    return nf.load_scenario("ieee13_volt_var")


def test_a_step_has_the_voltages_of_the_feeder_at_these_positions(scenario: nf.Scenario) -> None:
    env = nf.make(replace(scenario, batteries=()))
    state, _ = env.reset(jax.random.key(1))
    action = jnp.zeros((1, env.action_size)).at[0].set(jnp.array([-0.55, -0.3, 0.9, 1.0, -1.0]))
    state, step = jax.jit(env.step)(state, action)
    info = step.info
    np.testing.assert_array_equal(info["tap_position"], [-9, -5, 14])  # the nearest steps of 16 x request
    np.testing.assert_array_equal(info["capacitor_steps"], [1, 0])
    taps = {(f"transformer.reg{k}", 2): 1 - 0.00625 * n for k, n in zip((1, 2, 3), (-9, -5, 14), strict=True)}
    feeder = nf.load_feeder("ieee13").with_taps(taps).with_steps({"capacitor.cap2": 0})
    expected = nf.bind(feeder).solve(info["load_p_mw"], info["load_q_mvar"])
    np.testing.assert_allclose(info["vm_pu"], expected.vm_pu, atol=2e-6)
    assert env.power_flow.chosen.capacitors == ("capacitor.cap1", "capacitor.cap2")
    with pytest.raises(nf.InputError, match="does not set the taps and capacitors that scenario"):
        nf.make(replace(scenario, batteries=()), power_flow=nf.bind(nf.load_feeder("ieee13")))


def test_derivatives_pass_whole_steps(scenario: nf.Scenario) -> None:
    """Straight through: a higher position lowers the voltage behind it, as whole steps do."""
    env = nf.make(replace(scenario, batteries=()))
    state, _ = env.reset(jax.random.key(1))

    def lowest(request: jax.Array) -> jax.Array:
        action = jnp.zeros((1, env.action_size)).at[0, 0].set(request)
        return env.step(state, action)[1].info["vm_pu"][6]  # rg60.1

    slope = jax.jit(jax.grad(lowest))(0.01)
    span = (jax.jit(lowest)(0.5) - jax.jit(lowest)(-0.5)) / 1.0
    assert slope < -0.05
    np.testing.assert_allclose(slope, span, rtol=0.1)


def changed(scenario: nf.Scenario, kind: type, number: int, **fields: object) -> nf.Scenario:
    own = list(scenario.of(kind))
    own[number] = replace(own[number], **fields)
    return replace(scenario, further=type(scenario.further)({**scenario.further, kind.table: tuple(own)}))


@pytest.mark.parametrize(
    ("kind", "number", "fields", "said"),
    [
        (TapChanger, 0, {"step_percent": 1.25, "steps": 8}, "transformer.reg1 has steps of 0.625 per cent"),
        (TapChanger, 0, {"steps": 17}, "transformer.reg1 has 16 steps on each side"),
        (TapChanger, 0, {"from_bus": "632"}, "no transformer joins bus 632 to bus rg60"),
        (TapChanger, 1, {"phases": (1,)}, "two devices of the scenario move ('transformer.reg1', 2)"),
        (CapacitorBank, 0, {"step_mvar": 0.5}, "capacitor.cap1 of feeder 'ieee13' have 0.6 Mvar"),
        (CapacitorBank, 0, {"bus": "671"}, "has no capacitor at bus 671"),
        (TapChanger, 0, BAND | {"controlled_bus": "650"}, "no voltage of bus 650, which is not behind the branch from"),
        (TapChanger, 0, BAND | {"controlled_bus": "611"}, "has phase 1, which bus 611 does not have; it has 3"),
        (TapChanger, 0, BAND | {"controlled_bus": "nowhere"}, "the controlled bus of tap_rg60 names bus nowhere"),
        (
            TapChanger,
            0,
            BAND | {"from_bus": "rg60", "to_bus": "650", "controlled_bus": "671"},
            "is listed towards the slack, where it can control the bus of its from end alone: controlled_bus = rg60",
        ),
    ],
)
def test_what_the_feeder_does_not_have_is_refused(
    scenario: nf.Scenario, kind: type, number: int, fields: dict[str, object], said: str
) -> None:
    with pytest.raises(nf.InputError) as refused:
        nf.make(changed(scenario, kind, number, **fields))
    assert said in str(refused.value)
