"""The example of a user's own kind: its physics by hand, its twin, and all of it from the command line."""

import dataclasses
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from users_modules import forgotten_afterwards

import neomflex_jax as nf
from neomflex_jax.agents.policy import NoControl
from neomflex_jax.devices import Surroundings
from neomflex_jax.environment import evaluation_environment
from neomflex_jax.evaluation import Trajectory, record
from neomflex_jax.profiles import resolve_profiles
from neomflex_jax.users_modules import import_named
from validation.recompute.device_limits import device_excess
from validation.recompute.energies import energy_gaps_mwh
from validation.recompute.record import record_of

EXAMPLE = Path(__file__).parents[2] / "examples" / "heat_pump.py"


@pytest.fixture(scope="module")
def example() -> Iterator[ModuleType]:
    with forgotten_afterwards("heat_pump"):
        import_named(str(EXAMPLE))
        yield sys.modules["heat_pump"]


def at(hour: float, **others: Any) -> Surroundings:
    nothing = jnp.zeros(())
    known: dict[str, Any] = {"step_hours": 0.5, "step": jnp.asarray(int(2 * hour)), "in_service": True} | others
    plain: dict[str, Any] = {"demand": nothing, "solar": nothing, "price": None}
    return Surroundings(**known, **plain, load=lambda: (nothing, nothing), others_p_mw=lambda: nothing)


def test_a_room_follows_its_differential_equation(example: ModuleType) -> None:
    pump = example.HeatPump(bus=1, power_mw=0.2)
    delivered = example.HeatPump.step(
        example.HeatPump.stack([pump]), {"heat_pump_p": jnp.array([0.25])}, jnp.array([20.0]), at(16.0)
    )
    drawn_mw, outdoor_celsius, celsius = -float(delivered.p_mw[0]), 4.0 + 5.0, 20.0
    for _ in range(10_000):  # noon and midnight of the curve are at 16 and 4 o'clock
        heat_mw = pump.cop * drawn_mw - pump.losses_mw_per_k * (celsius - outdoor_celsius)
        celsius += heat_mw / pump.capacity_mwh_per_k * 0.5 / 10_000
    assert float(delivered.store[0]) == pytest.approx(celsius, abs=1e-3)
    assert pytest.approx(drawn_mw) == 0.2 and delivered.clipped[0] > 0  # cold, and asked for more still


def test_no_action_is_a_thermostat_and_ratings_bind(example: ModuleType) -> None:
    pumps = [example.HeatPump(bus=bus, power_mw=0.2) for bus in (1, 2, 3, 4)]
    asked = {"heat_pump_p": jnp.array([0.0, -1.0, 1.0, 1.0])}
    params, store = example.HeatPump.stack(pumps), jnp.array([21.4, 21.4, 21.4, 30.0])
    delivered = example.HeatPump.step(params, asked, store, at(6.0))
    np.testing.assert_allclose(delivered.store[0], 21.5, atol=1e-4)
    np.testing.assert_allclose(delivered.clipped[0], 0.0, atol=1e-6)
    np.testing.assert_allclose(delivered.p_mw[1:], [0.0, -0.2, -0.2], atol=1e-6)
    out = example.HeatPump.step(params, asked, store, at(6.0, in_service=jnp.zeros(4, bool)))
    assert not out.p_mw.any() and not out.clipped.any()


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"power_mw": 0.0}, "heat pump at bus 24: power_mw = 0.0 must be above 0"),
        ({"power_mw": 0.1, "comfort_min_celsius": 25.0}, "comfort_max_celsius = 23.0 must satisfy -50 <"),
        ({"power_mw": 0.1, "outdoor_swing_k": -1.0}, "outdoor_swing_k = -1.0 must be at least 0"),
    ],
)
def test_a_row_that_makes_no_sense_is_refused(example: ModuleType, fields: dict[str, Any], complaint: str) -> None:
    with pytest.raises(nf.InputError, match=complaint):
        nf.load_scenario(example.SCENARIO, heat_pumps=[{"bus": 24, **fields}])


@pytest.fixture(scope="module")
def played(example: ModuleType) -> Trajectory:
    env = evaluation_environment(nf.make(example.SCENARIO, power_flow="lindistflow"))
    return record(env, NoControl(env.action_size), "idle", n_days=1)


def test_its_twin_agrees_and_finds_faults(played: Trajectory) -> None:
    feeder = record_of(played).feeder
    assert np.abs(energy_gaps_mwh(played, feeder)).max() < 1e-5 and device_excess(played, feeder).max() < 1e-5
    assert np.ptp(played.heat_pump_p_mw, axis=0).min() > 0.01, "the outdoor temperature has no effect"
    warmer = dataclasses.replace(played, heat_pump_celsius=played.heat_pump_celsius + np.float32(0.1))
    assert np.abs(energy_gaps_mwh(warmer, feeder)).max() > 0.01
    more = dataclasses.replace(played, heat_pump_p_mw=played.heat_pump_p_mw - np.float32(0.2))
    assert device_excess(more, feeder).max() > 0.01


@pytest.mark.slow
def test_it_trains_evaluates_plots_and_passes_validation(tmp_path: Path) -> None:
    day, output = tmp_path / "day.csv", tmp_path / "results"
    lines = resolve_profiles("testing").read_text(encoding="utf-8").splitlines()
    day.write_text("\n".join(lines[:49]) + "\n", encoding="utf-8")
    command = [sys.executable, str(EXAMPLE), "--output", str(output), "--seconds", "20", "--profiles", str(day)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "record confirmed by pandapower: PASS" in done.stdout
    assert (output / "voltage.png").stat().st_size > 10_000
    assert "heat_pump_bus_24_celsius" in (output / "evaluation" / "step_metrics.csv").read_text().partition("\n")[0]
    config = json.loads((output / "run" / "config.json").read_text())
    assert config["scenario"]["device_modules"] == {"heat_pumps": "heat_pump"}
    again = ["evaluate", "--policies", output / "run", "--profiles", day, "--output", tmp_path / "again"]
    without, named = (in_a_process_of_its_own(*again, *flags) for flags in ((), ("--import", EXAMPLE)))
    assert without.returncode == 2
    assert "import 'heat_pump', which registers it" in " ".join((without.stdout + without.stderr).split())
    assert named.returncode == 0 and "validated: PASS" in named.stdout, named.stdout + named.stderr


def in_a_process_of_its_own(*words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "neomflex_jax", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False)
