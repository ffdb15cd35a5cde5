"""Policies that were trained on days of the user's own and are judged on the package's: nobody should miss that."""

import pytest

from neomflex_jax import load_scenario
from neomflex_jax.commands.played_runs import _warn_of_packaged_days


@pytest.mark.parametrize(
    ("training", "evaluation", "warned"),
    [("my/days.csv", "testing", True), ("training", "testing", False), ("my/days.csv", "my/other_days.csv", False)],
)
def test_packaged_days_after_a_training_on_own_ones_are_said(capsys, training, evaluation, warned):
    _warn_of_packaged_days(load_scenario("neom33", profiles=training, evaluation_profiles=evaluation))
    said = " ".join(capsys.readouterr().out.split())
    assert ("trained on days.csv, but played on the packaged days 'testing'" in said) == warned
