"""What `make docs` executes beside notebooks: the pages' commands, and Python that takes longer than the fast suite.

A page's commands run in order on stand-ins for the reader's own files. Budgets become tiny, the days two, and perfect
foresight is left out; SimBench's grid is `case33bw` where that package is not installed. `make demo` and `make test`,
which run by themselves in CI, and Stable-Baselines3, which brings PyTorch, are not run here.
"""

import importlib.util
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pandapower
import pandapower.networks
import pytest
from code_blocks import ROOT, blocks_of, commands_of, pages
from command_line import SMALL, neomflex
from users_modules import forgotten_afterwards

from neomflex_jax.resources import packaged_profiles

pytestmark = [pytest.mark.slow, pytest.mark.docs]
STEPS_PER_DAY = 48
TINY = [*SMALL, "--gradient.n-copies", "2", "--gradient.horizon-days", "1"]
WITH_COMMANDS = [page for page in pages() if any(commands_of(page))]
WITHOUT_VALUE, WITH_VALUE = ("--optimum",), ("--total-steps", "--max-seconds")


def run(words: list[str]) -> int:
    """Run a command here; in a process of its own where seeds share the cores, which has to be said to JAX at first."""
    if "--seeds" in words:
        return subprocess.run([sys.executable, "-m", "neomflex_jax", *words], check=False).returncode
    return neomflex(*words)


def tiny(words: tuple[str, ...], folder: Path) -> list[str]:
    """The same command with a budget of a moment."""
    kept, skipped = [], 0
    for word, after in zip(words, (*words[1:], ""), strict=True):
        if skipped or word in WITHOUT_VALUE:
            skipped = 0
        elif word in WITH_VALUE:
            skipped = 1
        elif word.startswith("simbench:") and importlib.util.find_spec("simbench") is None:
            kept.append("case33bw")
        elif kept[-1:] == ["--seeds"]:
            kept.append("1")
        elif words[0] == "plot" and word in ("10", "11"):  # --days
            kept.append(word[1:])
        else:
            kept.append(word)
        if word == "--output" and words[0] != "plot":
            shutil.rmtree(folder / after, ignore_errors=True)
    if words[0] == "train":
        kept += TINY
    if words[0] == "sweep":
        kept += [word.replace("--sac.", "--") for word in SMALL]
    by_steps = "simbench" not in (folder / "my.toml").read_text()
    if words[0] in ("evaluate", "validate") and "--profiles" not in words and by_steps:
        of_three_minutes = any("mapdn33" in word for word in words)
        kept += ["--profiles", "two_days_of_three_minutes.csv" if of_three_minutes else "two_days.csv"]
    return [*kept, "--overwrite"] if words[:2] == ("scenario", "new") else kept


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with what a reader would have: a net, a scenario of it, a trained run; and the repository's examples."""
    folder = tmp_path_factory.mktemp("reader")
    net = pandapower.networks.case33bw()
    net.line["max_i_ka"], net.line["max_loading_percent"] = 0.4, 100.0
    pandapower.to_json(net, str(folder / "my_net.json"))
    shutil.copytree(ROOT / "examples", folder / "examples")
    rows = packaged_profiles("testing").read_text().splitlines()[: 1 + 2 * STEPS_PER_DAY]
    for name in ("two_days.csv", "village_days.csv", "village_test_days.csv"):
        (folder / name).write_text("\n".join(rows) + "\n")
    rows = packaged_profiles("three_minutes_testing").read_text().splitlines()[: 1 + 2 * 480]
    (folder / "two_days_of_three_minutes.csv").write_text("\n".join(rows) + "\n")
    (folder / "village").mkdir()
    for name, block in zip(("buses", "branches"), blocks_of("docs/first_minutes.md")[2:4], strict=True):
        (folder / f"village/{name}.csv").write_text(block.text)
    with pytest.MonkeyPatch.context() as patch, forgotten_afterwards():
        patch.chdir(folder)
        assert neomflex("scenario", "new", "--from", "my_net.json", "--agents", "2", "--output", "my.toml") == 0
        assert neomflex("train", "--algorithm", "gradient", "--output", "results/run", *TINY) == 0
        yield folder


@pytest.mark.parametrize("page", WITH_COMMANDS)
def test_its_commands_run(page: str, place: Path) -> None:
    for words in commands_of(page):
        if "--coordinator" in words:  # several processes at once: tests/training has them
            continue
        status = run(tiny(words, place))
        allowed = (0, 1, 2) if words[0] == "validate" else (0,)  # policies of a moment may break hard limits
        assert status in allowed, " ".join(words)
        assert words[0] != "validate" or (place / words[words.index("--output") + 1] / "report.md").exists()


@pytest.mark.parametrize("page", ["docs/power_flow.md"])
def test_its_python_runs(page: str) -> None:
    names: dict[str, object] = {"__name__": page}
    for block in blocks_of(page):
        if block.language == "python":
            exec(block.text, names)


def test_the_sweep_on_dask_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("dask")
    (block,) = [block.text for block in blocks_of("docs/sweeps.md") if block.language == "python"]
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": "__main__"}
    exec(block.replace("max_seconds=120.0", "max_seconds=1.0").replace("n_seeds=3", "n_seeds=1"), names)
    outcomes = names["outcomes"]
    assert len(outcomes) == 4
    assert all((one.folder / "policies").is_dir() for (one,) in outcomes)
