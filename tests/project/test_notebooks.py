"""Notebooks are as their sources say, small and whole; `make docs` executes them."""

import json
import re

import pytest
from run_notebooks import FOLDER, MOST_BYTES, cells_of, is_stale, words_of

SOURCES = sorted(FOLDER.glob("*.py"))


def test_there_are_five() -> None:
    assert len(SOURCES) == len(list(FOLDER.glob("*.ipynb"))) == 5


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_a_notebook_is_its_source_executed(source) -> None:
    assert not is_stale(source), f"python docs/run_notebooks.py {source.stem}"
    notebook = source.with_suffix(".ipynb")
    assert notebook.stat().st_size < MOST_BYTES
    cells = [cell for cell in json.loads(notebook.read_text("utf-8"))["cells"] if cell["cell_type"] == "code"]
    assert all(cell["execution_count"] for cell in cells)
    assert not any(output["output_type"] == "error" for cell in cells for output in cell["outputs"])
    assert sum(bool(cell["outputs"]) for cell in cells) >= 4
    printed = [output for cell in cells for output in cell["outputs"] if "image/png" not in output.get("data", {})]
    assert not re.findall(r"(?<![\w./:<])/\w+/\w+", json.dumps(printed)), "a path of the machine that executed it"


def test_cells_are_read_and_another_source_is_stale(tmp_path) -> None:
    source = tmp_path / "a.py"
    source.write_text("# %% [markdown]\n# # Title\n#\n# Text.\n\n# %%\nx = 1  # one\n\n# %%\n# !neomflex --help\n")
    assert cells_of(source.read_text()) == [
        ("markdown", "# Title\n\nText."),
        ("code", "x = 1  # one"),
        ("code", "%%sh\nneomflex --help"),
    ]
    assert is_stale(source)
    cells = [{"cell_type": kind, "source": text} for kind, text in cells_of(source.read_text())]
    source.with_suffix(".ipynb").write_text(json.dumps({"cells": cells}))
    assert not is_stale(source)
    source.write_text(source.read_text() + "x = 2\n")
    assert is_stale(source)


def test_words_are_compared_and_numbers_are_not() -> None:
    def printing(text):
        return {"cells": [{"source": "", "outputs": [{"output_type": "stream", "text": text}]}]}

    assert words_of(printing("cost 19.3, PASS\n")) == words_of(printing("cost 1,021.7, PASS\n"))
    assert words_of(printing("cost 19.3, PASS\n")) != words_of(printing("cost 19.3, FAIL\n"))
    assert words_of(printing("playing: 2 of 7 days, 29%, 5 s\ncost 1\n")) == words_of(printing("cost 2\n"))
