"""SIGKILL `train`, `evaluate`, `validate`, `report` and `sweep` at random moments, and look at what they leave.

    python tests/support/kill_commands.py --kills 100 --seed 0

Half of the kills are drawn over the command's measured duration, half over the moments at which something in its folder
changes: there it writes. After each, what loads is what was saved, and whatever headline is there stands over its own
files. A training that was killed is resumed, and must end with the policies of one that was left alone.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from neomflex_jax.agents.policy_files import load_policies
from neomflex_jax.commands import identity
from neomflex_jax.commands.compilation_cache import use_compilation_cache
from neomflex_jax.commands.result_kinds import EVALUATION
from neomflex_jax.errors import InputError
from neomflex_jax.folders.results import ResultFolder, sha256_of
from neomflex_jax.resources import packaged_profiles
from neomflex_jax.training.result import fingerprint
from neomflex_jax.training.run_folder import RunFolder
from neomflex_jax.training.train import resume
from validation.report.report_folder import VALIDATION
from validation.report.stored_report import read_report

COMMANDS = ("train", "evaluate", "validate", "report", "sweep")
STEPS = 8000  # four chunks
WRONG = "WRONG"
MOST_CHANGES = 12  # of a folder, until a kill
TRAIN = ("--algorithm", "gradient", "--gradient.n-copies", "4", "--gradient.horizon-days", "1")
TRAIN += ("--gradient.hidden-sizes", "16", "--checkpoint-seconds", "0")
ON = ("train", "--resume", "--checkpoint-seconds", "0", "--total-steps", str(STEPS))
SWEEP = ("--algorithm", "gradient", "--n-copies", "4", "--horizon-days", "1", "--seeds", "2")


def command_line(*arguments: object) -> list[str]:
    """Give a command of this Python's neomflex."""
    return [sys.executable, "-m", "neomflex_jax", *map(str, arguments)]


class Kills:
    """The trainings and results that all kills start from, made once, and the kills themselves."""

    def __init__(self, work: Path, seed: int) -> None:
        self.work, self.random, self.count = work, random.Random(seed), Counter[str]()
        self.environment = {**os.environ, "JAX_PLATFORMS": "cpu", "NEOMFLEX_CACHE": str(work / "cache")}
        self.seconds: dict[str, float] = {}
        self.pages: list[bytes] = []
        self.days = work / "days.csv"
        lines = packaged_profiles("testing").read_text(encoding="utf-8").splitlines(keepends=True)
        self.days.write_text("".join(lines[:97]), encoding="utf-8")
        self.old, self.half, self.full, self.longer = (work / name for name in ("old", "half", "full", "longer"))
        self._run("train", *TRAIN, "--total-steps", STEPS, "--seed", 1, "--output", self.old)
        self._run("train", *TRAIN, "--total-steps", STEPS // 2, "--output", self.half)
        shutil.copytree(self.half, self.longer)
        self._run(*ON, "--output", self.longer)
        self._run("train", *TRAIN, "--total-steps", STEPS, "--output", self.full)

    # ---- running and killing ----

    def _run(self, *arguments: object) -> None:
        """Run a command to its end; how long it took is kept by its name."""
        before = time.monotonic()
        done = subprocess.run(command_line(*arguments), env=self.environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        self.seconds[str(arguments[0])] = time.monotonic() - before

    def _kill(self, folder: Path, *arguments: object) -> None:
        """Start a command that writes into a folder, and kill it."""
        process = subprocess.Popen(
            command_line(*arguments), env=self.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        if self.random.random() < 0.5:
            with suppress(subprocess.TimeoutExpired):
                process.wait(self.random.uniform(0.0, 1.1) * self.seconds[str(arguments[0])])
        else:
            _wait_for_changes(process, folder, self.random.randint(1, MOST_CHANGES))
        process.kill()
        process.wait()
        self.count["killed" if process.returncode < 0 else "ended before"] += 1

    def kill(self, command: str) -> None:
        """Kill a command once, in one of its ways, and look at what it leaves."""
        ways: dict[str, Sequence[Callable[[], str]]] = {
            "train": (self.train_anew, self.train_over_another, self.train_on),
            "evaluate": (self.evaluate,),
            "validate": (self.validate,),
            "report": (self.report,),
            "sweep": (self.sweep,),
        }
        way = self.random.choice(ways[command])
        try:
            found = way()
        except (AssertionError, InputError) as error:
            found = f"{WRONG} ({way.__name__}: {error or traceback.format_exc().splitlines()[-2]})"
        self.count[f"{command}: {found}"] += 1

    # ---- train ----

    def train_anew(self) -> str:
        return self._train(self._fresh("run"), "--total-steps", STEPS)

    def train_over_another(self) -> str:
        return self._train(self._fresh("run", self.old), "--total-steps", STEPS, "--overwrite")

    def train_on(self) -> str:
        folder = self._fresh("run", self.half)
        self._kill(folder, *ON, "--output", folder)
        return self._left_by_training(folder, self.longer)

    def _train(self, folder: Path, *arguments: object) -> str:
        self._kill(folder, "train", *TRAIN, *arguments, "--output", folder)
        return self._left_by_training(folder, self.full)

    def _left_by_training(self, folder: Path, alone: Path) -> str:
        """Hold what is there against the runs that were left alone, then go on with it to the end of its own."""
        run = RunFolder(folder)
        run.check(overwrite=True)
        known = {self._policies(each): each for each in (self.old, self.half, self.full, self.longer)}
        policies = self._policies(folder)
        if not run.config.exists():
            return "no run"
        assert not policies or policies in known, "policies of no run"
        if run.result.exists():
            stated = json.loads(run.result.read_text(encoding="utf-8"))["policies_sha256"]
            of = json.loads((known[policies] / "result.json").read_text(encoding="utf-8"))["policies_sha256"]
            assert stated == of, "a result over other policies"
        if run.read_config()["seed"] == 1:
            assert policies == self._policies(self.old) and run.result.exists()
            return "the old run"
        try:
            resume(folder, total_steps=STEPS)
        except InputError as error:
            assert "has ended" in str(error), error
        assert self._policies(folder) == self._policies(alone), "the resumed run ends elsewhere"
        return "resumed to the same end"

    def _policies(self, folder: Path) -> tuple[str, ...]:
        """Fingerprints of a run's policies; none if some are missing."""
        try:
            networks = load_policies(folder).networks
        except InputError:
            return ()
        return tuple(fingerprint(networks[agent]) for agent in sorted(networks)) if len(networks) == 3 else ()

    # ---- evaluate, validate, report ----

    def evaluate(self) -> str:
        """Replace an evaluation on one power flow by one on the other."""
        flows = ("ac", "lindistflow")
        results = {flow: self._made("evaluate", flow, "--policies", self.full, "--power-flow", flow) for flow in flows}
        old, new = self.random.sample(flows, 2)
        folder = self._fresh("evaluation", results[old])
        self._kill(
            folder,
            *("evaluate", "--overwrite", "--policies", self.full, "--profiles", self.days),
            *("--power-flow", new, "--output", folder),
        )
        found = ResultFolder(folder, EVALUATION)
        found.check(overwrite=True)
        if not (folder / identity.FILE).exists():
            assert found.unfinished()
            return "tables without a headline"
        assert identity.doubt(folder) == "", identity.doubt(folder)
        tables = sha256_of(folder / "step_metrics.csv")
        same = [flow for flow in flows if tables == sha256_of(results[flow] / "step_metrics.csv")]
        assert identity.read_identity(folder) == identity.read_identity(results[same[0]])
        return "old" if same == [old] else "new"

    def validate(self) -> str:
        """Replace one run's report by another's."""
        runs = {"full": self.full, "old": self.old}
        results = {name: self._made("validate", name, "--policies", run) for name, run in runs.items()}
        old, new = self.random.sample(sorted(runs), 2)
        folder = self._fresh("validation", results[old])
        command = ("validate", "--overwrite", "--policies", runs[new], "--profiles", self.days)
        self._kill(folder, *command, "--output", folder)
        ResultFolder(folder, VALIDATION).check(overwrite=True)
        steps = sha256_of(folder / "pandapower_steps.csv")
        same = [name for name in runs if steps == sha256_of(results[name] / "pandapower_steps.csv")]
        if (folder / "report.md").exists():
            assert figures_of(folder / "report.md") == figures_of(results[same[0]] / "report.md")
        if not (folder / "report.json").exists():
            return "figures without a verdict"
        report = read_report(folder)
        assert not report.changed_files
        assert report.judged[0].policies_sha256 == read_report(results[same[0]]).judged[0].policies_sha256
        return "old" if same == [old] else "new"

    def report(self) -> str:
        """Replace a page with an evaluation and a validation by one without."""
        folder = self._fresh("paged/run", self.full)  # with no results beside it
        page = folder / "report.html"
        if not self.pages:
            results = ("--evaluation", self._made("evaluate", "ac", "--policies", self.full, "--power-flow", "ac"))
            self._run(
                "report", folder, *results, "--validation", self._made("validate", "full", "--policies", self.full)
            )
            self.pages = [page.read_bytes()]
            self._run("report", folder)
            self.pages.append(page.read_bytes())
            assert self.pages[0] != self.pages[1]
        page.write_bytes(self.pages[0])
        self._kill(folder, "report", folder)
        assert page.read_bytes() in self.pages, "a page that is neither the old nor the new one"
        return ("old", "new")[self.pages.index(page.read_bytes())]

    # ---- sweep ----

    def sweep(self) -> str:
        """Replace a sweep by one with half the steps, in the same folders."""
        steps = {"long": STEPS, "short": STEPS // 2}
        made = {name: self._made("sweep", name, *SWEEP, "--total-steps", steps[name]) for name in steps}
        old, new = self.random.sample(sorted(steps), 2)
        folder = self._fresh("sweep", made[old])
        self._kill(folder, "sweep", "--overwrite", *SWEEP, "--total-steps", steps[new], "--output", folder)
        trainings = [RunFolder(folder / path.relative_to(made[old])) for path in sorted(made[old].glob("*/seed_*"))]
        assert len(trainings) == 2
        for training in trainings:
            training.check(overwrite=True)
        if not (folder / "sweep.csv").exists():
            return "no table"
        name = old if sha256_of(folder / "sweep.csv") == sha256_of(made[old] / "sweep.csv") else new
        with (folder / "trainings.csv").open(encoding="utf-8") as file:
            stated = {int(row["steps"]) for row in csv.DictReader(file)}
        with (made[name] / "trainings.csv").open(encoding="utf-8") as file:
            assert stated == {int(row["steps"]) for row in csv.DictReader(file)}
        for training in trainings:
            assert training.read_config()["total_steps"] == steps[name], "a table over other trainings"
            alike = made[name] / training.root.relative_to(folder)
            assert self._policies(training.root) == self._policies(alike), "a table over other policies"
        return "old" if name == old else "new"

    # ---- folders ----

    def _made(self, command: str, name: str, *arguments: object) -> Path:
        """Make results once."""
        folder = self.work / f"{command}-{name}"
        if not folder.exists():
            days = () if command == "sweep" else ("--profiles", self.days)
            self._run(command, *arguments, *days, "--output", folder)
        return folder

    def _fresh(self, name: str, source: Path | None = None) -> Path:
        folder = self.work / "now" / name
        shutil.rmtree(folder, ignore_errors=True)
        if source is not None:
            shutil.copytree(source, folder)
        return folder


def _wait_for_changes(process: subprocess.Popen[bytes], folder: Path, changes: int) -> None:
    """Wait until a folder has changed so many times, looking all the time, or the process has ended."""
    before = _look(folder)
    while changes and process.poll() is None:
        now = _look(folder)
        changes, before = changes - (now != before), now


def _look(folder: Path) -> dict[str, tuple[int, int]]:
    found = {}
    for root, folders, files in os.walk(folder):
        for name in (*folders, *files):
            with suppress(FileNotFoundError):
                status = os.lstat(os.path.join(root, name))
                found[os.path.join(root, name)] = (status.st_mtime_ns, status.st_size)
    return found


def figures_of(page: Path) -> list[str]:
    """Give a report's lines without those that tell of the moment it was made in."""
    lines = page.read_text(encoding="utf-8").splitlines()
    return [line for line in lines if not any(word in line for word in ("machine", "version", "commit", "second"))]


def play(work: Path, kills: int, seed: int, say: Callable[[str], None] = print) -> Counter[str]:
    """Kill each command in turn; gives how often what was found, `WRONG` where it is not what was saved."""
    played = Kills(work, seed)
    for number in range(kills):
        command = COMMANDS[number % len(COMMANDS)]
        played.kill(command)
        say(f"{number + 1} of {kills}: {command}; {dict(played.count)}")
    return played.count


def main() -> None:
    """Play it from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        os.environ["NEOMFLEX_CACHE"] = str(Path(work) / "cache")
        use_compilation_cache()
        count = play(Path(work), given.kills, given.seed, lambda line: print(line, flush=True))
    print("\n".join(f"{number:4d}  {what}" for what, number in sorted(count.items())))
    sys.exit(any(WRONG in what for what in count))


if __name__ == "__main__":
    main()
