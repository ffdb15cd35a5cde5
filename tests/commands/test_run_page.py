"""The page made of plain values: everything is escaped, in whichever place it stands, and nothing is loaded."""

from html.parser import HTMLParser

import pytest

from neomflex_jax.commands.run_page import PNG, Evaluated, Image, RunPage, Validated, is_page
from neomflex_jax.pages import Table
from validation.verdict.headline import Line

EVIL = "<script>alert(1)</script>\" onload='x' {{ 7 * 7 }} </style>"
TABLE = Table((EVIL, EVIL), ((EVIL, "fail"), ("fails", EVIL)))
IMAGE = Image(PNG + b"<script>", EVIL)


class Tags(HTMLParser):
    """Collects tags, the values of their attributes, and the text between them."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes, self.text = [], [], ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data):
        self.text += data


def page(**changes):
    given = {
        "name": EVIL,
        "headline": (Line(EVIL, "good"), Line(EVIL, "bad")),
        "basis": EVIL,
        "settings": Table((), ((EVIL, EVIL),)),
        "config_json": EVIL,
        "learning": IMAGE,
        "evaluation": Evaluated(EVIL, TABLE, (IMAGE, IMAGE)),
        "validation": (Validated(EVIL, (TABLE, TABLE), (IMAGE,)),),
        "said": EVIL,
    }
    return RunPage(**given | changes)


@pytest.mark.parametrize("changes", [{}, {"learning": EVIL, "evaluation": EVIL, "validation": ()}])
def test_a_hostile_value_is_text_wherever_it_stands(changes):
    html = page(**changes).html()
    seen = Tags(html)
    assert not {"script", "link", "iframe"} & set(seen.tags)
    assert not [name for name, _ in seen.attributes if name.startswith("on")]
    n_figures = 0 if changes else 4
    assert [value for name, value in seen.attributes if name == "src"] == [IMAGE.source] * n_figures
    assert html.count("alert(1)") == seen.text.count(EVIL) + n_figures  # in the alternative texts


def test_cells_that_read_fail_stand_out_and_no_others():
    html = page(validation=()).html()
    assert html.count('<td class="bad">') == html.count('<td class="bad">fail</td>') == 1


def test_a_page_is_known_as_ours(tmp_path):
    (tmp_path / "page.html").write_text(page().html(), encoding="utf-8")
    (tmp_path / "other.html").write_text("<title>Profiling report</title>", encoding="utf-8")
    assert is_page(tmp_path / "page.html") and not is_page(tmp_path / "other.html")
