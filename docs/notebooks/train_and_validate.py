# %% [markdown]
# # Train and validate in five minutes
#
# A policy for every agent of `neom33` (33 buses, three batteries, three PV inverters), a week that it has not seen,
# and pandapower's word on it. The budget here is a third of the default, so that this page runs in less than a
# minute; [the results](../results.md) say what full budgets reach. Cells that begin with `%%sh` are commands of a
# terminal.

# %%
# !neomflex train --algorithm gradient --total-steps 400000 --output results/run

# %% [markdown]
# The last line but one compares the policies on eight training days with doing nothing and with a rule from the
# literature, and says what it cannot tell. A look, no result: those days were trained on.
#
# ## A week that nobody trained on
#
# `neomflex evaluate` plays all 84 testing days unless it is told otherwise; a week of them makes a file of its own.

# %%
import pandas as pd

from neomflex_jax.resources import packaged_profiles

days = pd.read_csv(packaged_profiles("testing"))
days.head(7 * 48).to_csv("week.csv", index=False)  # 48 half hours a day
days.head(7 * 48)[["Demand", "Solar"]].describe().loc[["min", "mean", "max"]].round(3)

# %%
# !neomflex evaluate --policies results/run --profiles week.csv --baseline --output results/evaluation

# %%
summary = pd.read_csv("results/evaluation/run_summary.csv").set_index("run")
summary[["min_voltage_pu", "max_voltage_pu", "share_outside_band", "total_losses_mwh", "mean_day_cost"]].T.round(3)

# %% [markdown]
# `mean_day_cost` is minus the sum of all agents' rewards over a day. Most of it, without control, is voltage outside
# 0.97 to 1.03 pu.

# %%
from IPython.display import Image

from neomflex_jax.plots import draw_figure, save

for run in ("baseline", "controlled"):
    save(draw_figure("voltage", "results/evaluation/step_metrics.csv", run, days=[0, 1]), f"{run}.png")
Image("baseline.png", width=760)

# %%
Image("controlled.png", width=760)

# %% [markdown]
# ## What pandapower says
#
# The environment's own power flow made these numbers. `neomflex validate` replays every step through pandapower, works
# the record out a second time, and lets the policies act again with pandapower as the grid. Exit status 0 is PASS.

# %%
# !neomflex validate --policies results/run --profiles week.csv --output results/validation

# %%
import json
from pathlib import Path

report = json.loads(Path("results/validation/report.json").read_text())
controlled = next(run for run in report["runs"] if run["run"] == "controlled")
print(report["verdict"])
print(f"largest voltage error: {controlled['metrics']['vm_pu']['max_abs']:.1e} pu")
cost = controlled["metrics"]["mean_day_cost"]
print(f"day cost: {cost['recorded']:.3f} recorded, {cost['pandapower']:.3f} in pandapower")

# %% [markdown]
# `neomflex report results/run` puts training, evaluation and verdict on one page. Next:
# [your own feeder and profiles](own_feeder.ipynb), [how to read a verdict](reading_a_verdict.ipynb).
