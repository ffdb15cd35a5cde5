"""Build the stand-in for MAPDN's series: ``three_minutes_training.csv`` and ``three_minutes_testing.csv``.

MAPDN's own data (three years, 3 minutes) are not ours to give away. These are invented by a seeded generator, 36 days
spread over a year, 480 rows each, so that they ask of a feeder what MAPDN's do: more sun at noon than load, evenings
without sun, and clouds that pass in minutes, not everywhere at once.

Sun, per unit of the year's clearest noon, of three parts of a feeder, i = 1..3:

    sun_i(t) = clear(t) k_i(t),    clear = max(0, sin elevation)^1.15 / (sin highest elevation)^1.15,
    k_i = 1 - depth_day sigmoid(4 (x_i(t) - x_day)),    x_i = 0.8 common + 0.6 own,

with Ornstein-Uhlenbeck processes of 24 and 9 minutes for what the parts share and do not. Demand, per unit of the
nominal load: a night's level, a morning and an evening peak (higher in winter), times noise of 45 minutes, all times
1.9: what the feeders of the literature carry at one such peak leaves little to do for inverters of 1.2 times their sun.
Only NumPy is used, and its generator is seeded: the files come back byte for byte.
"""

import argparse
from pathlib import Path

import numpy as np

SEED, N_DAYS, STEPS = 2021, 36, 480
LATITUDE_DEG, TILT_DEG = 50.8, 23.44  # of the middle of Belgium; of the earth's axis
TEST_EVERY = 3  # the third, sixth, ... day is for test
SKIES = {"clear": (0.12, 0.6), "broken": (0.75, 0.1), "overcast": (0.8, -1.2)}  # depth, and where clouds begin
SKY_SHARES = (0.35, 0.4, 0.25)
LEVEL = 1.9  # of demand
HOURS = (np.arange(STEPS) + 0.5) * 24.0 / STEPS


def wander(random: np.random.Generator, n: int, minutes: float) -> np.ndarray:
    """Return an Ornstein-Uhlenbeck process of unit variance, (n,), with this time constant."""
    keep = np.exp(-3.0 / minutes)
    values = np.empty(n)
    values[0] = random.normal()
    for step in range(1, n):
        values[step] = keep * values[step - 1] + np.sqrt(1.0 - keep**2) * random.normal()
    return values


def clear_sky(day_of_year: float) -> np.ndarray:
    """Return the sun without clouds, (480,), 1 at the year's highest noon."""
    latitude = np.radians(LATITUDE_DEG)
    declination = np.radians(TILT_DEG) * np.sin(2.0 * np.pi * (day_of_year - 81.0) / 365.0)
    hour_angle = np.radians(15.0 * (HOURS - 12.0))
    height = np.sin(latitude) * np.sin(declination) + np.cos(latitude) * np.cos(declination) * np.cos(hour_angle)
    return (np.maximum(height, 0.0) / np.sin(np.radians(90.0 - LATITUDE_DEG + TILT_DEG))) ** 1.15


def demand(random: np.random.Generator, day_of_year: float) -> np.ndarray:
    """Return a day's demand, (480,), in per unit of the nominal load."""
    winter = 0.5 + 0.5 * np.cos(2.0 * np.pi * (day_of_year - 15.0) / 365.0)
    morning, evening = (np.exp(-0.5 * ((HOURS - at) / width) ** 2) for at, width in ((7.8, 1.5), (19.0, 2.2)))
    level = 0.38 + 0.06 * winter + 0.12 * np.exp(-0.5 * ((HOURS - 12.5) / 2.5) ** 2)
    level = level + (0.16 + 0.06 * winter) * morning + (0.32 + 0.16 * winter) * evening
    return LEVEL * level * (1.0 + 0.03 * random.normal()) * (1.0 + 0.025 * wander(random, STEPS, 45.0))


def build(seed: int = SEED, n_days: int = N_DAYS) -> np.ndarray:
    """Return days spread over a year, (n_days, 480, 4): Demand and the sun of three parts."""
    random = np.random.default_rng(seed)
    days = np.empty((n_days, STEPS, 4))
    for number in range(n_days):
        day_of_year = (number + 0.5) * 365.0 / n_days
        depth, begins = SKIES[list(SKIES)[random.choice(len(SKIES), p=SKY_SHARES)]]
        common = wander(random, STEPS, 24.0)
        days[number, :, 0] = demand(random, day_of_year)
        for part in range(3):
            clouds = 0.8 * common + 0.6 * wander(random, STEPS, 9.0)
            passed = 1.0 - depth / (1.0 + np.exp(-4.0 * (clouds - begins)))
            days[number, :, 1 + part] = clear_sky(day_of_year) * passed
    return days


def write(path: Path, days: np.ndarray) -> None:
    """Write days, (n, 480, 4), with four decimals."""
    rows = [",".join(f"{value:.4f}" for value in row) for row in days.reshape(-1, 4)]
    path.write_text("\n".join(["Demand,sun_1,sun_2,sun_3", *rows]) + "\n", encoding="utf-8")


def main() -> None:
    """Write both files."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path(__file__).parent, help="folder for both files")
    output, days = parser.parse_args().output, build()
    test = np.arange(N_DAYS) % TEST_EVERY == TEST_EVERY - 1
    write(output / "three_minutes_training.csv", days[~test])
    write(output / "three_minutes_testing.csv", days[test])


if __name__ == "__main__":
    main()
