"""Build the days of the 55 homes of `european_lv`: ``european_lv_training.csv`` and ``european_lv_testing.csv``.

The European low-voltage test feeder (IEEE PES Distribution Systems Analysis Subcommittee) comes with a hundred measured
days of homes, minute by minute, in kW; OpenDSS distributes them. Here they are averaged to 15 minutes. Which home has
which of them on which day is drawn anew every day by a seeded generator. Training days draw from the first sixty, each
at most once a day, days for evaluation from the other forty, each at most twice: no day of a home that is evaluated
was trained on. The sun is that of a feeder's first part as `build_three_minute_profiles.py` invents it, averaged
likewise: for evaluation the days for test beside this file, for training a year of others. `Demand` is the mean of all
homes in kW, per unit of their nominal 1 kW.

    python build_european_lv_profiles.py EuropeanLV/Daily_1min_100profiles

Only NumPy is used, and its generator is seeded: the files come back byte for byte.
"""

import argparse
from pathlib import Path

import numpy as np
from build_three_minute_profiles import build

SEED, N_HOME, STEPS = 55, 55, 96
SEED_OF_SUN, N_TRAINING_DAYS = 2022, 96
ONCE_DEALT = 24  # training days dealt before those for evaluation, which so stay what they were
N_TRAINING = 60  # of the hundred measured days
HERE = Path(__file__).parent
SUN_STEPS = 480  # of a day of the 3-minute profiles


def measured(folder: Path) -> np.ndarray:
    """Return the hundred days in kW, (100, 96): means over 15 minutes."""
    days = [np.loadtxt(folder / f"load_profile_{number}.txt") for number in range(1, 101)]
    return np.array(days).reshape(len(days), STEPS, -1).mean(axis=2)


def averaged(sun_pu: np.ndarray) -> np.ndarray:
    """Return the sun of whole days, (n_days, 96), of 3-minute steps in one row."""
    return sun_pu.reshape(-1, STEPS, SUN_STEPS // STEPS).mean(axis=2)


def write(path: Path, homes_kw: np.ndarray, sun_pu: np.ndarray) -> None:
    """Write days of the homes, (n_days, 96, 55), and of the sun, (n_days, 96)."""
    names = ["Demand", "Solar", *(f"load{number}" for number in range(1, N_HOME + 1))]
    rows = [",".join(names)]
    for homes, solar in zip(homes_kw.reshape(-1, N_HOME), sun_pu.ravel(), strict=True):
        rows.append(f"{homes.mean():.4f},{solar:.4f}," + ",".join(f"{home:.3f}" for home in homes))
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")


def main() -> None:
    """Write both files beside this one."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="with load_profile_1.txt to load_profile_100.txt")
    days_kw = measured(parser.parse_args().folder)
    random = np.random.default_rng(SEED)
    pools = {"training": days_kw[:N_TRAINING], "testing": np.tile(days_kw[N_TRAINING:], (2, 1))}
    suns = {
        "training": averaged(build(SEED_OF_SUN, N_TRAINING_DAYS)[:, :, 1].ravel()),
        "testing": averaged(np.loadtxt(HERE / "three_minutes_testing.csv", delimiter=",", skiprows=1, usecols=1)),
    }
    for _ in range(ONCE_DEALT):
        random.permutation(N_TRAINING)
    for name in ("testing", "training"):
        chosen = [random.permutation(len(pools[name]))[:N_HOME] for _ in suns[name]]
        homes_kw = np.array([pools[name][one].T for one in chosen])
        write(HERE / f"european_lv_{name}.csv", homes_kw, suns[name])


if __name__ == "__main__":
    main()
