"""The plain files of a run folder: what somebody has changed in them is named, and nothing of it is guessed."""

from pathlib import Path

import pytest

import neomflex_jax as nf
from neomflex_jax.errors import InputError
from neomflex_jax.training.options import TrainOptions, config_of, read_options
from neomflex_jax.training.result import finishing_power_flow, read_result, write_result
from neomflex_jax.training.run_folder import RunFolder
from neomflex_jax.training.run_log import copy_rows_of_seed, drop_rows_after

RESULT = {"steps": 9, "seconds": 1.5, "stopped": "total_steps", "power_flow": "dc", "policies_sha256": "0a"}


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    folder = RunFolder(tmp_path)
    folder.write_config(config_of(TrainOptions(nf.load_scenario("neom33"), finish_on="lindistflow")))
    write_result(folder.result, RESULT)
    return folder


def test_the_power_flow_at_the_end_is_the_results_or_the_one_that_was_asked_for(run: RunFolder) -> None:
    options = read_options(run)
    assert finishing_power_flow(run, options) == "dc"
    run.result.unlink()
    assert finishing_power_flow(run, options) == "lindistflow"


@pytest.mark.parametrize(
    "text", ["[" * 100_000, "[]", '"dc"', "{}", '{"power_flow": "AC"}', '{"power_flow": ["ac"]}', "\0"]
)
def test_a_result_that_cannot_be_used_is_named_not_passed_over(run: RunFolder, text: str) -> None:
    run.result.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=r"result\.json"):
        finishing_power_flow(run, read_options(run))
    write_result(run.result, RESULT | {"seconds": True})
    with pytest.raises(InputError, match="seconds = True must be a number"):
        read_result(run.result)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"step_hours": 0.5', f'"step_hours": {"9" * 400}'),
        ('"step_hours": 0.5', f'"step_hours": {"9" * 5000}'),
        ('"step_hours": 0.5', '"step_hours": 1e300'),
        ('"seed": 0', '"seed": 0, "seed": 1'),
        ('"run_format": 1', '"run_format": "1"'),
        ("{", "[" * 100_000),
    ],
)
def test_a_config_that_cannot_be_used_is_named(run: RunFolder, old: str, new: str) -> None:
    text = run.config.read_text(encoding="utf-8")
    assert old in text
    run.config.write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(InputError, match=r"config\.json"):
        read_options(run)


def test_metrics_of_any_encoding_are_kept_or_named(run: RunFolder) -> None:
    run.metrics.write_text("steps,seconds,seed\n1,0.5,1\n2,0.5,2\n3,0.5,1\n4,", encoding="utf-8-sig")
    drop_rows_after(run.metrics, 2)
    assert run.metrics.read_text() == "steps,seconds,seed\n1,0.5,1\n2,0.5,2\n"
    copy_rows_of_seed(run.metrics, 1, run.root / "one.csv")
    assert (run.root / "one.csv").read_text() == "steps,seconds\n1,0.5\n"
    for content in (b"steps\n1,\xf2\n", b"steps\n" + b"9" * 5000 + b"\n", b"steps\nx\n"):
        run.metrics.write_bytes(content)
        with pytest.raises(InputError, match=r"metrics\.csv"):
            drop_rows_after(run.metrics, 5)
    run.metrics.write_text("steps\n1\n")
    with pytest.raises(InputError, match="column 'seed' is missing"):
        copy_rows_of_seed(run.metrics, 1, run.root / "one.csv")
