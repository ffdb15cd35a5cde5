"""One version everywhere: the package's, of the changelog's newest section, and of what is cited."""

import re
from datetime import date
from pathlib import Path

import neomflex_jax as nf

ROOT = Path(__file__).parents[2]


def test_changelog_and_citation_are_of_this_version_and_dated():
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    version, day = re.search(r"^## (\S+) \((\d{4}-\d\d-\d\d)\)$", changelog, flags=re.MULTILINE).groups()
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert nf.__version__ == version
    assert f"version: {version}\ndate-released: {day}\n" in citation
    assert date.fromisoformat(day)


def test_pages_name_the_wheel_of_this_version():
    named = {
        found
        for page in (ROOT / "docs").glob("*.md")
        for found in re.findall(r"neomflex_jax-([\d.]+)-py3", page.read_text(encoding="utf-8"))
    }
    assert named == {nf.__version__}
