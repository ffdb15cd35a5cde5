"""Modules of users on the command line: imported where asked for, never because a file names them."""

import sys
from pathlib import Path
from types import ModuleType

import pytest
from command_line import neomflex
from users_modules import forgotten_afterwards

import neomflex_jax as nf
from neomflex_jax.scenario import scenario_from_dict
from neomflex_jax.users_modules import advice_to_import, import_named, module_of

EXAMPLE = Path(__file__).parents[2] / "examples" / "heat_pump.py"
SCENARIO = EXAMPLE.with_suffix(".toml")


def test_a_module_is_imported_by_its_file_and_named_in_what_is_stored() -> None:
    with forgotten_afterwards("heat_pump"):
        import_named(str(EXAMPLE))
        stored = nf.load_scenario(SCENARIO).as_dict()
    assert stored["device_modules"] == {"heat_pumps": "heat_pump"}
    assert "heat_pump" not in sys.modules
    with pytest.raises(nf.InputError, match=r"import 'heat_pump', which registers it .*--import heat_pump"):
        scenario_from_dict(stored, "config.json")
    assert "heat_pump" not in sys.modules, "a file's word is no reason to run anything"


def test_commands_take_it_and_say_so_where_it_lacks(capsys: pytest.CaptureFixture[str]) -> None:
    assert neomflex("scenario", "show", SCENARIO) == 2
    assert "import the module that registers their kind (on the command line: --import" in said(capsys)
    with forgotten_afterwards("heat_pump"):
        assert neomflex("scenario", "show", SCENARIO, "--entries", "--import", EXAMPLE) == 0
    assert "temperature of heat_pump_24" in said(capsys)


@pytest.mark.parametrize(
    ("named", "sentence"),
    [
        ("nowhere.py", "--import nowhere.py: there is no such file"),
        ("no_such_module", "no module of this name is found; give its file, as in folder/no_such_module.py"),
        ("package/module", "is no module's name; give one, or a file that ends in .py"),
        ("..", "is no module's name"),
    ],
)
def test_what_cannot_be_imported_is_one_sentence(named: str, sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert neomflex("scenario", "show", SCENARIO, "--import", named) == 2
    text = said(capsys)
    assert text.startswith("error: ") and sentence in text


def test_a_module_that_needs_another_and_one_with_a_taken_name_are_named(tmp_path: Path) -> None:
    with forgotten_afterwards("needs_another"):
        (tmp_path / "needs_another.py").write_text("import no_such_library\n")
        with pytest.raises(nf.InputError, match="it imports 'no_such_library', which is not there; install it"):
            import_named(str(tmp_path / "needs_another.py"))
        (tmp_path / "json.py").write_text("")
        with pytest.raises(nf.InputError, match=r"another module is called 'json' .*; rename the file"):
            import_named(str(tmp_path / "json.py"))


def test_a_script_that_is_run_is_named_after_its_file(monkeypatch: pytest.MonkeyPatch) -> None:
    kind = type("Kind", (), {"__module__": "__main__"})
    main = ModuleType("__main__")
    monkeypatch.setitem(sys.modules, "__main__", main)
    assert module_of(kind) == "__main__" and "run the cells" in advice_to_import("__main__")  # a notebook
    main.__file__ = "/somewhere/my_kinds.py"
    assert module_of(kind) == "my_kinds"
    assert module_of(Path) == Path.__module__


def said(capsys: pytest.CaptureFixture[str]) -> str:
    return " ".join(capsys.readouterr().out.split())
