# %% [markdown]
# # Reading a validation report
#
# A report says two things that have nothing to do with each other: is what was recorded what pandapower says, and is
# the policy any good? This page makes three reports without any training, one that passes, one that fails because its
# power flow is a surrogate, and one that fails because somebody changed a number.

# %%
import dataclasses

import numpy as np
import pandas as pd

import neomflex_jax as nf
from neomflex_jax.environment import evaluation_environment
from neomflex_jax.evaluation.yardsticks import record_yardstick
from validation import render_table, tolerances_for, validate

env = evaluation_environment(nf.make("neom33"))
droop = record_yardstick(env, "mapdn_droop", n_days=3).trajectory
idle = record_yardstick(env, "no_control", n_days=3).trajectory
beside = {"references": ["no_control"], "schedules": ["mapdn_droop"]}  # shown beside it; a rule, which nobody trained
report = validate([droop, idle], "verdict", **beside)
print(render_table(report))

# %% [markdown]
# The last two lines are the headline: the record, then what was played. The command prints the same, and ends with exit
# status 0 for PASS, 1 for FAIL, 2 for INCOMPLETE.
#
# ## The criteria
#
# Every criterion has a value and a limit. The limits of bookkeeping hold the rounding of 32-bit numbers; anything above
# is a fault in the program. A criterion without a value would make the report INCOMPLETE.


# %%
def criteria(report):
    rows = [dataclasses.asdict(one) | {"passed": one.passed} for one in report.runs[0].criteria]
    return pd.DataFrame(rows).set_index("name")


criteria(report)

# %% [markdown]
# All of them ask whether the record is true. A trained policy has one more, `hard_violations`, which is about the
# policy: steps x buses that it leaves outside 0.9 to 1.1 pu in pandapower.
#
# ## A surrogate
#
# The same rule on `lindistflow`, which neglects what losses do to voltages, held to the limits of an exact power flow:

# %%
flattered = record_yardstick(
    evaluation_environment(nf.make("neom33", power_flow="lindistflow")), "mapdn_droop", n_days=3
)
surrogate = validate([flattered.trajectory], "verdict_surrogate", tolerances_for("ac"), schedules=["mapdn_droop"])
table = criteria(surrogate)
print(surrogate.verdict)
table[table["passed"].eq(False)]

# %% [markdown]
# Which way does it err, and where? The report has it by bus, hour, load and direction of flow; here by hand:

# %%
metrics = surrogate.runs[0].metrics
worst = metrics.worst_voltage
print(f"voltages: {metrics.vm_pu.bias:+.5f} pu on average, {metrics.vm_pu.max_abs:.4f} pu at most, at bus {worst.bus}")
for name in ("mean_day_cost", "voltage_min_pu", "bus_steps_outside_band"):
    both = getattr(metrics, name)
    print(f"{name:24} recorded {both.recorded:9.4g}   in pandapower {both.pandapower:9.4g}")

# %% [markdown]
# The surrogate shows voltages too high, so a feeder that suffers from under-voltage looks better than it is: a day
# costs nearly a third more in pandapower than the record says. `neomflex validate` judges a surrogate's record by wider
# limits, which are measured, and a hidden hard violation fails there too.
#
# ## A number that somebody changed
#
# One battery, one step, 50 kW more than it gave. Which criteria notice?

# %%
power = np.array(droop.battery_p_mw)
power[70, 1] += 0.05
changed = validate([dataclasses.replace(droop, battery_p_mw=power)], "verdict_changed", schedules=["mapdn_droop"])
table = criteria(changed)
print(changed.verdict)
table[table["passed"].eq(False)]

# %% [markdown]
# Its injection is not the sum of what its bus feeds in, its energy does not add up, and pandapower, which is given the
# set-points, has another balance. A record is a whole: changing one number of it contradicts others.
#
# ## What to cite
#
# Pandapower's numbers, with the hashes that the report states of scenario, profiles and policies. A report holds for
# exactly these.

# %%
run = report.runs[0]
print("verdict:", report.verdict)
print("day cost in pandapower:", round(run.metrics.mean_day_cost.pandapower, 2))
print("scenario:", run.scenario_hash)
print("feeder:  ", run.feeder_sha256)

# %% [markdown]
# All criteria with their limits, and what each verdict asks of you: [validation.md](../validation.md).
