"""Steps and runs on feeders with phases, played by us and answered by OpenDSS."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

import neomflex_jax as nf
from neomflex_jax.environment import evaluation_environment
from neomflex_jax.environment.step.actions import lay_out_actions
from neomflex_jax.evaluation import Trajectory, record
from neomflex_jax.grid.unbalanced import GROUND, Load
from neomflex_jax.profiles import profiles_hash
from validation.closed_loop.acting import ActingPolicy
from validation.recompute.phase_set_points import PhaseSetPoints
from validation.referee.opendss.day_solver import opendss_day_solver
from validation.referee.runpp import Solved

SMALL = """
name = "small13"
feeder = "ieee13"
power_flow = "ac"
step_hours = 3.0
steps_per_day = 8

[[territories]]
agent = "north"
buses = ["sourcebus", "rg60", "650", "632", "633", "634", "645", "646", "670"]
[[territories]]
agent = "south"
buses = ["671", "680", "684", "611", "652", "692", "675"]

[[batteries]]
bus = "675"
capacity_mwh = 2.0
power_mw = 0.2
s_mva = 0.22
[[pv_inverters]]
bus = "634"
p_max_mw = 0.15
s_mva = 0.18
phases = [2]
[[flexible_loads]]
bus = "646"
curtail_share = 0.5

[limits]
hard_min_pu = 0.7
hard_max_pu = 1.2
[reward]
unbalance_weight = 2.0
[rules]
first_observation = "devices_at_zero"
"""


OPERATED = """
[[tap_changers]]
bus = "rg60"
phases = [1]
from_bus = "650"
to_bus = "rg60"
steps = 16
step_percent = 0.625
operation_cost = 0.1
[[tap_changers]]
bus = "650"
phases = [2, 3]
from_bus = "650"
to_bus = "rg60"
steps = 10
step_percent = 0.625
[[capacitor_banks]]
bus = "675"
step_mvar = 0.6
operation_cost = 0.2
[[capacitor_banks]]
bus = "611"
step_mvar = 0.1
operations_per_day = 2
"""


def random_steps(
    feeder: nf.UnbalancedFeeder, n_steps: int, device_nodes: Sequence[int] = (), highest: float = 1.3
) -> PhaseSetPoints:
    """Every load by itself at 0.3 to `highest` of its power, and devices that feed in and draw."""
    rng = np.random.default_rng(0)
    factors = rng.uniform(0.3, highest, (n_steps, feeder.n_load))
    share = np.abs(feeder.load_p_mw).sum() / 20
    p_mw, q_mvar = (rng.uniform(-share, share, (n_steps, len(device_nodes))) for _ in range(2))
    loads = (feeder.load_p_mw * factors, feeder.load_q_mvar * factors)
    return PhaseSetPoints(*loads, p_mw, q_mvar, tuple(device_nodes))


def play(feeder: nf.UnbalancedFeeder, points: PhaseSetPoints) -> nf.PowerFlowResult:
    """Our own answer, in double precision: a device is a constant power between its node and ground."""
    devices = [Load(f"d{node}", (node, GROUND), 1, "wye", 1.0, 0.0, 0.0) for node in points.device_nodes]
    feeder = replace(feeder, loads=(*feeder.loads, *devices))
    p_mw = np.concatenate([points.load_p_mw, -points.device_p_mw], axis=1)
    q_mvar = np.concatenate([points.load_q_mvar, -points.device_q_mvar], axis=1)
    with jax.enable_x64(True):
        return nf.bind(feeder).solve(p_mw, q_mvar)


def ask_opendss(feeder: nf.UnbalancedFeeder, points: PhaseSetPoints) -> Solved:
    """OpenDSS's answer."""
    return opendss_day_solver(feeder, points.device_nodes).solve(points)


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class Waves:
    """Actions that follow the observations smoothly, so that a closed loop stays with the record."""

    action_size: int = field(metadata={"static": True})
    swing: float = field(default=0.0, metadata={"static": True})  # by the sum of all that is seen

    def __call__(self, observation: jax.Array) -> jax.Array:
        phase = 2 * jnp.arange(self.action_size) + self.swing * observation.sum(axis=1, keepdims=True)
        return jnp.sin(5 * observation[:, : self.action_size] + phase)


def waves(scenario: nf.Scenario, swing: float = 0.0) -> ActingPolicy:
    """The same policy, in NumPy and by agent."""
    sizes = lay_out_actions(scenario).mask.sum(axis=1)

    def act(observations: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        own = zip(observations.items(), sizes, strict=True)
        return {
            agent: np.sin(5 * seen[:size] + 2 * np.arange(size) + swing * seen.sum()) for (agent, seen), size in own
        }

    return act


def small_run(
    folder: Path, more: str = "", swing: float = 0.0, head: str = "", task: str = SMALL
) -> tuple[Trajectory, Path]:
    """Two days of a task, from light loads to some that see less than their vminpu, and the profiles' file.

    `more` are tables of further devices, `head` further fields; by `swing` actions follow all observations.
    """
    hours = np.arange(16) * 3.0
    demand = 1.0 + 0.6 * np.sin(hours / 24 * 2 * np.pi - 1.0) + 0.02 * (hours // 24)
    solar = np.clip(np.sin((hours % 24 - 6) / 12 * np.pi), 0.0, 1.0)
    rows = [f"{one:.6f},{sun:.6f}" for one, sun in zip(demand, solar, strict=True)]
    profiles = folder / "days.csv"
    profiles.write_text("\n".join(["Demand,Solar", *rows]) + "\n", encoding="utf-8")
    path = folder / "small13.toml"
    path.write_text(
        f'profiles = "{profiles}"\nevaluation_profiles = "{profiles}"\n{head}{task}{more}', encoding="utf-8"
    )
    env = evaluation_environment(nf.make(path))
    run = record(env, Waves(env.action_size, swing), "waves", n_days=2, profiles_sha256=profiles_hash(profiles))
    return run, profiles


def answered(run: Trajectory, flow: nf.PowerFlowResult) -> Trajectory:
    """A run with the grid quantities of other answers to its steps."""
    names = ("vm_pu", "loss_mw", "slack_p_mw", "slack_q_mvar", "vuf_percent")
    return dataclasses.replace(
        run,
        **{name: np.asarray(getattr(flow, name), np.float32) for name in names if name != "vuf_percent"},
        devices={**run.devices, "vuf_percent": np.asarray(flow.vuf_percent, np.float32)},
    )
