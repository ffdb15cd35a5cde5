"""Files that come with the package: scenarios and profiles, from the wheel or from a checkout."""

from pathlib import Path

_PACKAGE = Path(__file__).parent
PROFILES = {
    "training": "training_profiles.csv",
    "testing": "testing_profiles.csv",
    "three_minutes_training": "three_minutes_training.csv",
    "three_minutes_testing": "three_minutes_testing.csv",
    "european_lv_training": "european_lv_training.csv",
    "european_lv_testing": "european_lv_testing.csv",
}


def scenario_folder() -> Path:
    """Folder of the packaged scenario files."""
    return _PACKAGE / "scenarios"


def packaged_profiles(name: str) -> Path:
    """Path of packaged profiles."""
    in_wheel = _PACKAGE / "data" / PROFILES[name]
    in_checkout = _PACKAGE.parent / "data" / PROFILES[name]
    return in_wheel if in_wheel.exists() else in_checkout
