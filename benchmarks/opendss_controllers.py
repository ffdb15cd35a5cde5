"""What a day of `ieee13_volt_var` costs under OpenDSS's own controllers, beside a trained policy and fixed taps.

``python benchmarks/opendss_controllers.py --policies RUN --days 14``

The first days of the evaluation in the scenario's environment, with its reward. *fixed as published*: regulators and
banks stand where the circuit's file leaves them. *OpenDSS's controllers*: OpenDSS solves every step in its static
control mode, with the RegControls of the file (banks in, as it has no CapControl), from the taps of the step before,
under the step's loads; the environment moves to these positions, and counts and charges the operations.
The battery idles under all but the policy. Needs the extra `opendss`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import opendssdirect
import tyro

import neomflex_jax as nf
from neomflex_jax.agents.policy import NoControl
from neomflex_jax.commands.played_runs import record_runs
from neomflex_jax.environment import Environment, State, evaluation_environment
from neomflex_jax.evaluation import Trajectory, record
from neomflex_jax.scenario.controls import controls_of

CIRCUIT = Path(nf.__file__).parent / "feeders" / "ieee13" / "opendss" / "IEEE13Nodeckt.dss"
REGULATORS = ("Reg1", "Reg2", "Reg3")  # as the scenario's tap changers
STEP_PU, MOST = 0.00625, 16


@dataclass(frozen=True)
class Options:
    """Compare OpenDSS's controllers with a policy."""

    policies: Path
    """Output folder of a training on ieee13_volt_var."""
    days: int = 14
    """How many days of the evaluation."""


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class Schedule:
    """Plays given actions, (n_steps, action_size), one step after another."""

    actions: jax.Array

    def start(self, env: Environment) -> jax.Array:
        """Begin at the first step."""
        return jnp.zeros((), jnp.int32)

    def act(
        self, env: Environment, state: State, observation: jax.Array, memory: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        """Return the step's row, of the one agent."""
        return self.actions[memory][None], memory + 1


def followed_taps(loads: Trajectory, feeder: nf.UnbalancedFeeder, *, frozen: bool) -> np.ndarray:
    """Taps of the regulators in OpenDSS under a run's loads, (n_steps, 3), frozen as the file leaves them or not."""
    engine = opendssdirect.NewContext()
    engine.Text.Command(f'redirect "{CIRCUIT}"')
    engine.Text.Command("solve")  # as the file's users begin
    mode = "off" if frozen else "static"
    engine.Text.Command(f"set mode=snapshot controlmode={mode} tolerance=1e-8 maxiterations=100")
    names = [load.name.partition(".")[2] for load in feeder.loads]
    found = []
    for p_mw, q_mvar in zip(loads.load_p_mw, loads.load_q_mvar, strict=True):
        for name, p, q in zip(names, p_mw, q_mvar, strict=True):
            engine.Loads.Name(name)
            engine.Loads.kW(float(1000 * p))
            engine.Loads.kvar(float(1000 * q))
        engine.Solution.Solve()
        assert engine.Solution.Converged()
        taps = []
        for name in REGULATORS:
            engine.Transformers.Name(name)
            engine.Transformers.Wdg(2)
            taps.append(engine.Transformers.Tap())
        found.append(taps)
    return np.array(found)


def actions_of(taps: np.ndarray, env: Environment) -> jax.Array:
    """Actions that hold these taps and both banks in; tap t is position (1 - t) / step."""
    positions = {f"tap_{n}": np.round((1 - taps[:, n]) / STEP_PU) / MOST for n in range(3)}
    columns = []
    for entry in controls_of(env.scenario):
        if entry.kind.table == "tap_changers":
            columns.append(positions[f"tap_{entry.number}"])
        else:
            columns.append(np.full(len(taps), 1.0 if entry.kind.table == "capacitor_banks" else 0.0))
    return jnp.asarray(np.stack(columns, axis=1), jnp.float32)


def main(options: Options) -> None:
    """Print each controller's mean cost of a day and extremes of voltage."""
    policy = record_runs(options.policies, None, None, baseline=False).trajectories[0]
    scenario = policy.scenario
    env = evaluation_environment(nf.make(scenario))
    n_steps = options.days * scenario.steps_per_day
    idle = record(env, NoControl(env.action_size), "no control", options.days)
    feeder = nf.load_feeder(scenario.feeder)
    assert isinstance(feeder, nf.UnbalancedFeeder)
    runs = [idle]
    for name, frozen in (("fixed as published", True), ("OpenDSS's controllers", False)):
        actions = actions_of(followed_taps(idle, feeder, frozen=frozen), env)
        runs.append(record(env, Schedule(actions), name, options.days))
    for run in (*runs, policy.rows(np.arange(n_steps))):
        cost = -run.reward[:, 0].sum() / options.days
        print(f"{run.run:22} day cost {cost:9.2f}  {run.vm_pu.min():.4f}..{run.vm_pu.max():.4f} pu")


if __name__ == "__main__":
    main(tyro.cli(Options))
