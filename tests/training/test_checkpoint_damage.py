"""Checkpoints that somebody or some disk has changed: each loads as it was saved, or is refused; none loads changed."""

import dataclasses
import json
import random
import shutil
import warnings
from collections import Counter

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_checkpoint import FRESH, ORIGIN, assert_is, load, saved, state

from neomflex_jax import InputError
from neomflex_jax.training.checkpoint import Checkpoints
from neomflex_jax.training.checksums import sealed, sums_of, unsealed

SEED = 5


def plain(tree):
    """Leaves as NumPy arrays, keys as their data."""
    is_key = lambda leaf: jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)  # noqa: E731
    return [np.asarray(jax.random.key_data(leaf) if is_key(leaf) else leaf) for leaf in jax.tree.leaves(tree)]


def damage(folder, choose):
    """Flip one bit of a file, cut it or remove it; larger files are chosen more often. Says what it did."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.stat().st_size)
    path = choose.choices(files, [file.stat().st_size for file in files])[0]
    content, kind = bytearray(path.read_bytes()), choose.choice(["flip", "flip", "cut", "gone"])
    if kind == "gone":
        path.unlink()
        return kind, path
    if kind == "flip":
        content[choose.randrange(len(content))] ^= 1 << choose.randrange(8)
    path.write_bytes(content[: choose.randrange(len(content))] if kind == "cut" else content)
    return kind, path


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # Orbax's other readers, when one stops
@pytest.mark.parametrize("count", [20, pytest.param(1000, marks=pytest.mark.slow)])
def test_single_damages_are_refused_or_change_nothing(tmp_path, count):
    saved(tmp_path / "good", 1)
    expected, found, choose = plain(state(1)), Counter(), random.Random(SEED)
    for number in range(count):
        folder = tmp_path / f"{number}"
        shutil.copytree(tmp_path / "good", folder)
        kind, path = damage(folder, choose)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                got = plain(load(folder)[0])
            except InputError:
                got = None
        same = got is None or all(np.array_equal(one, other) for one, other in zip(got, expected, strict=True))
        assert same, f"damage {number}, {kind} of {path.relative_to(folder)}, loaded changed"
        found[kind, "refused" if got is None else "same"] += 1
        shutil.rmtree(folder)
    print(dict(found))
    assert found["flip", "refused"] and found["cut", "refused"]  # some damage matters


def test_an_array_that_is_not_what_was_saved_makes_room_for_the_older_checkpoint(tmp_path):
    saved(tmp_path / "run", 1, 2)
    checkpoints = Checkpoints(tmp_path / "other", ORIGIN)
    other = dataclasses.replace(state(2), learner=state(2).learner | {"kernel": jnp.ones(5)})
    checkpoints.save(other)
    checkpoints.close()
    shutil.rmtree(tmp_path / "run" / "2" / "arrays")
    shutil.copytree(tmp_path / "other" / "2" / "arrays", tmp_path / "run" / "2" / "arrays")
    with pytest.warns(UserWarning, match=r"kernel.* is not what was saved: its SHA-256 differs"):
        assert_is(load(tmp_path / "run")[0], 1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda note: note | {"standing": {"seconds": 7.0, "reached_target": False}}, "note is not what was saved"),
        (lambda note: note | {"origin": {}}, "note is not what was saved"),
        (lambda note: {name: value for name, value in note.items() if name != "sha256"}, "note carries no SHA-256"),
        (lambda note: [note], "note carries no SHA-256"),
    ],
)
def test_a_note_that_is_not_what_was_saved_makes_room_for_the_older_checkpoint(tmp_path, change, message):
    saved(tmp_path, 1, 2)
    note = next(path for path in (tmp_path / "2" / "note").iterdir() if path.name == "metadata")
    note.write_text(json.dumps(change(json.loads(note.read_text()))))
    with pytest.warns(UserWarning, match=message):
        found, standing = load(tmp_path)
    assert_is(found, 1)
    assert standing == FRESH


def test_an_error_of_any_kind_makes_room_for_the_older_checkpoint(tmp_path, monkeypatch):
    saved(tmp_path, 1, 2)
    check = Checkpoints._check_arrays

    def fail(self, step, abstract):
        if step == 2:
            raise Exception("Encountered error while reading")  # as Orbax does
        return check(self, step, abstract)

    monkeypatch.setattr(Checkpoints, "_check_arrays", fail)
    with pytest.warns(UserWarning, match="2 does not load, skipped: Encountered error"):
        assert_is(load(tmp_path)[0], 1)


def test_sums_do_not_depend_on_the_number_of_devices():
    """Rows on several devices give the sum of the whole; see also the trainings on several devices and processes."""
    values = {"a": jnp.arange(24.0).reshape(8, 3), "scalar": jnp.int32(3), "flag": jnp.array([True, False])}

    class Shared:  # two shards and a replica, in no order
        addressable_shards = tuple(
            type("Shard", (), {"index": (slice(first, first + 4), slice(None)), "data": values["a"][first : first + 4]})
            for first in (4, 0, 4)
        )

    assert sums_of({"a": Shared()})["a"] == sums_of(values)["a"]
    assert len({one for each in sums_of(values).values() for one in each}) == 3


def test_a_note_comes_back_without_its_sum():
    note = {"origin": {"a": 0.1}, "standing": {}}
    assert unsealed(json.loads(json.dumps(sealed(note)))) == note
