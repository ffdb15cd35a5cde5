"""Ways to spoil a valid file: bytes, words, cells, trees, archives. Everything is drawn from one seeded generator."""

import copy
import io
import json
import random
import re
import struct
import zipfile
from collections.abc import Callable
from typing import Any

import numpy as np

Mutation = Callable[[bytes, random.Random], bytes]

ODD_WORDS = (
    *("", "-1", "0", "1e300", "-1e300", "1e999", "nan", "NaN", "inf", "1e-320", "0x10", "1_000", "true", "null", "[]"),
    *("{}", '""', "'", '"', "\\ud800", "\x00", "a" * 3000, "9" * 400, "9" * 5000, "[" * 2000, '{"a":' * 2000),
    *("9223372036854775808", "2147483648", "1.5", "..", "a.b", "2026-01-01", "é", "=", ",", ";", "\n", "\r", "#"),
)
ODD_VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1.5, 1e300, float("nan"), float("inf"), 10**18, 2**63, 10**400, "", "x", "a" * 3000),
    *("\x00", "\ud800", [], {}, [[]], [1, "a", None], {"a": {"b": []}}, [0] * 1000, "../..", "nan", "1"),
)
WORD = re.compile(r"[A-Za-z_]+|-?[0-9.]+(?:[eE][-+]?[0-9]+)?|\s+|.")


def flip_bits(content: bytes, choose: random.Random) -> bytes:
    """Flip one to eight bits."""
    changed = bytearray(content)
    for _ in range(choose.choice([1, 1, 1, 2, 8])):
        if changed:
            changed[choose.randrange(len(changed))] ^= 1 << choose.randrange(8)
    return bytes(changed)


def cut(content: bytes, choose: random.Random) -> bytes:
    """Cut the end or the beginning off, or take a piece out."""
    first, second = sorted(choose.randrange(len(content) + 1) for _ in range(2))
    return choose.choice([content[:first], content[second:], content[:first] + content[second:]])


def splice(content: bytes, choose: random.Random) -> bytes:
    """Put a piece of it, or noise, somewhere else."""
    first, second, place = (choose.randrange(len(content) + 1) for _ in range(3))
    piece = content[min(first, second) : max(first, second)][:2000]
    piece = choose.choice([piece, choose.randbytes(choose.randrange(1, 20)), b"\x00" * 8, b"\xff" * 4])
    return content[:place] + piece + content[place + choose.choice([0, len(piece)]) :]


def recode(content: bytes, choose: random.Random) -> bytes:
    """Save the text in another encoding, with or without a byte order mark."""
    text = content.decode("utf-8", "replace")
    encoding = choose.choice(["utf-8-sig", "utf-16", "utf-16-be", "utf-32", "latin-1", "cp037"])
    return text.encode(encoding, "replace")


def words(content: bytes, choose: random.Random) -> bytes:
    """Replace, remove or repeat some words or numbers of a text."""
    parts = WORD.findall(content.decode("utf-8", "replace"))
    for _ in range(choose.choice([1, 1, 2, 5])):
        place = choose.randrange(len(parts))
        parts[place] = choose.choice([choose.choice(ODD_WORDS), "", parts[place] * 2, choose.choice(parts)])
    return "".join(parts).encode("utf-8", "replace")


def lines(content: bytes, choose: random.Random) -> bytes:
    """Remove, repeat, swap or move lines."""
    every = content.split(b"\n")
    first, second = choose.randrange(len(every)), choose.randrange(len(every))
    kind = choose.choice(["remove", "repeat", "swap", "many"])
    if kind == "remove":
        del every[first]
    elif kind == "repeat":
        every.insert(second, every[first])
    elif kind == "swap":
        every[first], every[second] = every[second], every[first]
    else:
        every[first:first] = [every[first]] * 200
    return b"\n".join(every)


def cells(content: bytes, choose: random.Random) -> bytes:
    """Replace a cell of a CSV file, or remove, repeat or rename a column."""
    rows = [line.split(",") for line in content.decode("utf-8", "replace").splitlines()]
    row = rows[choose.randrange(len(rows))]
    place = choose.randrange(len(row))
    kind = choose.choice(["cell", "cell", "name", "remove", "repeat", "separator"])
    if kind == "cell":
        row[place] = choose.choice(ODD_WORDS)
    elif kind == "name":
        rows[0][choose.randrange(len(rows[0]))] = choose.choice([*ODD_WORDS, *rows[0]])
    elif kind == "separator":
        return content.replace(b",", choose.choice([b";", b"\t", b", ", b'","']))
    for each in rows if kind in ("remove", "repeat") else ():
        if place < len(each):
            each[place : place + 1] = [] if kind == "remove" else [each[place]] * 2
    return "\n".join(map(",".join, rows)).encode("utf-8", "replace")


def tree(content: bytes, choose: random.Random) -> bytes:
    """Change a node of a JSON document: another value, none, wrapped, under another name."""
    document = json.loads(content)
    for _ in range(choose.choice([1, 1, 2])):
        document = _changed(document, choose)
    return json.dumps(document).encode("utf-8")


def _changed(document: Any, choose: random.Random) -> Any:
    places = [(container, key) for container in _containers(document) for key in _keys(container)]
    if not places:
        return copy.deepcopy(choose.choice(ODD_VALUES))
    container, key = choose.choice(places)
    kind = choose.choice(["value", "value", "remove", "wrap", "rename", "deep", "other", "scale"])
    if kind == "value":
        container[key] = copy.deepcopy(choose.choice(ODD_VALUES))  # what is spoilt next may be what was put here
    elif kind == "remove":
        del container[key]
    elif kind == "wrap":
        container[key] = choose.choice([[container[key]], {"a": container[key]}, [container[key]] * 3])
    elif kind == "rename" and isinstance(container, dict):
        container[choose.choice(["", "a" * 3000, "\x00", str(key) + "_", str(key).upper()])] = container.pop(key)
    elif kind == "deep":
        value: Any = container[key]
        for _ in range(choose.choice([50, 150, 400])):
            value = [value]
        container[key] = value
    elif kind == "other":
        source, at = choose.choice(places)
        container[key] = json.loads(json.dumps(source.get(at) if isinstance(source, dict) else source[at]))
    elif isinstance(container[key], int | float):
        container[key] = container[key] * choose.choice([-1, 1e-9, 1e6, 1e15, 1e40])
    return document


def _keys(container: Any) -> list[Any]:
    return list(container) if isinstance(container, dict) else list(range(len(container)))


def _containers(value: Any) -> list[Any]:
    found = [value] if isinstance(value, dict | list) else []
    for container in found:  # grows as it goes
        inner = container.values() if isinstance(container, dict) else container
        found.extend(one for one in inner if isinstance(one, dict | list))
    return found


def arrays(content: bytes, choose: random.Random) -> bytes:
    """Write one array of an .npz file with another type, shape, order or value."""
    with np.load(io.BytesIO(content), allow_pickle=False) as stored:
        held = {name: stored[name] for name in stored.files}
    name = choose.choice(list(held))
    array = held[name]
    kind = choose.choice(["type", "shape", "remove", "order", "values", "rename", "text"])
    if kind == "type" and array.dtype.kind in "fib":
        held[name] = array.astype(choose.choice([">f4", "f2", "i1", "u8", "c8", "U3", "f8", "S4", "M8[s]", "?"]))
    elif kind == "shape":
        held[name] = choose.choice([array[:0] if array.ndim else array[None], array[..., None], array.reshape(-1)])
    elif kind == "remove":
        del held[name]
    elif kind == "order":
        held[name] = np.asfortranarray(array)
    elif kind == "values" and array.dtype.kind == "f" and array.size:
        held[name] = array.copy()
        held[name].flat[choose.randrange(array.size)] = choose.choice([np.nan, np.inf, 1e30, -1, 0])
    elif kind == "rename":
        held[choose.choice(["", "x" * 3000, "a/b", "../x"])] = held.pop(name)
    elif kind == "text" and array.dtype.kind == "U" and array.ndim == 0:
        held[name] = np.array(_some_text(str(array), choose))
    out = io.BytesIO()
    choose.choice([np.savez, np.savez_compressed])(out, **held)
    return out.getvalue()


def _some_text(text: str, choose: random.Random) -> str:
    if text.startswith("{"):
        return tree(text.encode(), choose).decode()
    return words(text.encode(), choose).decode()


def members(content: bytes, choose: random.Random) -> bytes:
    """Write an archive's members with another compression, twice, or with bytes of an array's header changed."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        held = [(name, archive.read(name)) for name in archive.namelist()]
    number = choose.randrange(len(held))
    name, value = held[number]
    changed = bytearray(value)
    if choose.random() < 0.7:  # the header of an array has some 128 bytes
        changed[choose.randrange(min(128, len(changed)))] = choose.randrange(256)
    held[number] = (name, bytes(changed))
    if choose.random() < 0.2:
        held.append((held[0][0] + choose.choice(["", " ", "/"]), held[0][1]))
    out, method = (
        io.BytesIO(),
        choose.choice([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]),
    )
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, value in held:
            archive.writestr(name, value)
    return out.getvalue()


def directory(content: bytes, choose: random.Random) -> bytes:
    """Let the directory of an archive lie: flags, method, sizes, offsets."""
    changed = bytearray(content)
    starts = [found.start() for found in re.finditer(b"PK\x01\x02", content)]
    start = choose.choice(starts) if starts else 0
    offset, form = choose.choice([(8, "<H"), (10, "<H"), (16, "<L"), (20, "<L"), (24, "<L"), (28, "<H"), (42, "<L")])
    if start + offset + 4 <= len(changed):
        value = choose.choice([0, 1, 8, 12, 14, 99, 1000, 65535, 2**31, 2**32 - 1]) % (65536 if form == "<H" else 2**32)
        struct.pack_into(form, changed, start + offset, value)
    return bytes(changed)


def tensors(content: bytes, choose: random.Random) -> bytes:
    """Change the JSON header of a safetensors file, its length right again."""
    length = int.from_bytes(content[:8], "little")
    header, data = content[8 : 8 + length], content[8 + length :]
    mutated = choose.choice([tree, words, tree_of_texts])(header, choose)
    return len(mutated).to_bytes(8, "little") + mutated + data


def tree_of_texts(content: bytes, choose: random.Random) -> bytes:
    """Change one of the texts beside the tensors, which may hold JSON themselves."""
    document = json.loads(content)
    texts = document["__metadata__"]
    name = choose.choice(list(texts))
    texts[name] = choose.choice([_some_text(texts[name], choose) if texts[name] else "", *map(str, ODD_VALUES[:11])])
    return json.dumps(document).encode("utf-8")


BYTES: tuple[Mutation, ...] = (flip_bits, cut, splice)
TEXT: tuple[Mutation, ...] = (*BYTES, recode, words, words, lines)
CSV: tuple[Mutation, ...] = (*TEXT, cells, cells, cells)
JSON: tuple[Mutation, ...] = (*TEXT, tree, tree, tree, tree)
NPZ: tuple[Mutation, ...] = (*BYTES, arrays, arrays, members, directory)
SAFETENSORS: tuple[Mutation, ...] = (*BYTES, tensors, tensors, tensors)
