"""The command line, ``neomflex COMMAND``: one class a command, in `COMMANDS`."""

from __future__ import annotations

import gc
import os
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext, redirect_stdout

from neomflex_jax.commands.arguments import Command, read_arguments, words_of
from neomflex_jax.commands.compare import CompareCommand
from neomflex_jax.commands.compilation_cache import use_compilation_cache
from neomflex_jax.commands.console import console, reader_may_leave, write_what_cannot_be_encoded
from neomflex_jax.commands.demo import DemoCommand
from neomflex_jax.commands.doctor import DoctorCommand
from neomflex_jax.commands.evaluate import EvaluateCommand
from neomflex_jax.commands.export import ExportCommand
from neomflex_jax.commands.feeder import FeederCommand
from neomflex_jax.commands.fidelity import FidelityCommand
from neomflex_jax.commands.plot import PlotCommand
from neomflex_jax.commands.report import ReportCommand
from neomflex_jax.commands.scenario import ScenarioCommand
from neomflex_jax.commands.sweep import SweepCommand
from neomflex_jax.commands.train import TrainCommand
from neomflex_jax.commands.validate import ValidateCommand
from neomflex_jax.errors import InputError, place_and_reason
from neomflex_jax.jax_settings import nan_is_a_value, platform_is_there
from neomflex_jax.matplotlib_import import VARIABLE as MATPLOTLIB_BACKEND
from neomflex_jax.users_modules import import_named

DESCRIPTION = "Train multi-agent policies on distribution feeders, evaluate and validate them in pandapower."
COMMANDS: dict[str, Callable[..., Command]] = {
    "train": TrainCommand,
    "sweep": SweepCommand,
    "evaluate": EvaluateCommand,
    "validate": ValidateCommand,
    "compare": CompareCommand,
    "report": ReportCommand,
    "plot": PlotCommand,
    "export": ExportCommand,
    "demo": DemoCommand,
    "feeder": FeederCommand,
    "scenario": ScenarioCommand,
    "fidelity": FidelityCommand,
    "doctor": DoctorCommand,
}
COLLECT_EVERY = (50_000, 20, 20)  # new objects; tracing makes millions, and Python looks through them every 700


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command and exit: 0 done, 1 validation failed, 2 unusable input or an open verdict, 130 interrupted."""
    started = time.monotonic()
    gc.set_threshold(*COLLECT_EVERY)
    write_what_cannot_be_encoded()
    os.environ.pop(MATPLOTLIB_BACKEND, None)  # a notebook's, most likely; commands draw into files
    warnings.showwarning = lambda message, *_, **__: console.warn(str(message))
    words = sys.argv[1:] if arguments is None else arguments
    console.begin(as_json="--json" in words, quiet=False)
    try:
        with reader_may_leave():  # of a help text
            command = read_arguments(words, COMMANDS, DESCRIPTION)
        console.begin(as_json=command.answer.json, quiet=command.answer.quiet)
        if not getattr(command, "no_cache", False):
            use_compilation_cache()
        with platform_is_there(), nan_is_a_value(), _alone_on_standard_output(command.answer.json):
            for module in getattr(command, "modules", ()):
                import_named(module)
            status = command.execute(started)
    except InputError as error:
        console.fail(str(error))
        status = 2
    except OSError as error:  # a path that cannot be read, made or written
        console.fail(f"{place_and_reason(error)}; give another path")
        status = 2
    except UnicodeEncodeError as error:  # a name that the system has no bytes for
        what = f"{error.object[error.start : error.end]!r} in a name cannot be written in {error.encoding}"
        console.fail(f"{what}; rename it, or set LC_ALL=C.UTF-8")
        status = 2
    except KeyboardInterrupt:
        console.fail("interrupted", word="")
        status = 130
    console.end(" ".join(words_of(words, COMMANDS)), status)
    sys.exit(status)


def _alone_on_standard_output(as_json: bool) -> AbstractContextManager[object]:
    """Send what users' modules and libraries print to standard error where a machine reads standard output."""
    return redirect_stdout(sys.stderr) if as_json else nullcontext()
