"""Folders of results: what in them is ours, and that no headline ever stands over other files than its own."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from neomflex_jax.errors import InputError
from neomflex_jax.folders.marker import MARKER, made_in, mark, unmark
from neomflex_jax.folders.results import NEW, ResultFolder, ResultKind, changed_since, sha256_of

KIND = ResultKind("letters", ("head.json", "page.md"), ("head.json", "page.md", "a.csv", "b.csv"), lambda _: ())


class Killed(BaseException):
    """Stands for SIGKILL."""


def write(folder: Path, text: str, *more: str) -> None:
    """Write results: every file says which results it belongs to, and the headline the hashes."""
    for name in ("a.csv", "b.csv", "page.md", *more):
        (folder / name).write_text(f"{text} {name}")
    hashes = {path.name: sha256_of(path) for path in folder.iterdir()}
    (folder / "head.json").write_text(json.dumps(hashes))


def written(folder: Path, text: str, *more: str) -> ResultFolder:
    results = ResultFolder(folder, KIND)
    results.check(overwrite=True)
    with results.replaced() as new:
        write(new, text, *more)
    return results


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} - {MARKER}


# ---- replaced as a whole ----


def test_results_are_replaced_whole_and_what_the_new_ones_lack_goes(tmp_path: Path) -> None:
    written(tmp_path, "old", "c.npz")
    assert names(tmp_path) == {"head.json", "page.md", "a.csv", "b.csv", "c.npz"}
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "d.npz").write_text("mine")
    written(tmp_path, "new")
    assert names(tmp_path) == {"head.json", "page.md", "a.csv", "b.csv", "notes.txt", "d.npz"}
    assert (tmp_path / "a.csv").read_text() == "new a.csv"


def test_without_overwrite_results_are_refused(tmp_path: Path) -> None:
    results = written(tmp_path, "old")
    with pytest.raises(InputError, match=r"already holds head.json; give --overwrite or another --output"):
        results.check(overwrite=False)


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Count what changes files, and end it all before the step that the list's only entry counts down to."""
    left = [10**9]

    def counted(name: str) -> None:
        plain = getattr(Path, name)

        def step(self: Path, *arguments: object, **options: object) -> object:
            if NEW not in self.parts or name == "replace":
                if left[0] == 0:
                    raise Killed
                left[0] -= 1
            return plain(self, *arguments, **options)

        monkeypatch.setattr(Path, name, step)

    for name in ("replace", "unlink", "write_text"):
        counted(name)
    yield left


@pytest.mark.parametrize("first", ["fresh", "old"])
def test_wherever_a_swap_is_cut_off_a_headline_stands_over_its_own_files_alone(
    tmp_path: Path, steps: list[int], first: str
) -> None:
    seen = set()
    for step in range(40):
        folder = tmp_path / str(step)
        folder.mkdir()
        if first == "old":
            written(folder, "old", "c.npz")
        steps[0] = step
        try:
            written(folder, "new", "e.npz")
            finished = True
        except Killed:
            finished = False
        steps[0] = 10**9
        if (folder / "head.json").exists():
            assert changed_since(folder, json.loads((folder / "head.json").read_text())) == []
        if (folder / "page.md").exists():
            generation = (folder / "page.md").read_text().split()[0]
            assert {path.read_text().split()[0] for path in folder.glob("?.csv")} == {generation}
        seen.add((folder / "head.json").exists())
        written(folder, "newer")  # whatever was left is ours, and can be replaced
        assert names(folder) == {"head.json", "page.md", "a.csv", "b.csv"}
        if finished:
            break
    assert finished and (first == "fresh" or seen == {True, False})


def test_what_a_killed_writer_left_beside_goes_with_the_next_results(tmp_path: Path) -> None:
    (tmp_path / NEW).mkdir()
    (tmp_path / NEW / ".a.csv.17.partial").write_text("half")
    written(tmp_path, "new")
    assert names(tmp_path) == {"head.json", "page.md", "a.csv", "b.csv"}


def test_a_failure_while_results_are_made_leaves_the_old_ones(tmp_path: Path) -> None:
    results = written(tmp_path, "old")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(OSError, match="disk"), results.replaced() as new:
        (new / "a.csv").write_text("new")
        raise OSError("disk full")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


# ---- never somebody else's ----


@pytest.mark.parametrize("name", ["head.json", "b.csv"])
def test_files_of_the_same_names_that_are_not_ours_are_refused_and_stay(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("mine")
    with pytest.raises(InputError, match=f"holds {name}, and no .neomflex.json says"):
        ResultFolder(tmp_path, KIND).check(overwrite=True)
    assert (tmp_path / name).read_text() == "mine"


def test_a_name_that_only_the_new_results_have_is_not_taken_from_others(tmp_path: Path) -> None:
    (tmp_path / "c.npz").write_text("mine")
    with pytest.raises(InputError, match=r"holds c\.npz"):
        written(tmp_path, "new", "c.npz")
    assert names(tmp_path) == {"c.npz"} and (tmp_path / "c.npz").read_text() == "mine"


@pytest.mark.parametrize("dangling", [True, False])
def test_links_are_neither_followed_nor_replaced(tmp_path: Path, dangling: bool) -> None:
    target = tmp_path / "elsewhere.csv"
    written(tmp_path / "out", "old") if (tmp_path / "out").mkdir() is None else None
    (tmp_path / "out" / "a.csv").unlink()
    (tmp_path / "out" / "a.csv").symlink_to(target)
    if not dangling:
        target.write_text("mine")
    with pytest.raises(InputError, match=r"a\.csv: is a link"):
        written(tmp_path / "out", "new")
    assert (tmp_path / "out" / "b.csv").read_text() == "old b.csv"
    assert (tmp_path / "out" / "a.csv").is_symlink() and target.exists() != dangling


def test_a_link_or_a_folder_in_place_of_unfinished_results_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("years")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / NEW).symlink_to(tmp_path / "mine")
    with pytest.raises(InputError, match="must be a folder of ours"):
        written(tmp_path / "out", "new")
    (tmp_path / "out" / NEW).unlink()
    (tmp_path / "out" / NEW / "sub").mkdir(parents=True)
    with pytest.raises(InputError, match="nothing of ours"):
        written(tmp_path / "out", "new")
    assert (tmp_path / "mine" / "thesis.tex").exists()


# ---- the marker ----


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "{" * 10_000,
        '{"program": "other", "format": 1, "made": {"letters": ["a"]}}',
        '{"program": "neomflex_jax", "format": 2, "made": {"letters": ["a"]}}',
        '{"program": "neomflex_jax", "format": 1, "made": ["letters"]}',
        '{"program": "neomflex_jax", "format": 1, "made": {"letters": "a"}}',
    ],
)
def test_a_marker_that_is_none_says_nothing_and_is_not_overwritten(tmp_path: Path, content: str) -> None:
    (tmp_path / MARKER).write_text(content)
    assert made_in(tmp_path, "letters") is None
    with pytest.raises(InputError, match="is no marker of this program"):
        mark(tmp_path, "letters", ["a"])
    assert (tmp_path / MARKER).read_text() == content


def test_a_marker_cannot_point_outside_its_folder(tmp_path: Path) -> None:
    listed = ["../x", "/etc/passwd", "..", "a/b", "C:x", "", 7, "a.csv"]
    (tmp_path / MARKER).write_text(json.dumps({"program": "neomflex_jax", "format": 1, "made": {"letters": listed}}))
    assert made_in(tmp_path, "letters") == {"a.csv"}


def test_kinds_share_a_marker_and_the_last_takes_it_away(tmp_path: Path) -> None:
    mark(tmp_path, "one", ["a"])
    mark(tmp_path, "two", ["b"])
    unmark(tmp_path, "one")
    assert made_in(tmp_path, "one") is None and made_in(tmp_path, "two") == {"b"}
    unmark(tmp_path, "two")
    assert not (tmp_path / MARKER).exists()
