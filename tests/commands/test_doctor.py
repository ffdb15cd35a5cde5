"""``neomflex doctor``: what it says of this machine, of cards that lie idle, and of wrong answers."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from command_line import neomflex

import neomflex_jax as nf
from neomflex_jax.commands import doctor

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "feeders.json").read_text(encoding="utf-8"))["case33bw"]
PLUGIN = ["jax-cuda12-plugin 0.10.2"]
MODULE = "NVRM version: NVIDIA UNIX {kind}x86_64 Kernel Module  {version}  Release Build\nGCC version: gcc 12.2.0\n"


def test_this_machine_is_well_and_says_what_it_chose(capsys: pytest.CaptureFixture[str]) -> None:
    assert neomflex("doctor") == 0
    said = " ".join(capsys.readouterr().out.split())
    assert f"neomflex-jax {nf.__version__}, jax " in said
    assert "(cpu)" in said
    assert "sweeps in machine code, which solved their trial" in said
    assert "feeders with phases: OpenDSS (opendssdirect.py " in said or "pip install 'neomflex-jax[opendss]'" in said
    assert said.count("as stored") == len(doctor.EXACT)


def test_a_wrong_answer_ends_with_status_1(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(doctor, "LOSS_MW", 0.2)
    assert neomflex("doctor") == 1
    said = " ".join(capsys.readouterr().out.split())
    assert "202.677 kW lost, 0.91309 pu at the lowest, but stored are 200.000 kW" in said
    assert "wrong: ac, newton" in said


def test_the_stored_answers_are_the_published_ones(case33bw: nf.Feeder, float64: None) -> None:
    flow = nf.power_flow(case33bw, -case33bw.load_p_mw, -case33bw.load_q_mvar, sweeps=False)
    assert pytest.approx(GOLDEN["loss_kw"] / 1000, abs=5e-7) == doctor.LOSS_MW
    assert float(np.min(flow.vm_pu)) == pytest.approx(doctor.LOWEST_PU, abs=5e-7)


def system(root: Path, version: str = "", kind: str = "", vendor: str = "") -> Path:
    """Folders as of a system with a driver, or with a card on the bus."""
    if version:
        (root / "proc/driver/nvidia").mkdir(parents=True)
        (root / "proc/driver/nvidia/version").write_text(MODULE.format(version=version, kind=kind), encoding="utf-8")
    if vendor:
        (root / "sys/bus/pci/devices/0000:01:00.0").mkdir(parents=True)
        (root / "sys/bus/pci/devices/0000:01:00.0/vendor").write_text(f"{vendor}\n", encoding="ascii")
        (root / "sys/bus/pci/devices/0000:01:00.0/class").write_text("0x030200\n", encoding="ascii")
    return root


@pytest.mark.parametrize(
    ("about", "plugins", "asked_for", "says"),
    [
        ({}, [], "", r"^$"),
        ({"vendor": "0x8086"}, [], "", r"^$"),
        ({"vendor": "0x10de"}, [], "", "no driver; install NVIDIA's driver"),
        (
            {"version": "550.54.14"},
            [],
            "",
            r"driver \(550\) is there, and JAX without CUDA: pip install -e '.\[cuda12\]'",
        ),
        ({"version": "580.65.06", "kind": "Open "}, [], "", r"\(580\) .*\[cuda13\]"),
        ({"version": "470.223.02"}, PLUGIN, "", "470, is too old for JAX; install one from 525 on"),
        ({"version": "550.54.14"}, PLUGIN, "cpu", "left out by JAX_PLATFORMS=cpu"),
        (
            {"version": "550.54.14"},
            PLUGIN,
            "",
            "driver 550 and jax-cuda12-plugin 0.10.2 are there, and JAX does not start",
        ),
        ({"version": "550.54.14"}, PLUGIN, "cuda,cpu", "does not start it"),
    ],
)
def test_a_card_that_lies_idle_is_told_what_it_lacks(
    about: dict[str, str], plugins: list[str], asked_for: str, says: str, tmp_path: Path
) -> None:
    saying = doctor.card_advice(system(tmp_path, **about), plugins, asked_for)
    assert re.search(says, saying), saying
