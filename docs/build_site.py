"""What `mkdocs build` takes from outside of `docs/`, and the references of commands and of scenarios' fields.

Pages link to each other as files of the repository do, so that they read well there too; here links are turned into
those of the site, and a link that is called like its file gets the page's title. Pages that are made here are no files
to link to: their titles in italics become links.
"""

import io
import logging
import os
import posixpath
import re
import textwrap
from contextlib import redirect_stdout, suppress
from functools import cache
from pathlib import Path
from unittest.mock import patch

import scenario_reference
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from neomflex_jax.cli import COMMANDS, DESCRIPTION
from neomflex_jax.commands.arguments import GROUPS, read_arguments

ROOT = Path(__file__).parents[1]
PAGES = {  # by their place in the repository
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "benchmarks/README.md": "benchmarks.md",
    "data/README.md": "data.md",
    "data/NOTICE.md": "notice.md",
}
EXAMPLES = [path.relative_to(ROOT).as_posix() for path in sorted((ROOT / "examples").glob("*.*"))]
ON_SITE = PAGES | {name: name for name in EXAMPLES}
SOURCE = {page: source for source, page in PAGES.items()}
HREF = re.compile(r'href="(?!\w+:|#)(?P<target>[^"#]+\.(?:md|ipynb|py|toml))"')
LOG = logging.getLogger("mkdocs.hooks.build_site")  # warnings of MkDocs' own loggers are errors under --strict
LINK = re.compile(r"\[(?P<text>[^\]]*)\]\((?!\w+:|#)(?P<target>[^)#\s]+)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages and examples of the repository, and the references of commands and of scenarios' fields."""
    for source, place in ON_SITE.items():
        files.append(File.generated(config, place, abs_src_path=str(ROOT / source)))
    for place, content in MADE.items():
        files.append(File.generated(config, place, content=content()))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, **_: object) -> str:
    """Turn links between files of the repository into links of the site."""
    here = page.file.src_uri
    folder = posixpath.dirname(SOURCE.get(here, f"docs/{here}"))
    titles = {place: title for part in config.nav for title, place in entries_of(part)}

    def on_site(link: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(folder, link["target"]))
        place = ON_SITE.get(target, target.removeprefix("docs/"))
        text = titles.get(place, link["text"]) if link["text"].endswith(".md") else link["text"]
        return f"[{text}]({posixpath.relpath(place, posixpath.dirname(here) or '.')}"

    markdown = LINK.sub(on_site, markdown)
    for place in MADE:
        markdown = markdown.replace(f"*{titles[place]}*", f"[{titles[place]}]({place})")
    return markdown


def on_page_content(html: str, page: Page, files: Files, **_: object) -> str:
    """Turn a notebook's links between files of the repository into links of the site, as MkDocs does for pages."""
    here = page.file.src_uri
    if not here.endswith(".ipynb"):
        return html

    def on_site(link: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(posixpath.dirname(f"docs/{here}"), link["target"]))
        found = files.get_file_from_path(ON_SITE.get(target, target.removeprefix("docs/")))
        if found is None:
            LOG.warning("%s has a link to %s, which is no page", here, link["target"])
            return link[0]
        return f'href="{found.url_relative_to(page.file)}"'

    return HREF.sub(on_site, html)


def entries_of(part: dict[str, str | list[dict[str, str]]]) -> list[tuple[str, str]]:
    """Return titles and places of a part of the navigation: a page, or a section of pages."""
    ((title, content),) = part.items()
    return [(title, content)] if isinstance(content, str) else [pair for inner in content for pair in inner.items()]


@cache
def command_reference() -> str:
    """Return the help of every command, and of the commands of a group, as a page."""
    parts = ["# Commands", "What `neomflex COMMAND --help` prints, command by command."]
    for name in COMMANDS:
        said = help_of(name)
        parts.append(f"## neomflex {name}\n\n```text\n{said}```")
        inner_names = re.findall(r"(?<=[{,])(\w+)(?=[,}])", said.splitlines()[0]) if name in GROUPS else []
        parts += [f"### neomflex {name} {inner}\n\n```text\n{help_of(name, inner)}```" for inner in inner_names]
    return "\n\n".join(parts)


def help_of(*command: str) -> str:
    """Return what a command's `--help` prints, 80 columns wide and without colours."""
    said = io.StringIO()
    with patch.dict(os.environ, COLUMNS="80", NO_COLOR="1"), redirect_stdout(said), suppress(SystemExit):
        read_arguments([*command, "--help"], COMMANDS, DESCRIPTION)
    return "".join(
        textwrap.fill(line, 80) + "\n" if len(line) > 80 else f"{line}\n" for line in said.getvalue().splitlines()
    )


MADE = {"commands.md": command_reference, "scenario_fields.md": scenario_reference.page}
