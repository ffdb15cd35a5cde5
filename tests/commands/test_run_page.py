"""The page made of plain values: everything is escaped, in whichever place it stands, and nothing is loaded."""

import base64
import hashlib

import pytest
from run_pages import Page

from neomflex_jax.commands.page.agents import AgentFacts
from neomflex_jax.commands.page.days import WorstDay
from neomflex_jax.commands.page.figures import Card, Figures
from neomflex_jax.commands.page.reproduce import Reproduce
from neomflex_jax.commands.run_page import Evaluated, RunPage, SeedPage, Validated, is_page
from neomflex_jax.pages import Table
from validation.verdict.headline import Line

EVIL = "<script>alert(1)</script>\" onload='x' {{ 7 * 7 }} </style><img src=x onerror=y> [x](javascript:z)"
TABLE = Table((EVIL, EVIL), ((EVIL, "fail"), ("fails", EVIL)))
PLAYED = {
    "runs": [{"said": EVIL}, {"said": EVIL}],
    "grid": {"beside": [], "note": EVIL},
    "notes": [EVIL],
    "price": None,
}


def seed(**changes):
    given = {
        "label": EVIL,
        "about": EVIL,
        "headline": (Line(EVIL, "good"), Line(EVIL, "bad")),
        "basis": EVIL,
        "figures": Figures(EVIL, (Card(EVIL, EVIL, EVIL, EVIL),)),
        "played": PLAYED,
        "day_costs": {"runs": [{"name": EVIL}]},
        "worst": (WorstDay(3, (EVIL,)),),
        "agents": (AgentFacts(0, EVIL, Table((), ((EVIL, EVIL),))),),
        "agents_note": EVIL,
        "learning": {"said": EVIL},
        "said": EVIL,
        "evaluation": Evaluated(EVIL, TABLE, TABLE),
        "validation": (Validated(EVIL, EVIL, TABLE, (TABLE, TABLE)),),
        "errors": ({"axis": EVIL},),
        "reproduce": Reproduce((EVIL,), (EVIL,), TABLE, TABLE),
        "settings": Table((), ((EVIL, EVIL),)),
        "config_json": EVIL,
    }
    return SeedPage(**given | changes)


NOTHING = {"figures": None, "played": EVIL, "day_costs": None, "worst": (), "agents": (), "learning": EVIL}
NOTHING |= {"evaluation": EVIL, "validation": (), "errors": ()}


@pytest.mark.parametrize("changes", [{}, NOTHING])
@pytest.mark.parametrize("n_seeds", [1, 2])
def test_a_hostile_value_is_text_wherever_it_stands(changes, n_seeds):
    html = RunPage(EVIL, (seed(**changes),) * n_seeds).html()
    seen = Page(html)  # refuses images, frames, handlers and styles on elements
    assert seen.open == [] and len(seen.scripts) == 1 and len(seen.data) == n_seeds
    assert all(value.startswith("#s") for value in seen.loads)
    in_data = sum(str(data).count("alert(1)") for data in seen.data)
    in_labels = n_seeds if n_seeds > 1 else 0  # of the sections
    assert html.count("alert(1)") == seen.text.count("alert(1)") + in_data + in_labels
    assert html.count("<script>") == 1 and (changes or "\\u003cscript\\u003ealert(1)" in html)


def test_a_browser_may_run_the_page_s_own_script_alone():
    page = RunPage("run", (seed(),))
    seen = Page(page.html())
    digest = base64.b64encode(hashlib.sha256(seen.scripts[0].encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in seen.policy and seen.policy.startswith("default-src 'none'; ")
    assert "unsafe" not in seen.policy and "http" not in page.script.replace("http://www.w3.org/2000/svg", "")
    assert "innerHTML" not in page.script and "eval" not in page.script


def test_cells_that_read_fail_stand_out_and_no_others():
    html = RunPage("run", (seed(validation=(), evaluation=Evaluated("", TABLE)),)).html()
    assert html.count('<td class="bad">') == html.count('<td class="bad">fail</td>') == 3


def test_a_page_is_known_as_ours(tmp_path):
    (tmp_path / "page.html").write_text(RunPage(EVIL, (seed(),)).html(), encoding="utf-8")
    (tmp_path / "other.html").write_text("<title>Profiling report</title>", encoding="utf-8")
    assert is_page(tmp_path / "page.html") and not is_page(tmp_path / "other.html")
