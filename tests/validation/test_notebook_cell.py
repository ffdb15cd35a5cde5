"""What a notebook shows of a report."""

from types import SimpleNamespace

from run_pages import Page

from validation.report.notebook import notebook_cell
from validation.verdict.run_kinds import NO_CONTROL, POLICY

EVIL = '<script>alert(1)</script>"><img src=x onerror=y>'


def run(name, kind, cost):
    counts = {"hard_violations": 0, "hard_violations_allowed": 0, "loading_violations": None}
    counts |= {"loading_violations_allowed": 0, "record_verdict": "PASS", "failed_criteria": (), "own_tolerances": ()}
    return SimpleNamespace(run=name, kind=kind, mean_day_cost=cost, **counts)


def test_a_notebook_shows_the_headline_and_every_run_with_names_escaped():
    runs = (run(EVIL, POLICY, 12.0), run("baseline", NO_CONTROL, 100.0))
    shown = notebook_cell(SimpleNamespace(runs=runs, judged=runs[:1], days=(0,), is_sample=False, program="pandapower"))
    assert "record confirmed by pandapower: PASS" in shown and "costs 88 % less than no control" in shown
    assert EVIL in Page(shown.replace(" style=", " data-style=")).text  # refuses images, handlers and open tags
