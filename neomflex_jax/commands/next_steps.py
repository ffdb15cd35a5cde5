"""What every command's help ends with: an example to copy, and what to do after it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from textwrap import fill
from typing import NamedTuple

PROGRAM = "neomflex"


class NextStep(NamedTuple):
    """The end of a help text: examples without the program's name, and what comes after them."""

    examples: tuple[str, ...]
    then: str


NEXT_STEPS: Mapping[tuple[str, ...], NextStep] = {
    (): NextStep(
        ("demo", "scenario list"),
        "the demo takes a few minutes and ends with a page; `neomflex COMMAND --help` "
        "explains a command. To begin with your own feeder: `neomflex scenario new --help`.",
    ),
    ("train",): NextStep(
        ("train --algorithm gradient --output run --max-seconds 90",),
        "`neomflex evaluate --policies run --output run/evaluation` plays the policies "
        "on unseen days; `neomflex validate` checks them in pandapower, or in OpenDSS on feeders with phases.",
    ),
    ("sweep",): NextStep(
        ("sweep --learning-rate 1e-3 3e-3 --seeds 3 --output sweep",),
        "read sweep.csv, `neomflex plot curves sweep`, and train the best settings longer with `neomflex train`.",
    ),
    ("evaluate",): NextStep(
        ("evaluate --policies run --output run/evaluation", "evaluate --policy volt_var --output volt_var"),
        "`neomflex validate --policies run --output run/validation` for the verdict; "
        "`neomflex plot voltage run/evaluation/step_metrics.csv` to look at two days.",
    ),
    ("validate",): NextStep(
        ("validate --policies run --output run/validation",),
        "read report.md in the output folder; `neomflex report run` puts training, "
        "evaluation and validation on one page. With a FAIL, the lines above the "
        "verdict say what to look at.",
    ),
    ("compare",): NextStep(
        ("compare sac=run_0 sac=run_1 gradient=run_2 gradient=run_3",),
        "with fewer than three validated seeds of an algorithm, train and validate more (`neomflex train --seeds 5`).",
    ),
    ("report",): NextStep(
        ("report run",),
        "open report.html in a browser; it needs nothing else, so that you may send it.",
    ),
    ("plot",): NextStep(
        (
            "plot voltage run/evaluation/step_metrics.csv --output voltage.png",
            "plot map run --day 3 --output day.gif",
            "plot curves run --output curves.svg",
        ),
        "other figures, by their names above; `neomflex report run` shows all on a page.",
    ),
    ("export",): NextStep(
        ("export --policies run --agent agent_1 --output agent_1.onnx",),
        "export the other agents likewise, and load the files with ONNX Runtime.",
    ),
    ("demo",): NextStep(
        ("demo", "demo --scenario neom33 --train-seconds 30 --output short_demo"),
        "open the page whose path is printed; `neomflex scenario new --help` is the way to a feeder of your own.",
    ),
    ("feeder",): NextStep(
        ("feeder show case33bw", "feeder import net.json --output my_feeder"),
        "`neomflex feeder check` compares it with pandapower; `neomflex scenario new` makes a scenario of it.",
    ),
    ("feeder", "show"): NextStep(
        ("feeder show case33bw",),
        "`neomflex feeder check case33bw`, or `neomflex scenario new --from case33bw --output my.toml` to train on it.",
    ),
    ("feeder", "import"): NextStep(
        ("feeder import net.json --output my_feeder",),
        "`neomflex feeder check my_feeder`, then `neomflex scenario new --from my_feeder --output my.toml`.",
    ),
    ("feeder", "check"): NextStep(
        ("feeder check case33bw",),
        "if all agree, `neomflex scenario new --from case33bw --output my.toml`; if not, "
        "the last lines say at which bus and what to try.",
    ),
    ("scenario",): NextStep(
        ("scenario list", "scenario new --from case69 --output my.toml"),
        "`neomflex train --scenario my.toml --output run`.",
    ),
    ("scenario", "list"): NextStep(
        ("scenario list",),
        "`neomflex scenario show neom33` for one of them.",
    ),
    ("scenario", "show"): NextStep(
        ("scenario show neom33 --output map.png",),
        "`neomflex scenario check neom33`, then `neomflex train --scenario neom33 --output run`.",
    ),
    ("scenario", "check"): NextStep(
        ("scenario check neom33 --days 4",),
        "if the referee agrees, `neomflex train --scenario neom33 --output run`; where "
        "limits are broken by far, make devices or loads in the TOML file smaller.",
    ),
    ("scenario", "new"): NextStep(
        ("scenario new --from case69 --output my.toml --agents 4",),
        "`neomflex scenario check my.toml`, then `neomflex train --scenario my.toml --output run`.",
    ),
    ("doctor",): NextStep(
        ("doctor",),
        "`neomflex demo` if all is well; docs/gpu.md says what to install for a graphics card.",
    ),
    ("fidelity",): NextStep(
        ("fidelity --scenario neom33 --output fidelity",),
        "train on a fast method whose errors you accept (`neomflex train --power-flow "
        "calibrated --finish-on ac`), and let `neomflex validate` judge the result.",
    ),
}


def end_of_help(arguments: Sequence[str]) -> str:
    """Return the last lines of the help that these arguments ask for."""
    words = next((tuple(arguments[:n]) for n in (2, 1) if tuple(arguments[:n]) in NEXT_STEPS), ())
    step = NEXT_STEPS[words]
    lines = ["Examples:" if len(step.examples) > 1 else "Example:"]
    lines += [f"  {PROGRAM} {example}" for example in step.examples]
    return "\n".join(
        [
            *lines,
            "",
            "What to do next:",
            fill(step.then, 78, initial_indent="  ", subsequent_indent="  ", break_on_hyphens=False),
        ]
    )
