"""One self-contained page of HTML: every text is escaped, figures are inlined, nothing is loaded from elsewhere."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from html import escape
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from neomflex_jax.folders.marker import is_plain_file

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PNG = b"\x89PNG\r\n\x1a\n"
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
STYLE = """
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
h1 { margin-bottom: .2rem; } h2 { margin-top: 2.4rem; border-bottom: 1px solid #8885; }
table { border-collapse: collapse; margin: .8rem 0; display: block; overflow-x: auto; }
th, td { padding: .25rem .7rem; border-bottom: 1px solid #8883; text-align: right; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; }
td.bad { color: #D55E00; font-weight: 600; }
p.status { margin: .3rem 0; padding: .6rem .9rem; border-radius: .4rem; border-left: .4rem solid; }
p.good { border-color: #009E73; background: #009E7318; } p.bad { border-color: #D55E00; background: #D55E0018; }
p.unsure { border-color: #E69F00; background: #E69F0018; }
figure { margin: 1.2rem 0; } figure img { max-width: 100%; background: white; }
figcaption { font-size: 13px; opacity: .75; } pre { overflow-x: auto; font-size: 12.5px; }
"""


def is_page(path: Path) -> bool:
    """Whether a file is one of these pages, which are called neomflex: something."""
    if not is_plain_file(path):
        return False
    with path.open("rb") as file:
        return b"<title>neomflex: " in file.read(4096)


def page(title: str, parts: Sequence[str]) -> str:
    """Put a page together; `parts` are what the functions below give."""
    head = f'<meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="{POLICY}">'
    head += '<meta name="viewport" content="width=device-width, initial-scale=1">'
    head += f"<title>{escape(title)}</title><style>{STYLE}</style>"
    body = "\n".join([f"<h1>{escape(title)}</h1>", *parts])
    return f'<!DOCTYPE html>\n<html lang="en"><head>{head}</head><body>\n{body}\n</body></html>\n'


def heading(text: str, level: int = 2) -> str:
    """Give a heading."""
    return f"<h{level}>{escape(text)}</h{level}>"


def paragraph(text: str) -> str:
    """Give a paragraph."""
    return f"<p>{escape(text)}</p>"


def status(text: str, tone: str) -> str:
    """Give a line that stands out: good, unsure or bad."""
    return f'<p class="status {escape(tone, quote=True)}">{escape(text)}</p>'


def table(header: Sequence[str], rows: Sequence[Sequence[str]], bad: str = "fail") -> str:
    """Give a table; cells that read `bad` stand out."""
    cells = "".join(f"<th>{escape(name)}</th>" for name in header)
    lines = [f"<tr>{cells}</tr>"]
    for row in rows:
        marks = [' class="bad"' if cell == bad else "" for cell in row]
        lines.append(
            "<tr>" + "".join(f"<td{mark}>{escape(cell)}</td>" for mark, cell in zip(marks, row, strict=True)) + "</tr>"
        )
    return "<table>" + "\n".join(lines) + "</table>"


def details(summary: str, text: str) -> str:
    """Give preformatted text that opens on a click."""
    return f"<details><summary>{escape(summary)}</summary><pre>{escape(text)}</pre></details>"


def image(png: bytes, caption: str) -> str:
    """Give a PNG image inlined."""
    data = base64.b64encode(png).decode("ascii")
    text = escape(caption, quote=True)
    shown = f'<img alt="{text}" src="data:image/png;base64,{data}">'
    return f"<figure>{shown}<figcaption>{text}</figcaption></figure>"


def drawn(figure: Figure, caption: str) -> str:
    """Give a Matplotlib figure inlined."""
    buffer = BytesIO()
    figure.savefig(buffer, format="png")
    return image(buffer.getvalue(), caption)
