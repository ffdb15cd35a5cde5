"""How much a run may differ from pandapower, by the power-flow method that played it.

Limits come in two kinds. Bookkeeping limits (injections, load q, cost, balance, failures) do not depend on the method:
they hold float32 rounding, and anything above is a fault. Power-flow limits are what a method is known to reach.
"""

from __future__ import annotations

from dataclasses import dataclass

from neomflex_jax.errors import InputError, unknown_name


@dataclass(frozen=True)
class Tolerances:
    """Largest value of each criterion that passes; the defaults are those of the `ac` method."""

    # AC against AC: float32 rounding of voltages near 1 is 6e-8 and adds up along the feeder to some 1e-6
    vm_max_pu: float = 1e-5
    # losses and slack power are sums of MW-sized float32 numbers; 1e-4 MW is 0.05 % of the nominal losses of case33bw
    loss_max_mw: float = 1e-4
    slack_p_max_mw: float = 1e-4
    slack_q_max_mvar: float = 1e-4
    # a surrogate that hides a broken hard limit must not pass, however small its errors are elsewhere
    missed_hard_violations: int = 0
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
    # step costs up to some hundreds in float32, of a sum of weights of 100 times differences of voltages near 1
    cost_max: float = 5e-3
    # copies of recorded float32 numbers, minus 1 or divided once: 6e-8
    observation_max: float = 1e-6
    # pandapower's own stop is a mismatch below 1e-8 MVA a bus
    power_balance_max_mw: float = 1e-6

    def __post_init__(self) -> None:
        for name, limit in vars(self).items():
            if not limit >= 0:
                raise InputError(f"tolerance {name} = {limit} must be a number of at least 0")


# Measured on the 84 testing days of neom33: idle devices / uniformly random actions at every step.
BY_METHOD = {
    # measured vm 2e-7 / 4e-7 pu, losses 9e-8 / 3e-7 MW, slack p 1e-6 / 2e-6 MW
    "ac": Tolerances(),
    # measured vm 0.0024 / 0.0066 pu, losses 0.005 / 0.040 MW, slack q 0.004 / 0.029 Mvar. Deliberately tighter
    # than the random actions' error: a tenth of the band's width (0.06 pu), within which a trained policy's days are to
    # stay for its results to be believed; losses and slack power get the random actions' error and a quarter to spare.
    "calibrated": Tolerances(vm_max_pu=0.006, loss_max_mw=0.05, slack_p_max_mw=0.05, slack_q_max_mvar=0.04),
    # measured vm 0.0028 / 0.0144 pu (always too high: it hides under-voltage), losses 0.026 / 0.139 MW, slack q 0.018 /
    # 0.100 Mvar; the random actions' error and a quarter to spare
    "lindistflow": Tolerances(vm_max_pu=0.018, loss_max_mw=0.18, slack_p_max_mw=0.18, slack_q_max_mvar=0.13),
    # it knows neither voltages nor losses (measured errors: 0.09 / 0.18 pu): believable only where no voltage leaves
    # the band of 0.03 pu around 1 and losses stay below a tenth of the nominal 0.2 MW
    "dc": Tolerances(vm_max_pu=0.03, loss_max_mw=0.02, slack_p_max_mw=0.02, slack_q_max_mvar=0.02),
}


def tolerances_for(method: str) -> Tolerances:
    """Give the default tolerances of a power-flow method.

    Raises
    ------
    InputError
        If the method has none.
    """
    if method not in BY_METHOD:
        raise unknown_name("power-flow method", method, BY_METHOD)
    return BY_METHOD[method]
