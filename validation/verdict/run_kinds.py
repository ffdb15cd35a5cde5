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
    """Return a run's kind, one of `KINDS`; no control is recognised by its actions, all zero, not by its name.

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
    if not np.any(trajectory.actions.values):
        return NO_CONTROL
    return RULE if schedule and trajectory.run not in PLANS else OTHER


def kind_of_name(run: str) -> str:
    """Return the kind of a run in the tables of `neomflex evaluate`, by its name."""
    return BY_NAME.get(run, OTHER)
