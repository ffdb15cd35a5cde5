"""A pandapower net from a file, which may come from anybody.

pandapower's JSON names classes that its reader looks up and builds, and old readers built any class at all; a pickle
runs whatever its author wished. So only JSON is read, and its text is checked here before pandapower sees it: nothing
but the plain data classes that `pandapower.to_json` writes for a net of tables, no table that is a path or a link
instead of data, no name twice in an object (readers differ in which one they take). Controllers, which no power flow
lets act, stay as rows without their objects. The text that was checked is the text that is read, by
`pandapower.from_json` with its own checks on.
"""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

from neomflex_jax.errors import InputError, short_path, shown
from neomflex_jax.files.json_values import parse_json
from neomflex_jax.files.paths import is_file, is_folder
from neomflex_jax.files.text import read_text
from neomflex_jax.matplotlib_import import load_matplotlib

if TYPE_CHECKING:
    from pandapower import pandapowerNet

MAX_BYTES = 200_000_000
OLDEST_PANDAPOWER = (3, 5, 4)  # the first whose reader checks classes
PICKLES = (".p", ".pkl", ".pickle")
OTHER_READERS = {".xlsx": "from_excel", ".xls": "from_excel", ".sqlite": "from_sqlite", ".db": "from_sqlite"}
MAGIC_OF_PICKLE = b"\x80"

NET = ("pandapower.auxiliary", "pandapowerNet")
TABLES = {
    *(("pandas", "DataFrame"), ("pandas.core.frame", "DataFrame")),
    *(("pandas", "Series"), ("pandas.core.series", "Series")),
}
NUMBERS = {"float16", "float32", "float64"} | {f"{kind}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64)}
PLAIN_DATA = {
    *(("builtins", name) for name in ("complex", "tuple", "set", "frozenset")),
    *(("numpy", name) for name in ("array", "bool", "bool_", "complex128", *NUMBERS)),
    *(("pandas", name) for name in ("Index", "RangeIndex")),
    *(("shapely", name) for name in ("Point", "LineString", "Polygon")),
}
TABLE_FIELDS = {
    *("_module", "_class", "_object", "orient", "typ", "dtype", "is_multiindex", "is_multicolumn"),
    *("index_name", "index_names", "column_name", "column_names"),
}
DROP = (
    "A power flow needs no objects: net.{0}.drop(net.{0}.index, inplace=True) takes them out of "
    "the net; then save it again with pandapower.to_json(net, 'net.json')"
)
RESAVE = "build a net of plain tables in pandapower and save it with pandapower.to_json(net, 'net.json')"


def read_net(path: Path) -> pandapowerNet:
    """Read a ``net.json``.

    Raises
    ------
    InputError
        If there is no such file, or it is no JSON of a pandapower net, or holds more than plain data.
    """
    text = _text(path)
    tree = parse_json(f"{path}", text, RESAVE)
    plain = _without_controllers_objects(path, tree)
    _check_content(path, plain)
    load_matplotlib()  # which pandapower imports
    import pandapower  # slow to import, and needed for nets alone

    version = tuple(int(part) for part in re.findall(r"\d+", pandapower.__version__)[:3])
    if version < OLDEST_PANDAPOWER:
        wanted = ".".join(str(part) for part in OLDEST_PANDAPOWER)
        raise InputError(
            f"{path}: pandapower {pandapower.__version__} reads JSON without checking it; install {wanted} or later"
        )
    try:
        net = pandapower.from_json(io.StringIO(text if plain is tree else json.dumps(plain)))
    except Exception as error:  # its reader raises whatever the content makes pandas raise
        raise InputError(
            f"{path}: pandapower cannot read this net ({type(error).__name__}: {str(error)[:200]})"
        ) from error
    if not isinstance(net, pandapower.pandapowerNet):
        raise InputError(f"{path}: no pandapower net; {RESAVE}")
    return net


def _text(path: Path) -> str:
    suffix = path.suffix.lower()
    if not is_file(path):
        what = "a folder, no file" if is_folder(path) else "no such file"
        raise InputError(f"{short_path(path)}: {what}; a pandapower net is read from the file of pandapower.to_json")
    with path.open("rb") as file:
        is_pickle = file.read(1) == MAGIC_OF_PICKLE
    if suffix in PICKLES or is_pickle:
        raise InputError(
            f"{path}: a pickle runs code of whoever wrote it when it is opened, so it is not read. If you trust it, "
            "convert it once yourself: pandapower.to_json(pandapower.from_pickle(file), 'net.json')"
        )
    if suffix != ".json":
        reader = OTHER_READERS.get(suffix, "from_...")
        raise InputError(
            f"{path}: only .json is read; pandapower.to_json(pandapower.{reader}(file), 'net.json') converts"
        )
    if path.stat().st_size > MAX_BYTES:
        raise InputError(
            f"{path}: larger than {MAX_BYTES // 1_000_000} MB; pass the net itself, pandapower's from_json(file)"
        )
    return read_text(path, "JSON file of a pandapower net", MAX_BYTES)


def _without_controllers_objects(path: Path, tree: object) -> object:
    """Return the tree with null in the place of every controller's object; the same one if there is none."""
    tables = tree.get("_object") if isinstance(tree, dict) else None
    table = tables.get("controller") if isinstance(tables, dict) else None
    rows = table.get("_object") if isinstance(table, dict) else None
    if not (isinstance(tree, dict) and isinstance(tables, dict) and isinstance(table, dict) and isinstance(rows, str)):
        return tree  # none, or for the checks to refuse
    if not rows.lstrip().startswith("{"):
        return tree
    content = parse_json(f"{path}: controller", rows, RESAVE)
    columns, data = (content.get(name) if isinstance(content, dict) else None for name in ("columns", "data"))
    if not isinstance(columns, list) or not isinstance(data, list) or "object" not in columns:
        return tree
    place = columns.index("object")
    plain = [
        [*row[:place], None, *row[place + 1 :]] if isinstance(row, list) and len(row) > place else row for row in data
    ]
    if plain == data:
        return tree
    return tree | {"_object": tables | {"controller": table | {"_object": json.dumps(content | {"data": plain})}}}


def _check_content(path: Path, tree: object) -> None:
    """Refuse every class but the plain ones, however deep."""
    content = tree if isinstance(tree, dict) else {}
    is_net = (content.get("_module"), content.get("_class")) == NET
    tables = content.get("_object") if is_net else None
    if not isinstance(tables, dict) or not {"bus", "line", "ext_grid"} <= tables.keys():
        raise InputError(f"{path}: no pandapower net, or one of an old format; {RESAVE}")
    beside = [(str(where), value) for where, value in content.items() if where != "_object"]
    pending: list[tuple[str, object]] = [*tables.items(), *beside]
    while pending:
        where, value = pending.pop()
        if isinstance(value, dict):
            if {"_module", "_class", "_object", "_state"} & value.keys():
                pending += _check_class(f"{path}: {where}", value)
            pending += [(where, inner) for inner in value.values()]
        elif isinstance(value, list):
            pending += [(where, inner) for inner in value]


def _check_class(where: str, value: dict[str, object]) -> list[tuple[str, object]]:
    """Refuse what is no plain data class; return what a table's text holds."""
    named = str(value.get("_module")), str(value.get("_class"))
    if not ("_object" in value and "_state" not in value and (named in TABLES or named in PLAIN_DATA)):
        table = where.rpartition(": ")[2]
        what_to_do = DROP.format(table) if table.isidentifier() else RESAVE
        raise InputError(
            f"{where} names the class {named[0]}.{named[1]}, which is no plain data; the file is not used. {what_to_do}"
        )
    if named not in TABLES:
        return []
    text, extra = value["_object"], value.keys() - TABLE_FIELDS
    if extra:
        raise InputError(
            f"{where} holds a table with a field {sorted(extra)[0]!r} that pandapower does not write; {RESAVE}"
        )
    if not isinstance(text, str) or not text.lstrip().startswith("{"):
        raise InputError(f"{where} holds no table but {shown(text)}, a path or a link for all we know; {RESAVE}")
    name = where.rpartition(": ")[2]
    return [(name, parse_json(where, text, RESAVE))]
