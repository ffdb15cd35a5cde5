"""How much a run may differ from pandapower, by the power-flow method that played it.

Limits come in two kinds. Bookkeeping limits (injections, load q, cost, balance, failures) do not depend on the method:
they hold float32 rounding, and anything above is a fault. Power-flow limits are what a method is known to reach.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from neomflex_jax.errors import InputError, unknown_name
from neomflex_jax.fields import build
from neomflex_jax.files.toml_lines import read_toml


@dataclass(frozen=True)
class Tolerances:
    """Largest value of each criterion that passes; the defaults are those of the `ac` method."""

    # AC against AC: float32 rounding of voltages near 1 is 6e-8 and adds up along the feeder to some 1e-6
    vm_max_pu: float = 1e-5
    # losses and slack power are sums of MW-sized float32 numbers; 1e-4 MW is 0.05 % of the nominal losses of case33bw
    loss_max_mw: float = 1e-4
    slack_p_max_mw: float = 1e-4
    slack_q_max_mvar: float = 1e-4
    # in per cent of the ratings: float32 currents, measured 3e-5
    loading_error_max_percent: float = 0.001
    # unbalance factors in per cent: float32 voltages, whose negative sequence is a small difference
    vuf_max_percent: float = 0.001
    # share of steps in which a control of the feeder's own stands elsewhere than OpenDSS's, and by how many steps: at
    # the edge of a band the last digit of a voltage decides. Measured on ieee123: 0
    feeder_controls_apart_share: float = 0.05
    feeder_controls_apart_max: int = 1
    # a surrogate that hides a broken hard limit must not pass, however small its errors are elsewhere
    missed_hard_violations: int = 0
    # steps x buses that a policy leaves outside the hard limits, in pandapower's answers to what it did; a step without
    # an answer counts with all its buses. Yardsticks may: the verdict is on policies
    hard_violations: int = 0
    # the same of steps x branches above their hard limits of loading
    missed_loading_violations: int = 0
    loading_violations: int = 0
    # a step that pandapower cannot solve has no validated result
    failed_flows: int = 0
    # nor has one that the environment's own power flow could not solve
    recorded_failures: int = 0
    # a converged power flow answers in finite numbers
    non_finite_values: int = 0
    # set-points and injections are the same MW-sized numbers, added up in float32
    p_injection_max_mw: float = 1e-5
    q_injection_max_mvar: float = 1e-5
    # a copy of a profile value
    load_q_factor_max: float = 1e-6
    # energies of MWh size in float32
    energy_max_mwh: float = 1e-5
    # a copy of the step before's
    energy_jump_max_mwh: float = 1e-6
    # copies of the profiles' rows, times a variant's factor, in float32
    profile_max: float = 1e-6
    # set-points and states of charge are float32 copies of numbers that were clipped to their limits
    device_limit_max: float = 1e-5
    # step costs up to some hundreds in float32, of a sum of weights of 100 times differences of voltages near 1
    cost_max: float = 5e-3
    # copies of recorded float32 numbers, minus 1 or divided once: 6e-8
    observation_max: float = 1e-6
    # pandapower's own stop is a mismatch below 1e-8 MVA a bus
    power_balance_max_mw: float = 1e-6
    # share of pandapower's mean day cost by which the record is off: measured 1.3e-5 for trained policies, whose small
    # costs are made of voltages just outside the band, and 1e-6 for no control
    day_cost_gap_max: float = 1e-4
    # the same where the record is the cheaper one: the side on which learners look for a surrogate's weakness
    day_cost_flattery_max: float = 1e-4
    # share of the reward by which a policy earns less or more when it acts on pandapower's answers; None: not judged
    closed_loop_gap_max: float | None = 1e-3
    # a closed loop with a step that has no answer says nothing of the policy
    closed_loop_failed_flows: int = 0
    # the loop's own solver against plain `runpp`, both in double precision
    closed_loop_spot_max_pu: float = 1e-9
    # OpenDSS against itself in a circuit opened anew: measured 0, and where taps move, so that it factorises in another
    # order, 2e-9 on IEEE 13 with its switch of 1e7 siemens
    closed_loop_spot_opendss_max_pu: float = 1e-8

    def __post_init__(self) -> None:
        for name, limit in vars(self).items():
            if limit is not None and not 0 <= limit < math.inf:  # an infinite limit would pass anything
                raise InputError(f"{name} = {limit} must be a number of at least 0, and finite")


# Measured on the 84 testing days of neom33: idle devices / uniformly random actions at every step. Day costs are those
# of trained policies: what a surrogate says of a run without control hardly matters.
BY_METHOD = {
    # measured vm 2e-7 / 4e-7 pu, losses 9e-8 / 3e-7 MW, slack p 1e-6 / 2e-6 MW
    "ac": Tolerances(),
    # another iteration on the same equations
    "newton": Tolerances(),
    # measured vm 0.0009 pu and losses 0.047 MW on 4,096 samples of random actions; on days of two policies of the
    # gradient learner, which sees the surrogate's slopes, vm 0.0005 pu, losses 0.010 MW, slack q 0.007 Mvar, and day
    # costs 0.6 and 0.7 % below pandapower's. Voltages get a twentieth of the band's width (0.06 pu), other feeders
    # being fitted less well, and day costs a twentieth, as far as seeds lie apart: past it a policy lives off the
    # surrogate, and fails. Costs to report are pandapower's.
    "calibrated": Tolerances(
        vm_max_pu=0.003,
        loss_max_mw=0.05,
        slack_p_max_mw=0.05,
        slack_q_max_mvar=0.04,
        loading_error_max_percent=5.0,  # measured 1.1 on idle days, 3.9 with random actions
        day_cost_gap_max=0.05,
        day_cost_flattery_max=0.05,
        closed_loop_gap_max=None,
    ),
    # measured vm 0.0028 / 0.0144 pu (always too high: it hides under-voltage), losses 0.026 / 0.139 MW, slack q 0.018 /
    # 0.100 Mvar; the random actions' error and a quarter to spare. Day costs of policies trained on `calibrated`: 17
    # and 19 % below pandapower's; the limit is that of `calibrated`, for the same reason.
    "lindistflow": Tolerances(
        vm_max_pu=0.018,
        loss_max_mw=0.18,
        slack_p_max_mw=0.18,
        slack_q_max_mvar=0.13,
        loading_error_max_percent=10.0,  # measured 4.5 on idle days, always too low: losses carry no current
        day_cost_gap_max=0.2,
        day_cost_flattery_max=0.2,
        closed_loop_gap_max=None,
    ),
    # it knows neither voltages nor losses (measured errors: 0.09 / 0.18 pu): believable only where no voltage leaves
    # the band of 0.03 pu around 1 and losses stay below a tenth of the nominal 0.2 MW
    "dc": Tolerances(
        vm_max_pu=0.03,
        loss_max_mw=0.02,
        slack_p_max_mw=0.02,
        slack_q_max_mvar=0.02,
        loading_error_max_percent=10.0,  # as `lindistflow`, whose flows are the same
        day_cost_gap_max=0.2,
        day_cost_flattery_max=0.2,
        closed_loop_gap_max=None,
    ),
}


def read_tolerances(path: Path, base: Tolerances) -> Tolerances:
    """Read a TOML file that replaces some of the tolerances: ``vm_max_pu = 0.004``, one a line.

    Parameters
    ----------
    path
        The file.
    base
        The tolerances to replace, for example those of `tolerances_for`.

    Returns
    -------
    Tolerances
        `base`, with the file's values.

    Raises
    ------
    InputError
        On a name that is none, a value of another type, or a negative one, with file, line and the allowed names.
    """
    values, lines = read_toml(path)
    return build(Tolerances, {**asdict(base), **values}, str(path), lines=lines)


def changes(tolerances: Tolerances, base: Tolerances) -> Mapping[str, object]:
    """Return the limits that differ: ``{name: [default, own]}``."""
    own = asdict(tolerances)
    return {name: [limit, own[name]] for name, limit in asdict(base).items() if limit != own[name]}


def tolerances_for(method: str) -> Tolerances:
    """Return the default tolerances of a power-flow method.

    Parameters
    ----------
    method
        `ac`, `newton`, `calibrated`, `lindistflow` or `dc`.

    Returns
    -------
    Tolerances
        Measured on the testing days of neom33, with room to spare.

    Raises
    ------
    InputError
        If the method has none.
    """
    if method not in BY_METHOD:
        raise unknown_name("power-flow method", method, BY_METHOD)
    return BY_METHOD[method]
