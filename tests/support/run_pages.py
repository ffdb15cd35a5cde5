"""Reading a run's page back: what it loads, its data, its text, and the numbers that it carries packed."""

import base64
import json
from html.parser import HTMLParser

import numpy as np

HALF_A_UNIT = 0.5 + 1e-6  # of the last decimal, and of rounding
VOID = ("meta", "input")


class Page(HTMLParser):
    """Collects what a page loads, its scripts and data, and whether its tags close."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.open: list[str] = []
        self.scripts: list[str] = []
        self.data: list[dict] = []
        self.policy = self.text = ""
        self.holds_data = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.loads += [value or "" for name, value in attrs if name in ("src", "href", "data", "srcset", "action")]
        assert tag not in ("iframe", "object", "link", "base", "form", "img"), tag
        assert not any(name.startswith("on") or name == "style" for name, _ in attrs)
        if tag == "meta" and ("http-equiv", "Content-Security-Policy") in attrs:
            self.policy = dict(attrs)["content"] or ""
        if tag == "script":
            self.holds_data = dict(attrs).get("type") == "application/json"
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] != "script":
            self.text += data
        elif self.holds_data:
            self.data.append(json.loads(data))
        else:
            self.scripts.append(data)


def unpacked(numbers: dict) -> np.ndarray:
    """Return an array that a page carries, (n_rows, n_columns), NaN where a value is missing."""
    kind = {16: "<i2", 32: "<i4"}[numbers["bits"]]
    whole = np.frombuffer(base64.b64decode(numbers["base64"]), kind).reshape(-1, numbers["columns"])
    return np.where(whole == np.iinfo(kind).min, np.nan, whole / 10.0 ** numbers["decimals"])


def check_same(numbers: dict, table: object) -> None:
    """Fail unless packed numbers are a table's, rounded to the decimals that they state."""
    found = unpacked(numbers)
    unit = 10.0 ** -numbers["decimals"]
    np.testing.assert_allclose(found, np.asarray(table, float).reshape(found.shape), rtol=0, atol=HALF_A_UNIT * unit)
