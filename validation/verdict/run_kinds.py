"""What a run is to a verdict and to its headline: a policy, or something to hold policies against."""

from __future__ import annotations

import numpy as np

from neomflex_jax.evaluation.trajectory import Trajectory

POLICY, NO_CONTROL, RULE, OTHER = "policy", "no control", "rule", "other"
KINDS = (POLICY, NO_CONTROL, RULE, OTHER)
RULES = ("volt_var", "mapdn_droop")
PLANS = ("perfect_foresight", "model_predictive")  # they see the future or the whole grid: nobody's like
BY_NAME = {"controlled": POLICY, "baseline": NO_CONTROL, "no_control": NO_CONTROL} | dict.fromkeys(RULES, RULE)


def kind_of(trajectory: Trajectory, *, reference: bool, schedule: bool) -> str:
    """Tell what a run is, one of `KINDS`; no control is known by its actions, which are all zero, not by its name.

    Parameters
    ----------
    reference, schedule
        True if the caller only shows the run beside the others, or states that it follows a rule or a plan. A run that
        is neither is a policy, whatever it does.
    """
    if not reference and not schedule:
        return POLICY
    if trajectory.run in RULES:
        return RULE
    if not np.any(trajectory.action):
        return NO_CONTROL
    return RULE if schedule and trajectory.run not in PLANS else OTHER


def kind_of_name(run: str) -> str:
    """Tell by its name what a run of the tables that `neomflex evaluate` writes is."""
    return BY_NAME.get(run, OTHER)
