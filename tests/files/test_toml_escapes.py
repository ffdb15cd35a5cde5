"""Windows paths in TOML: what its escapes make of them is told, with what to write instead."""

from pathlib import Path

import pytest

import neomflex_jax as nf
from neomflex_jax.files.toml_lines import read_toml
from neomflex_jax.resources import scenario_folder


def scenario_with(line: str, tmp_path: Path) -> Path:
    text = (scenario_folder() / "neom33.toml").read_text(encoding="utf-8")
    path = tmp_path / "task.toml"
    path.write_text(text.replace('feeder = "case33bw"', line), encoding="utf-8")
    assert line in path.read_text(encoding="utf-8")
    return path


@pytest.mark.parametrize("written", [r"C:\Users\grid\net.json", r"D:\grid", r"\\server\share\net.json", r"C:\x"])
def test_an_escape_that_toml_refuses_says_what_to_write(written, tmp_path):
    with pytest.raises(nf.InputError, match=r"not a TOML file .*single quotes, .* or with forward slashes"):
        nf.load_scenario(scenario_with(f'feeder = "{written}"', tmp_path))


@pytest.mark.parametrize("written", [r"C:\temp\net.json", r"C:\net.json", r"C:\feeders", r"D:\results\b"])
def test_a_path_that_toml_misreads_is_shown_as_it_was_written(written, tmp_path):
    with pytest.raises(nf.InputError) as caught:
        nf.load_scenario(scenario_with(f'feeder = "{written}"', tmp_path))
    assert f'line 4: feeder = "{written}" was read with a control character' in str(caught.value)


def test_other_mistakes_get_no_advice_about_backslashes(tmp_path):
    path = tmp_path / "x.toml"
    path.write_text('a = "fine"\nb = [1, 2\nc = 3\n')
    with pytest.raises(nf.InputError) as caught:
        read_toml(path)
    assert "backslash" not in str(caught.value)


@pytest.mark.parametrize("written", [r"'C:\temp\net.json'", '"C:/temp/net.json"', r'"C:\\temp\\x"'])
def test_what_the_advice_says_is_read_as_it_stands(written, tmp_path):
    assert nf.load_scenario(scenario_with(f"feeder = {written}", tmp_path)).feeder.startswith("C:")
