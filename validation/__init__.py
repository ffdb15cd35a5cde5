"""Check policies and trajectories against pandapower.

`validate` replays recorded runs through pandapower's AC power flow and writes a verdict. The parts (`replay`,
`compare`, `judge`, `closed_loop`, `second_referee`) can be used on their own. pandapower is imported on first use.
"""

from validation.closed_loop.acting import idle_policy
from validation.closed_loop.closed_loop import closed_loop
from validation.closed_loop.gap import ClosedLoop
from validation.errors.metrics import Metrics, compare
from validation.judge_run import Validated
from validation.recompute.twins import register_twin
from validation.recompute.users_twins import ObservationTwin, Steps, register_observation_twin, register_term_twin
from validation.referee.replay import Replay, replay
from validation.referee.second_referee import SecondReferee, second_referee
from validation.report.markdown import render_markdown
from validation.report.render import render_table
from validation.report.report import Report, RunReport
from validation.sample import Sample
from validation.validate_runs import validate
from validation.verdict.criteria import Criterion, judge
from validation.verdict.tolerances import Tolerances, read_tolerances, tolerances_for

__all__ = [
    "ClosedLoop",
    "Criterion",
    "Metrics",
    "ObservationTwin",
    "Replay",
    "Report",
    "RunReport",
    "Sample",
    "SecondReferee",
    "Steps",
    "Tolerances",
    "Validated",
    "closed_loop",
    "compare",
    "idle_policy",
    "judge",
    "read_tolerances",
    "register_observation_twin",
    "register_term_twin",
    "register_twin",
    "render_markdown",
    "render_table",
    "replay",
    "second_referee",
    "tolerances_for",
    "validate",
]
