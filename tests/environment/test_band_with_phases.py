"""Band control on feeders with phases: where it comes to rest, what it measures, and which way it moves."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import neomflex_jax as nf
from neomflex_jax.grid.library import load_feeder

HEAD = {"from_bus": "650", "to_bus": "rg60", "steps": 16, "step_percent": 0.625, "control": "band"}
BASE_V = 4160 / 3**0.5
BAND = {"vm_set_pu": 122 * 20 / BASE_V, "dead_band_pu": 2 * 20 / BASE_V}  # 122 V and 2 V behind 20:1
N_STEPS = 24


def played(folder: Path, load: float, **devices: Any) -> dict[str, np.ndarray]:
    """The record of a day on loads that stand still, of which agents ask nothing."""
    days = folder / "still.csv"
    days.write_text("Demand,Solar\n" + N_STEPS * f"{load},0.0\n", encoding="utf-8")
    rules = {"energies": "carried", "day_order": "file", "steps_per_day": N_STEPS, "step_hours": 1.0}
    none: dict[str, Any] = {"batteries": [], "tap_changers": [], "capacitor_banks": []}
    env = nf.make("ieee13_volt_var", profiles=str(days), **rules, **none | devices)
    still = jnp.zeros((env.n_agents, env.action_size))

    @jax.jit
    def day(state: nf.State) -> dict[str, jax.Array]:
        return jax.lax.scan(lambda one, _: _stepped(env, one, still), state, None, length=N_STEPS)[1]

    return {name: np.asarray(values) for name, values in day(env.reset(jax.random.key(0))[0]).items()}


def _stepped(env: nf.Environment, state: nf.State, still: jax.Array) -> tuple[nf.State, dict[str, jax.Array]]:
    state, step = env.step(state, still)
    names = [name for name in ("vm_pu", "tap_position", "capacitor_steps") if name in step.info]
    return state, {name: step.info[name] for name in names}


def test_positions_come_to_rest_where_opendss_regulators_do(tmp_path: Path) -> None:
    """Phase by phase, from rated taps; OpenDSS's move by one step at a time, too."""
    load = 1.1
    dss = pytest.importorskip("opendssdirect", reason="OpenDSS is not installed (extra opendss)")
    taps = [{"bus": bus, "phases": [phase]} | HEAD | BAND for phase, bus in enumerate(("rg60", "650", "632"), 1)]
    found = played(tmp_path, load, tap_changers=taps, capacitor_banks=[{"bus": "675", "step_mvar": 0.6}])
    circuit = load_feeder("ieee13").circuit
    assert circuit is not None
    engine = dss.NewContext()
    engine.Text.Command(f'compile "{circuit.path}"')
    for number in (1, 2, 3):
        engine.Text.Command(f"edit regcontrol.reg{number} vreg=122 band=2 r=0 x=0 maxtapchange=1")
        engine.Text.Command(f"edit transformer.reg{number} wdg=2 tap=1")
    for command in ("edit capacitor.cap1 states=(0)", f"set loadmult={load}", "set controlmode=static"):
        engine.Text.Command(command)
    engine.Text.Command("set maxcontroliter=100 tolerance=1e-9 maxiterations=100")
    engine.Text.Command("solve")
    positions = []
    for number in (1, 2, 3):
        engine.Transformers.Name(f"reg{number}")
        engine.Transformers.Wdg(2)
        positions.append(round((1 - engine.Transformers.Tap()) / 0.00625))
    assert engine.Solution.Converged() and any(positions)
    np.testing.assert_array_equal(found["tap_position"][-1], positions)
    np.testing.assert_array_equal(found["tap_position"][-2], positions)
    assert np.abs(np.diff(found["tap_position"], axis=0)).max() == 1
    named = {label.lower(): abs(v) for label, v in zip(engine.Circuit.YNodeOrder(), _complex(engine), strict=True)}
    labels = load_feeder("ieee13").node_labels
    at = [labels.index(f"rg60.{phase}") for phase in (1, 2, 3)]
    expected = [named[f"rg60.{phase}"] / BASE_V for phase in (1, 2, 3)]
    np.testing.assert_allclose(found["vm_pu"][-1][at], expected, atol=5e-6)


def _complex(engine: Any) -> np.ndarray:
    return np.asarray(engine.Circuit.YNodeVArray()).view(complex)


def test_ganged_devices_go_by_the_mean_of_their_phases(tmp_path: Path) -> None:
    """The rule worked by hand on the recorded voltages: two regulators by 671, and a bank by its own bus."""
    tap = {"bus": "rg60", "phases": [1, 3], "controlled_bus": "671", "vm_set_pu": 1.0, "dead_band_pu": 0.01}
    own = {"bus": "675", "step_mvar": 0.6, "control": "band", "vm_set_pu": 0.98, "dead_band_pu": 0.004}
    found = played(tmp_path, 1.3, tap_changers=[HEAD | tap], capacitor_banks=[own, {"bus": "611", "step_mvar": 0.1}])
    labels = load_feeder("ieee13").node_labels
    where = {"671": ("671.1", "671.3"), "675": ("675.1", "675.2", "675.3")}
    vm_pu = {bus: found["vm_pu"][:, [labels.index(one) for one in of]].mean(axis=1) for bus, of in where.items()}
    position, steps = [0], [0]
    for before_tap, before_bank in zip(vm_pu["671"][:-1], vm_pu["675"][:-1], strict=True):
        lower = int(before_tap > 1.005) - int(before_tap < 0.995)  # positions above 0 lower the voltage
        position.append(int(np.clip(position[-1] + lower, -16, 16)))
        more = int(before_bank < 0.978) - int(before_bank > 0.982)
        steps.append(int(np.clip(steps[-1] + more, 0, 1)))
    np.testing.assert_array_equal(found["tap_position"][:, 0], position)
    np.testing.assert_array_equal(found["capacitor_steps"][:, 0], steps)
    assert min(position) <= -4 and max(steps) == 1
    assert abs(vm_pu["671"][5] - found["vm_pu"][5, labels.index("671.2")]) > 0.01  # the phase that is left out differs
