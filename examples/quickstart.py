"""Train, evaluate, validate and plot, in Python: the whole way on one page, to copy and change.

    python examples/quickstart.py --seconds 60

`--scenario` takes a name or a TOML file of your own (`neomflex scenario new` writes one), `--days` a CSV file of the
days to judge on.
"""

import argparse
from pathlib import Path

import neomflex_jax as nf
from neomflex_jax.agents.policy import NoControl
from neomflex_jax.environment import evaluation_environment
from neomflex_jax.environment.make import evaluation_scenario, scenario_profiles
from neomflex_jax.evaluation import record
from neomflex_jax.evaluation.tables import write_tables
from neomflex_jax.training.options import TrainOptions
from neomflex_jax.training.train import train
from validation import validate

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--scenario", default="neom33")
parser.add_argument("--seconds", type=float, default=60.0)
parser.add_argument("--days")
parser.add_argument("--output", type=Path, default=Path("results/quickstart"))
asked = parser.parse_args()

scenario = nf.load_scenario(asked.scenario)
options = TrainOptions(scenario, algorithm="gradient", max_seconds=asked.seconds)
train(
    options,
    asked.output / "run",
    overwrite=True,
    on_progress=lambda now: print(f"{min(now.share, 1):.0%}", end=" ", flush=True),
)
policies = nf.load_policies(asked.output / "run")  # {agent: observation} -> {agent: action}, in NumPy

days = scenario_profiles(evaluation_scenario(scenario), asked.days or scenario.evaluation_profiles)
env = evaluation_environment(nf.make(scenario), days)
policy = policies.as_policy(scenario.observation_layout(), scenario.name)
runs = [record(env, policy, "controlled"), record(env, NoControl(env.action_size), "baseline")]
steps, *_ = write_tables(runs, asked.output / "evaluation")

report = validate(
    runs, asked.output / "validation", policies={"controlled": policies}, references=("baseline",)
)  # every step again, by pandapower
costs = {run.run: round(run.mean_day_cost, 2) for run in report.runs}
figure = nf.plots.draw_figure("voltage", steps, "controlled", days=[0, 1], overlay=["baseline"])
nf.plots.save(figure, asked.output / "voltage.png")
print(f"\n{report.verdict}: cost of a day in pandapower {costs}; all in {asked.output}")
