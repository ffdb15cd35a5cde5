"""EV chargers: sessions are met as far as their power allows, what lacks at departure is unmet and costs."""

import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import neomflex_jax as nf
from neomflex_jax.devices.ev_charger import EvCharger, Present, _of_every_day

# at bus 24: 0.2 MWh from 8:00 to 10:00 at 0.2 MW; 0.3 MWh from 17:30 to 18:30 at 0.2 MW, of which 0.1 cannot be met
TWO = {"bus": 24, "sessions": [[8.0, 10.0, 0.2, 0.2], [17.5, 18.5, 0.3, 0.2]]}
LOSSY = {"bus": 30, "sessions": [[0.0, 24.0, 0.9, 0.1]], "efficiency": 0.9, "power_factor": 0.8, "unmet_cost": 0.0}


def play(share: float, chargers: list[dict[str, object]]) -> tuple[nf.Environment, dict[str, np.ndarray]]:
    """A day in file order with one share of holding back."""
    env = nf.make("neom33", power_flow="lindistflow", day_order="file", energies="carried", ev_chargers=chargers)
    columns = env.action_layout.by_device["ev_delay"]
    fractions = jnp.zeros(len(env.action_layout.controls)).at[columns].set(-share)
    action = jnp.append(fractions, 0.0)[env.action_layout.slots]
    state, _ = env.reset(jax.random.key(0))
    _, timesteps = jax.lax.scan(lambda state, _: env.step(state, action), state, None, length=48)
    return env, {name: np.asarray(values, float) for name, values in timesteps.info.items()}


def test_uncontrolled_vehicles_charge_at_once_and_what_lacks_is_unmet() -> None:
    _, info = play(0.0, [TWO])
    expected = np.zeros(48)
    expected[[16, 17]] = -0.2  # 0.2 MWh in two half-hours
    expected[[35, 36]] = -0.2  # both half-hours that there are
    np.testing.assert_allclose(info["ev_p_mw"][:, 0], expected, atol=1e-6)
    unmet = np.zeros(48)
    unmet[36] = 0.1
    np.testing.assert_allclose(info["ev_unmet_mwh"][:, 0], unmet, atol=1e-6)
    np.testing.assert_allclose(info["reward_unmet_energy"][:, 0], -1000.0 * unmet, atol=1e-3)
    np.testing.assert_array_equal(info["ev_wanted_mwh"][[18, 19, 36, 47], 0], 0.0)


def test_what_is_held_back_is_charged_later_as_far_as_there_is_time() -> None:
    _, info = play(0.5, [TWO])
    np.testing.assert_allclose(info["ev_p_mw"][16:20, 0], [-0.1, -0.1, -0.1, -0.05], atol=1e-6)
    np.testing.assert_allclose(info["ev_unmet_mwh"][[19, 36], 0], [0.025, 0.2], atol=1e-6)
    _, info = play(1.0, [TWO])
    np.testing.assert_array_equal(info["ev_p_mw"], 0.0)
    np.testing.assert_allclose(info["ev_unmet_mwh"][[19, 36], 0], [0.2, 0.3], atol=1e-6)


def test_energies_close_with_losses_and_a_session_may_last_all_day() -> None:
    env, info = play(0.0, [TWO, LOSSY])
    drawn_mwh = -0.5 * info["ev_p_mw"][:, 1].sum()
    assert drawn_mwh * 0.9 == pytest.approx(0.9, abs=1e-5)
    assert info["ev_p_mw"][:20, 1] == pytest.approx(-0.1, abs=1e-5)
    np.testing.assert_allclose(info["ev_q_mvar"][:, 1], 0.75 * info["ev_p_mw"][:, 1], atol=1e-7)
    assert info["p_injection_mw"][0, 30] == pytest.approx(-0.1 - info["load_p_mw"][0, 30], abs=1e-6)
    assert np.flatnonzero(env.describe().name == "wanted at ev_30").size == 1


def of_a_day(*sessions: tuple[float, float, float, float], step_hours: float = 0.5) -> list[np.ndarray]:
    """Energy of who comes, mean power allowed, and who leaves, in every step."""
    params = jax.tree.map(jnp.asarray, EvCharger.stack([EvCharger(24, sessions)]))

    @jax.jit
    def at(step: jax.Array) -> Present:
        return _of_every_day(params, types.SimpleNamespace(step=step, step_hours=step_hours))

    rows = jax.vmap(at)(jnp.arange(round(24 / step_hours)))
    return [np.asarray(values[:, 0], float) for values in (rows.energy_mwh, rows.power_mw, rows.leaves)]


def test_part_of_a_step_counts_as_such_and_a_step_has_one_vehicle() -> None:
    energy_mwh, power_mw, leaves = of_a_day(
        (8 + 1 / 6, 9.75, 0.1, 0.12), (9.8, 10.25, 0.02, 0.12), (10.3, 10.4, 0.01, 0.12), (23.9, 24.0, 0.01, 0.12)
    )
    expected = {16: 0.08, 17: 0.12, 18: 0.12, 19: 0.06, 20: 0.06, 47: 0.024}
    np.testing.assert_allclose(power_mw, [expected.get(step, 0.0) for step in range(48)], atol=1e-7)
    wanted = {16: 0.1, 20: 0.02, 47: 0.01}
    np.testing.assert_allclose(energy_mwh, [wanted.get(step, 0.0) for step in range(48)], atol=1e-7)
    np.testing.assert_array_equal(np.flatnonzero(leaves), [19, 20, 47])


def test_a_session_of_whole_minutes_has_its_power_in_whole_steps_exactly() -> None:
    _, power_mw, _ = of_a_day((7 + 20 / 60, 23 + 5 / 60, 0.1, 0.12), step_hours=1 / 12)
    np.testing.assert_array_equal(power_mw, np.float32(0.12) * ((np.arange(288) >= 88) & (np.arange(288) < 277)))


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"sessions": []}, "at least one"),
        ({"sessions": [[9.0, 8.0, 0.1, 0.1]]}, "in order that do not overlap"),
        ({"sessions": [[8.0, 10.0, 0.1, 0.1], [9.0, 11.0, 0.1, 0.1]]}, "in order that do not overlap"),
        ({"sessions": [[8.0, 25.0, 0.1, 0.1]]}, "in 0..24"),
        ({"sessions": [[8.0, 10.0, 0.0, 0.1]]}, "energy_mwh = 0.0 must be above 0"),
        ({"sessions": [[8.0, 10.0, 0.1]]}, "must be a list of 4"),
        ({"sessions": TWO["sessions"], "efficiency": 1.2}, "efficiency = 1.2 must lie above 0"),
        ({"sessions": TWO["sessions"], "unmet_cost": -1.0}, "unmet_cost = -1.0 must be at least 0"),
    ],
)
def test_bad_fields_are_named(fields: dict[str, object], complaint: str) -> None:
    with pytest.raises(nf.InputError, match=complaint):
        nf.load_scenario("neom33", ev_chargers=[{"bus": 24, **fields}])
