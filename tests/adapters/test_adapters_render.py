"""Frames: their shape, and that what they show follows what happened."""

from pathlib import Path
from typing import Any

import gymnasium
import jax
import numpy as np
import pytest
from matplotlib.colors import to_rgb

import neomflex_jax as nf
import neomflex_jax.adapters.gymnasium
from neomflex_jax.adapters.gymnasium_vector import NeomFlexVectorEnv
from neomflex_jax.adapters.pettingzoo import parallel_env
from neomflex_jax.devices import EvCharger
from neomflex_jax.plots import style
from neomflex_jax.plots.one_line import OneLine
from neomflex_jax.plots.territories import draw_territories

FIELDS = {"power_flow": "lindistflow"}
Info = dict[str, Any]


@pytest.fixture(scope="module")
def diagram(three_days: Path) -> OneLine:
    """Draw the default scenario once."""
    return OneLine(nf.make("neom33", profiles=three_days, **FIELDS))


@pytest.fixture
def info(diagram: OneLine) -> Info:
    """Answer a reset."""
    return dict(jax.device_get(diagram.env.reset(jax.random.key(0))[1].info))


def pixel(diagram: OneLine, frame: np.ndarray, bus: int) -> np.ndarray:
    """Colour in the middle of a bus."""
    x, y = diagram.figure.axes[0].transData.transform(diagram._place[bus])
    return frame[round(frame.shape[0] - y), round(x)].astype(int)


def n_of_colour(frame: np.ndarray, colour: str) -> int:
    """Count pixels of one colour."""
    return int((np.abs(frame - 255 * np.array(to_rgb(colour))).max(axis=2) < 2).sum())


def with_voltage(info: Info, bus: int, vm_pu: float) -> Info:
    changed = info["vm_pu"].copy()
    changed[bus] = vm_pu
    return info | {"vm_pu": changed}


def test_every_interface_renders_frames_of_one_shape(three_days: Path) -> None:
    single = gymnasium.make("NeomFlex/neom33-v0", render_mode="rgb_array", profiles=three_days, **FIELDS)
    single.reset(seed=0)
    first = single.render()
    single.step(np.ones(6, np.float32))
    second = single.render()
    agents = parallel_env("neom33", render_mode="rgb_array", profiles=three_days, **FIELDS)
    agents.reset(seed=0)
    copies = NeomFlexVectorEnv(2, render_mode="rgb_array", profiles=three_days, **FIELDS)
    copies.reset(seed=[0, 1])
    frames = copies.render()
    assert first.dtype == np.uint8 and first.ndim == 3 and first.shape[2] == 3
    assert min(first.shape[:2]) > 300
    assert first.shape == second.shape == frames[1].shape
    np.testing.assert_array_equal(agents.render(), first)
    np.testing.assert_array_equal(frames[0], first)
    assert not np.array_equal(first, second)
    assert gymnasium.make("NeomFlex/neom33-v0", profiles=three_days, **FIELDS).unwrapped.render() is None
    for refused in (parallel_env, NeomFlexVectorEnv):
        with pytest.raises(nf.InputError, match="render_mode = 'human' is not one of 'rgb_array'"):
            refused(render_mode="human", **FIELDS)


def test_a_bus_is_redder_the_lower_and_bluer_the_higher(diagram: OneLine, info: Info) -> None:
    colours = [pixel(diagram, diagram.frame(with_voltage(info, 17, vm)), 17) for vm in (0.94, 0.98, 1.0, 1.02, 1.06)]
    blueness = [int(colour[2]) - int(colour[0]) for colour in colours]
    assert blueness == sorted(blueness) and blueness[0] < -50 and blueness[-1] > 50
    same = [pixel(diagram, diagram.frame(with_voltage(info, 17, vm)), 3) for vm in (0.91, 1.09)]
    np.testing.assert_array_equal(*same)  # the scale is fixed: another bus keeps its colour


def test_buses_outside_the_hard_limits_are_ringed(diagram: OneLine, info: Info) -> None:
    counts = [n_of_colour(diagram.frame(with_voltage(info, 9, vm)), style.VERMILLION) for vm in (0.95, 0.89, 1.11)]
    assert counts[0] < counts[1] and counts[0] < counts[2]


def test_batteries_fill_and_suns_shine(diagram: OneLine, info: Info) -> None:
    green = [
        n_of_colour(diagram.frame(info | {"battery_soc": np.full(3, soc)}), style.GREEN) for soc in (0.2, 0.5, 0.9)
    ]
    assert green == sorted(set(green))
    gold = [n_of_colour(diagram.frame(info | {"pv_p_mw": np.full(3, p)}), style.ORANGE) for p in (0.0, 0.3, 1.0)]
    assert gold == sorted(set(gold))


def test_a_failed_power_flow_is_shown_as_such(diagram: OneLine, info: Info) -> None:
    failed = info | {"converged": np.array(False), "vm_pu": np.full(33, np.nan), "loss_mw": np.float32(np.nan)}
    frame = diagram.frame(failed)
    np.testing.assert_array_equal(pixel(diagram, frame, 17), 255)
    titles = [diagram.figure.axes[0].get_title(loc=side) for side in ("left", "right")]
    assert titles == ["neom33: day " + titles[0].split("day ")[1], "power flow failed: there are no voltages"]
    diagram.frame(info)
    assert diagram.figure.axes[0].get_title(loc="right").startswith("lowest 0.9")


def test_the_title_states_the_moment(diagram: OneLine, info: Info) -> None:
    figure = diagram.draw(info | {"dataset_index": np.int32(2 * 48 + 29)})
    assert figure.axes[0].get_title(loc="left") == "neom33: day 2, 14:30"


def test_nothing_covers_anything(diagram: OneLine, info: Info) -> None:
    diagram.frame(
        info | {"battery_p_mw": np.full(3, -0.44), "pv_p_mw": np.full(3, 0.88), "pv_q_mvar": np.full(3, -0.44)}
    )
    axes = diagram.figure.axes[0]
    texts = [text for text in axes.texts if text.get_text()]
    boxes = [text.get_window_extent().padded(-1.0) for text in texts]
    assert len(texts) == 33 + 6
    for index, box in enumerate(boxes):
        assert box.count_overlaps(boxes[index + 1 :]) == 0, texts[index].get_text()
    left, right = (title.get_window_extent() for title in (axes._left_title, axes._right_title))
    assert not left.overlaps(right)


def test_two_devices_at_a_bus_stand_side_by_side(tmp_path: Path) -> None:
    text = (Path(nf.__file__).parent / "scenarios" / "neom33.toml").read_text(encoding="utf-8")
    (tmp_path / "both.toml").write_text(text.replace("bus = 16", "bus = 14", 1), encoding="utf-8")
    both = OneLine(nf.make(tmp_path / "both.toml", **FIELDS))
    both.frame(jax.device_get(both.env.reset(jax.random.key(0))[1].info))
    boxes = [text.get_window_extent() for text in both.figure.axes[0].texts if "\n" in text.get_text()]
    assert all(box.count_overlaps(boxes[index + 1 :]) == 0 for index, box in enumerate(boxes))


def test_a_kind_without_a_symbol_of_its_own_is_drawn_with_its_powers() -> None:
    env = nf.make("ev33", **FIELDS)
    diagram, chargers = OneLine(env), env.scenario.of(EvCharger)
    info = dict(jax.device_get(env.reset(jax.random.key(0))[1].info)) | {"ev_p_mw": np.full(len(chargers), -0.25)}
    diagram.frame(info)
    texts = [text.get_text() for text in diagram.figure.axes[0].texts]
    assert sum(text.startswith("\N{MINUS SIGN}0.25 MW\n") for text in texts) == len(chargers) > 0
    legends = [draw.legends[0] for draw in (diagram.figure, draw_territories(env.scenario, env.feeder))]
    assert all("EV charger" in [text.get_text() for text in legend.get_texts()] for legend in legends)
