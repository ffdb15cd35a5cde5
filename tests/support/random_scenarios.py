"""Random scenarios on the 33 buses for property tests: every option of devices, rewards, observations, uncertainty."""

from typing import Any

from hypothesis import strategies as st

LOAD_BUSES = (6, 9, 13, 23, 24, 29, 30, 31)  # buses of case33bw with a load to flex


def share(low: float = 0.0, high: float = 1.0) -> st.SearchStrategy[float]:
    """A float in a range, on a grid of 64 values, so that shrinking finds round ones."""
    return st.integers(0, 64).map(lambda step: low + (high - low) * step / 64)


@st.composite
def batteries(draw: st.DrawFn) -> list[dict[str, Any]]:
    """One to three batteries; the first is agent_2's, which has no PV-free fallback."""
    found = []
    for bus in draw(st.lists(st.sampled_from((7, 14, 23, 2, 30)), min_size=1, max_size=3, unique=True)):
        power = draw(share(0.1, 1.0))
        low = draw(share(0.0, 0.4))
        found.append(
            {
                "bus": bus,
                "power_mw": power,
                "capacity_mwh": draw(share(0.2, 4.0)),
                "soc_min": low,
                "soc_max": draw(share(low + 0.05, 1.0)),
                "soc_initial": low + 0.02,
                "charge_efficiency": draw(share(0.7, 1.0)),
                "discharge_efficiency": draw(share(0.7, 1.0)),
                "ramp_mw": draw(st.none() | share(0.05, 1.0)),
                "s_mva": draw(st.none() | share(power, 1.5)),
                "throughput_cost": draw(share(0.0, 5.0)),
            }
        )
    return found


@st.composite
def inverters(draw: st.DrawFn) -> list[dict[str, Any]]:
    """A PV inverter for every agent."""
    return [
        {
            "bus": bus,
            "p_max_mw": draw(share(0.1, 1.2)),
            "s_mva": draw(share(0.1, 1.5)),
            "curtailable": draw(st.booleans()),
            "priority": draw(st.sampled_from("pq")),
            "export_limit_mw": draw(st.none() | share(0.0, 1.0)),
        }
        for bus in (20, 16, 31)
    ]


@st.composite
def flexible_loads(draw: st.DrawFn) -> list[dict[str, Any]]:
    """None to three flexible loads."""
    found = []
    for bus in draw(st.lists(st.sampled_from(LOAD_BUSES), max_size=3, unique=True)):
        shift = draw(share(0.0, 0.3))
        found.append(
            {
                "bus": bus,
                "curtail_share": draw(share(0.1, 1.0)),
                "shift_mw": shift,
                "buffer_mwh": draw(share(0.05, 1.0)) if shift else 0.0,
            }
        )
    return found


@st.composite
def scenario_fields(draw: st.DrawFn) -> dict[str, Any]:
    """Fields to override in neom33."""
    choose = st.sampled_from
    return {
        "batteries": draw(batteries()),
        "pv_inverters": draw(inverters()),
        "flexible_loads": draw(flexible_loads()),
        "voltage_barrier": draw(choose(("band", "l1", "l2", "bowl", "bump", "courant_beltrami"))),
        "reactive_weight": draw(share(0, 2)),
        "throughput_weight": draw(share(0, 2)),
        "curtailment_weight": draw(share(0, 9)),
        "peak_weight": draw(share(0, 9)),
        "solar_penalty": draw(st.booleans()),
        "sharing": draw(choose(("team", "local", "mixed"))),
        "scope": draw(choose(("local", "territory", "neighbours", "global"))),
        "history": draw(st.integers(1, 3)),
        "forecast": draw(choose(("perfect", "persistence", "noisy"))),
        "forecast_steps": draw(st.integers(0, 4)),
        "sensor_noise_pu": draw(share(0, 0.01)),
        "missing_probability": draw(share(0, 0.5)),
        "demand_spread": draw(share(0, 0.3)),
        "line_error": draw(choose((0.0, 0.1))),
        "load_growth": [0.8, 1.2],
        "pv_growth": draw(choose(([1.0, 1.0], [0.7, 1.1]))),
        "profile_noise": draw(share(0, 0.2)),
        "outage_probability": draw(share(0, 0.9)),
        "load_q": draw(choose(("follows_demand", "held_from_day_start"))),
        "on_violation": draw(choose(("continue", "end_day"))),
        "day_order": draw(choose(("random", "file"))),
        "energies": draw(choose(("random", "carried"))),
        "power_flow": draw(choose(("lindistflow", "ac"))),
    }
