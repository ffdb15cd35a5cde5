# %% [markdown]
# # Your own feeder and profiles
#
# Two CSV files make a grid, one makes its days. Here a low-voltage street of eight houses and three weeks of its
# smart meter's quarter hours, drawn at random in the first cell: put your own files in their place.

# %%
from pathlib import Path

import numpy as np
import pandas as pd

import neomflex_jax as nf

# %% [markdown]
# ## The grid
#
# `buses.csv` has a row a bus: its number, nominal voltage, nominal load. `branches.csv` has a row a line or cable, in
# ohm. The first bus is the slack unless `feeder.toml` names another.
# %%
Path("street").mkdir(exist_ok=True)
houses = range(1, 9)
buses = [{"bus": 0, "vn_kv": 0.4, "p_mw": 0.0, "q_mvar": 0.0}]
buses += [{"bus": bus, "vn_kv": 0.4, "p_mw": 0.004, "q_mvar": 0.001} for bus in houses]
cable = {"r_ohm": 0.025, "x_ohm": 0.008, "in_service": 1, "max_i_ka": 0.27}
pd.DataFrame(buses).to_csv("street/buses.csv", index=False)
pd.DataFrame([{"from_bus": bus - 1, "to_bus": bus, **cable} for bus in houses]).to_csv(
    "street/branches.csv", index=False
)

feeder = nf.Feeder.from_csv("street")
flow = nf.nominal_power_flow(feeder)
print(feeder)
print("lowest voltage, pu:", float(flow.vm_pu.min().round(4)), " converged:", bool(flow.converged))

# %% [markdown]
# The same grid in pandapower, as a second opinion: `neomflex feeder check` solves the nominal state and random ones in
# both.

# %%
# !neomflex feeder check street

# %% [markdown]
# ## The days
#
# A file with `Demand` and `Solar`: here Demand in kW of the whole street, which `[profiles] demand_unit` says, and
# Solar as a share of the roofs' rating. With a column of times the rows are checked against the clock.

# %%
draw = np.random.default_rng(0)
times = pd.date_range("2025-06-02", periods=21 * 96, freq="15min")
hour = (times.hour + times.minute / 60).to_numpy()
evening = np.exp(-(((hour - 19.5) / 2.2) ** 2)) + 0.4 * np.exp(-(((hour - 7.5) / 1.5) ** 2))
demand_kw = 32.0 * (0.25 + 0.75 * evening) * draw.normal(1.0, 0.06, len(times))
cloud = np.repeat(draw.uniform(0.35, 1.0, 21), 96)
solar = np.clip(np.sin((hour - 5.0) / 16.0 * np.pi), 0.0, None) ** 1.5 * cloud
table = pd.DataFrame({"time": times, "Demand": demand_kw.round(3), "Solar": solar.round(4)})
table.to_csv("street.csv", index=False)
table.iloc[48:52]

# %% [markdown]
# ## The task
#
# `neomflex scenario new --from street --agents 2` writes a first scenario; this one is written by hand, since the
# street has its roofs already. Every field is on the site's page *Every field of a scenario*.

# %%
scenario = """
name = "street"
feeder = "street"
step_hours = 0.25
steps_per_day = 96

[profiles]
file = "street.csv"
demand_unit = "kW"
test = ["week 3 of 3"]            # the other two weeks are for training

[[territories]]
agent = "front"
buses = [0, 1, 2, 3, 4]

[[territories]]
agent = "back"
buses = [5, 6, 7, 8]

[[pv_inverters]]
bus = 3
p_max_mw = 0.03
s_mva = 0.033

[[pv_inverters]]
bus = 8
p_max_mw = 0.03
s_mva = 0.033

[[batteries]]
bus = 6
capacity_mwh = 0.04
power_mw = 0.015
"""
_ = Path("street.toml").write_text(scenario)

# %%
# !neomflex scenario check street.toml

# %% [markdown]
# ## From training to a verdict
#
# A short training, the unseen week, and pandapower. `gradient` learns through the grid's own derivatives.

# %%
# !neomflex train --scenario street.toml --algorithm gradient --total-steps 250000 --output results/street

# %%
# !neomflex evaluate --policies results/street --baseline --output results/days

# %%
# !neomflex validate --policies results/street --output results/verdict

# %% [markdown]
# Where do the two differ? The voltages of two days, without control and with it; the band that the reward asks for is
# the scenario's default, 0.97 to 1.03 pu.

# %%
from IPython.display import Image

from neomflex_jax.plots import draw_figure, save

for run in ("baseline", "controlled"):
    save(draw_figure("voltage", "results/days/step_metrics.csv", run, days=[2, 3]), f"{run}.png")
Image("baseline.png", width=760)

# %%
Image("controlled.png", width=760)

# %% [markdown]
# Under control the midday peak stays below 1.03 pu. On the second afternoon voltages swing within the band from step to
# step, which this reward does not mind: every roof answers voltages that the others' answers have changed meanwhile.
# More training, or `throughput_cost` on the battery, is what to try first where that matters.
#
# A pandapower net, a MATPOWER case, a SimBench grid with its year, and a column for each load:
# [own_grid.md](../own_grid.md).
