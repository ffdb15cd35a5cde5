"""Pages for people, in HTML or Markdown: plain values, laid out by a template in a package's folder `templates`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Table:
    """Cells as they are shown."""

    header: tuple[str, ...]  # empty: none
    rows: tuple[tuple[str, ...], ...]


def notebook_cell(title: str, about: str, *tables: Table, drawing: object = None) -> str:
    """Return HTML that a notebook shows of an object: a line, a drawing if there is one, and tables; all escaped.

    Parameters
    ----------
    title, about
        What it is, in bold, and a sentence.
    *tables
        Below the drawing.
    drawing
        A `grid.small_map.Map`, or None.
    """
    return fill_template("neomflex_jax", "notebook.html", title=title, about=about, tables=tables, map=drawing)


def fill_template(package: str, name: str, **values: object) -> str:
    """Return a page's text.

    Parameters
    ----------
    package, name
        Where the template lies, in ``templates/`` there; of one named ``*.html`` every value is escaped.
    values
        What the template calls by these names; a name that it lacks is an error, not empty.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

    templates = Environment(
        loader=PackageLoader(package),
        autoescape=select_autoescape(("html",)),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return templates.get_template(name).render(values).rstrip("\n") + "\n"


def template_text(package: str, name: str) -> str:
    """Return a file of a package's folder `templates` as it stands there, for what is no template: styles, scripts."""
    from jinja2 import Environment, PackageLoader

    return PackageLoader(package).get_source(Environment(), name)[0]
