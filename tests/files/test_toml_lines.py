"""Lines of a TOML file: by a text whose lines are written down, by random documents, and by tomllib's own tree."""

import tomllib
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import neomflex_jax as nf
from neomflex_jax.files.toml_lines import TomlLines, find_lines, read_toml
from neomflex_jax.resources import scenario_folder

HARD = (
    """# [not.a.table]
title = "a # no comment = [x]"   # line 2

text = '''
key = 1
[[batteries]]'''
numbers = [ # line 7
  1, 2,
  # 9
  [3, 4], "],", ]
point = { x = 1, "y z" = { deep = [5,6] } }
a.b . c = 1979-05-27T07:32:00Z
'quoted.key' = """
    + '"""x""""'
    + """

[[batteries]]
bus = 1
[batteries.limits]   # line 17
low = 1
[[batteries]]
"b\\u0075s" = 2
[[batteries.cells]]
[[batteries.cells]]
volt = -1.5e3
[a.d]
e = true
[ x . "y" ]
"""
)
EXPECTED = {
    ("title",): 2,
    ("text",): 4,
    ("numbers",): 7,
    ("numbers", 0): 8,
    ("numbers", 1): 8,
    ("numbers", 2): 10,
    ("numbers", 2, 0): 10,
    ("numbers", 2, 1): 10,
    ("numbers", 3): 10,
    ("point",): 11,
    ("point", "x"): 11,
    ("point", "y z"): 11,
    ("point", "y z", "deep"): 11,
    ("point", "y z", "deep", 0): 11,
    ("point", "y z", "deep", 1): 11,
    ("a",): 12,
    ("a", "b"): 12,
    ("a", "b", "c"): 12,
    ("quoted.key",): 13,
    ("batteries",): 15,
    ("batteries", 0): 15,
    ("batteries", 0, "bus"): 16,
    ("batteries", 0, "limits"): 17,
    ("batteries", 0, "limits", "low"): 18,
    ("batteries", 1): 19,
    ("batteries", 1, "bus"): 20,
    ("batteries", 1, "cells"): 21,
    ("batteries", 1, "cells", 0): 21,
    ("batteries", 1, "cells", 1): 22,
    ("batteries", 1, "cells", 1, "volt"): 23,
    ("a", "d"): 24,
    ("a", "d", "e"): 25,
    ("x",): 26,
    ("x", "y"): 26,
}


def paths_of(value, path=()):
    """Every place of a parsed document."""
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    own = {path} if path else set()
    return own.union(*(paths_of(child, (*path, key)) for key, child in children))


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_a_document_with_everything(ending):
    text = HARD.replace("\n", ending)
    assert find_lines(text) == EXPECTED
    assert set(EXPECTED) == paths_of(tomllib.loads(text))


def test_what_is_not_there_has_no_line():
    lines = TomlLines(HARD)
    assert lines(("title",)) == 2
    assert lines(("batteries", 2)) is None and lines(()) is None and lines(("titel",)) is None


@pytest.mark.parametrize("text", ["a = ", "[a", "a = [1, 2", "= 3", "a = {b = 1", 'a = "', "a = [[1}", "[" * 5000])
def test_a_text_that_cannot_be_followed_has_no_lines(text):
    assert find_lines(text) == {}


# ---- random documents: the writer knows where it puts things ----

PLAIN = ["1", "-2.5", "true", "2020-01-02", '"a, b # ] }"', "'c = ['", "inf"]
LONG = ['"""one\ntwo = [ " ""\\""" \n"""', "'''\n[x]\n'''"]
NAMES = st.sampled_from(["bus", "p_mw", "a-b", '"with space"', "'x.y'", "7"])
GAPS = st.sampled_from(["", "\n", " # remark [x] = 1\n", "\n\n  # {\n"])


@st.composite
def values(draw, depth=0):
    """A value as pieces: text, or a (relative path, text) whose line is asked for."""
    kind = draw(st.sampled_from(["plain", "long", "list", "table"] if depth < 2 else ["plain"]))
    if kind == "plain":
        return [draw(st.sampled_from(PLAIN))]
    if kind == "long":
        return [draw(st.sampled_from(LONG))]
    pieces = ["[" if kind == "list" else "{ "]
    names = draw(st.lists(NAMES, unique=True, max_size=3))
    for index, name in enumerate(names):
        key = index if kind == "list" else bare(name)
        pieces += [draw(GAPS)] if kind == "list" else []
        inner = draw(values(depth + 1))
        pieces.append((key,))
        pieces += [f"{name} = "] if kind == "table" else []
        pieces += [(key, *piece) if isinstance(piece, tuple) else piece for piece in inner]
        pieces.append(", " if index + 1 < len(names) else "")
    return [*pieces, "]" if kind == "list" else " }"]


def bare(name):
    return name.strip("\"'")


@st.composite
def documents(draw):
    """A text, and the line of every place in it."""
    text, lines = "", {}

    def put(pieces, path):
        nonlocal text
        for piece in pieces:
            if isinstance(piece, tuple):
                lines.setdefault((*path, *piece), text.count("\n") + 1)
            else:
                text += piece

    def put_fields(path):
        for name in draw(st.lists(NAMES, unique=True, max_size=3)):
            pieces = [(key, *p) if isinstance(p, tuple) else p for key in [bare(name)] for p in draw(values())]
            put([draw(GAPS), (bare(name),), f"{name} = ", *pieces, "\n"], path)

    put_fields(())
    tables = draw(st.lists(st.sampled_from(["one", "two", "many", "more.deep"]), max_size=5))
    count = {}
    for table in tables:
        if table == "many":
            entry = count["many"] = count.get("many", -1) + 1
            put([("many",), ("many", entry), "[[many]]\n"], ())
            put_fields(("many", entry))
        elif table not in count:
            count[table] = 0
            names = tuple(table.split("."))
            put([names[:1], names, f"[ {table} ] # {table} = 1\n"], ())
            put_fields(names)
    return text, lines


@settings(max_examples=300)
@given(documents())
@example(("", {}))
def test_random_documents(document):
    text, lines = document
    assert paths_of(tomllib.loads(text)) == set(lines)
    assert find_lines(text) == lines


# ---- files ----


@pytest.mark.parametrize("path", sorted(scenario_folder().glob("*.toml")), ids=lambda path: path.stem)
def test_every_place_of_a_packaged_scenario_has_the_line_that_names_it(path):
    values, lines = read_toml(path)
    rows = path.read_text(encoding="utf-8").splitlines()
    for place in paths_of(values):
        name = next(key for key in reversed(place) if isinstance(key, str))
        line = lines(place)
        assert line is not None
        if isinstance(place[-1], str):
            assert name in rows[line - 1]


@pytest.mark.parametrize(
    ("content", "says"),
    [(None, "no such file"), (b"a = 1\nb = [\n", "not a TOML file"), (b"a = '\xff'", "not a readable TOML file")],
)
def test_unreadable_files_are_named(content, says, tmp_path: Path):
    path = tmp_path / "mine.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(nf.InputError, match=rf"mine\.toml: {says}"):
        read_toml(path)
