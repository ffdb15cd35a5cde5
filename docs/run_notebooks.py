"""Notebooks from their sources, `notebooks/*.py`: executed, and kept with what they print and draw.

    python docs/run_notebooks.py            executes those whose source has changed, and writes notebooks/*.ipynb
    python docs/run_notebooks.py NAME ...   executes these anyway
    python docs/run_notebooks.py --check    executes all, writes nothing; an error, or other words than are kept, fails

In a source a line ``# %%`` begins a cell of code, ``# %% [markdown]`` one of text; a cell of lines ``# !`` is the
shell's, and ends with an error where a command does. Kept outputs are compared without their numbers, which differ from
machine to machine, and but for what `train` says.
"""

from __future__ import annotations

import argparse
import difflib
import json
import os
import re
import sys
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "notebooks"
LONGEST_CELL_SECONDS = 600
MOST_BYTES = 300_000
CELL = re.compile(r"^# %%(?P<text> \[markdown\])?$", re.MULTILINE)
NUMBER = re.compile(r"\b[0-9a-f]{12,}\b|[-+]?\d[\d.,]*(e[-+]?\d+)?|\bnan\b|\binf\b")  # hashes, too


def cells_of(source: str) -> list[tuple[str, str]]:
    """Return a source's cells, as kind (``markdown`` or ``code``) and text."""
    _, *parts = CELL.split(source)
    cells = []
    for is_text, body in zip(parts[::2], parts[1::2], strict=True):
        lines = body.strip("\n").split("\n")
        if lines[0].startswith("# !"):
            lines = ["%%sh", *(line.removeprefix("# !") for line in lines)]
        kept = [re.sub(r"^# ?", "", line) for line in lines] if is_text else lines
        cells.append(("markdown" if is_text else "code", "\n".join(kept)))
    return cells


def kept_cells(notebook: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return a notebook's cells likewise."""
    return [(cell["cell_type"], "".join(cell["source"])) for cell in notebook["cells"]]


def is_stale(source: Path) -> bool:
    """Return whether there is no notebook of exactly this source."""
    notebook = source.with_suffix(".ipynb")
    return not notebook.exists() or kept_cells(json.loads(notebook.read_text("utf-8"))) != cells_of(
        source.read_text("utf-8")
    )


def words_of(notebook: Mapping[str, Any]) -> list[str]:
    """Return what the cells print, a line each, without its numbers and white space; figures by their kind."""
    lines = []
    for number, cell in enumerate(notebook["cells"]):
        if "neomflex train" in "".join(cell["source"]):
            continue
        for output in cell.get("outputs", ()):
            data = output.get("data", {"text/plain": output.get("text", "")})
            kinds = [kind for kind in data if kind.startswith("image/")]
            text = "".join(data.get("text/plain", "")) if not kinds else " ".join(kinds)
            lines += [f"cell {number}: {' '.join(NUMBER.sub('#', line).split())}" for line in text.splitlines()]
    lines = [re.sub(r"[-─━═]{2,}|[# ]{2,}", "#", line) for line in lines]
    return [line for line in lines if not re.search(r"# ?s$", line)]  # how far a command has come, now and then


def execute(source: Path) -> dict[str, Any]:
    """Return the notebook of a source, executed in a folder of its own; raises where a cell does."""
    import nbformat
    from nbclient import NotebookClient

    makers = {"markdown": nbformat.v4.new_markdown_cell, "code": nbformat.v4.new_code_cell}
    cells = [makers[kind](text) for kind, text in cells_of(source.read_text("utf-8"))]
    for number, cell in enumerate(cells):
        cell["id"] = f"{source.stem}-{number}"[-64:]  # the same at every execution
    notebook = nbformat.v4.new_notebook(cells=cells, metadata={"language_info": {"name": "python"}})
    with tempfile.TemporaryDirectory() as folder:
        options = {"resources": {"metadata": {"path": folder}}, "extra_arguments": ["--IPKernelApp.log_level=40"]}
        NotebookClient(notebook, timeout=LONGEST_CELL_SECONDS, coalesce_streams=True, **options).execute()
        return json.loads(nbformat.writes(notebook).replace(folder, "."))


def write(source: Path) -> None:
    """Execute a source and keep its notebook."""
    notebook = execute(source)
    for cell in notebook["cells"]:
        cell.get("metadata", {}).clear()  # times of execution
    notebook["metadata"] = {"language_info": {"name": "python"}}
    text = json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"
    if len(text) > MOST_BYTES:
        raise SystemExit(f"{source.stem}: {len(text):,} bytes are more than {MOST_BYTES:,}; draw smaller figures")
    source.with_suffix(".ipynb").write_text(text, encoding="utf-8")
    print(f"{source.stem}: written, {len(text):,} bytes", flush=True)


def check(source: Path) -> list[str]:
    """Execute a source; return in which lines its words differ from those kept."""
    if is_stale(source):
        return [f"{source.stem}: the source has changed; python docs/run_notebooks.py {source.stem}"]
    kept = json.loads(source.with_suffix(".ipynb").read_text("utf-8"))
    changes = difflib.unified_diff(words_of(kept), words_of(execute(source)), "kept", "now", lineterm="", n=0)
    print(f"{source.stem}: executed", flush=True)
    return [f"{source.stem}: {line}" for line in changes]


def main(arguments: Sequence[str] | None = None) -> int:
    """Execute notebooks, two at a time."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args(arguments)
    os.environ |= {"NO_COLOR": "1", "COLUMNS": "100", "NEOMFLEX_CACHE": "off"}
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # `neomflex` of this Python
    sources = [FOLDER / f"{name}.py" for name in options.names] or sorted(FOLDER.glob("*.py"))
    if not options.check and not options.names:
        sources = [source for source in sources if is_stale(source)]
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(check if options.check else write, sources))
    wrong = [line for lines in found for line in lines or ()]
    print(
        "\n".join(wrong) or f"{len(sources)} notebooks are as their sources say",
        file=sys.stderr if wrong else sys.stdout,
    )
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
