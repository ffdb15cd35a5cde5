"""docs/extending.md: its code runs as printed, and the referee agrees with all that it adds to a task."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from users_modules import forgotten_afterwards

import neomflex_jax as nf
from neomflex_jax.agents.policy import NoControl
from neomflex_jax.environment import evaluation_environment
from neomflex_jax.evaluation import record
from validation import compare, judge, replay, tolerances_for

TEXT = (Path(__file__).parents[2] / "docs" / "extending.md").read_text(encoding="utf-8")
CODE = "\n".join(re.findall(r"```python\n(.*?)```", TEXT, flags=re.DOTALL))
ADDED: dict[str, Any] = {
    "tanks": [{"bus": 24}],
    "reward_terms": ["unbalanced"],
    "observations": ["lowest_voltage"],
}


@pytest.mark.docs
@pytest.mark.slow
def test_its_code_runs_and_the_referee_agrees_with_what_it_adds(monkeypatch: pytest.MonkeyPatch) -> None:
    make = nf.make
    with forgotten_afterwards():
        monkeypatch.setattr(nf, "make", lambda *names, **fields: make(*names, power_flow="lindistflow", **fields))
        exec(CODE, {"__name__": "extending"})
        env = evaluation_environment(nf.make(nf.load_scenario("neom33", **ADDED)))
        run = record(env, NoControl(env.action_size), "idle", n_days=1)
        criteria = judge(compare(run, replay(run))[0], tolerances_for("lindistflow"))
    judged = {"cost_max", "observation_max", "energy_max_mwh", "device_limit_max"}
    assert {one.name: one.passed for one in criteria if one.name in judged} == dict.fromkeys(judged, True)
    assert run.tank_heat[-1, 0] < run.tank_heat[0, 0] < 0.5
    assert np.ptp(run.observation[:, 0, 17]) > 0.001, "the lowest voltage is not seen"
