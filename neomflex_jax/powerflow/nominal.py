"""A feeder's power flow at its own loads and generation."""

from __future__ import annotations

from dataclasses import replace

from neomflex_jax.errors import InputError
from neomflex_jax.grid.feeder import Feeder
from neomflex_jax.grid.unbalanced.feeder import UnbalancedFeeder
from neomflex_jax.powerflow.bound import PowerFlow, bind
from neomflex_jax.powerflow.methods.ac import Ac
from neomflex_jax.powerflow.result import PowerFlowResult
from neomflex_jax.powerflow.solver import power_flow
from neomflex_jax.powerflow.stopping import AcConfig
from neomflex_jax.powerflow.unbalanced.controlled import follow_controls


def nominal_power_flow(
    feeder: Feeder | UnbalancedFeeder,
    method: str | PowerFlow = "ac",
    ac_config: AcConfig = AcConfig(),
    *,
    enforce_q_lims: bool = False,
    controls: bool = False,
) -> PowerFlowResult:
    """Solve the power flow of a feeder at its nominal state: what stands in its source, as it is modelled.

    Loads, static generators and storages have their nominal powers, those of them that follow the voltage follow it,
    and generators and external grids hold theirs. Of a pandapower net it is what `pandapower.runpp` answers.
    Loads of an unbalanced feeder are connected and follow the voltage as it has them, and its taps, capacitors and
    switches stand as it has them: what OpenDSS answers with its controls off.

    Parameters
    ----------
    feeder
        The grid, balanced or not; one that is not has `UNBALANCED_METHODS`.
    method, ac_config, enforce_q_lims
        As in `power_flow`.

    controls
        True has the controls of an unbalanced feeder move its taps and capacitors first, as OpenDSS does in its static
        control mode; `follow_controls` also says where they came to rest. Controls that did not leave ``converged``
        false.

    Returns
    -------
    PowerFlowResult
        Fields as they stand there, without leading axes: `vm_pu` (n_node,), `branch_loading_percent` (n_branch,), MW
        and Mvar. Failure is a value: look at `converged` and `residual_mva`. In single precision unless JAX is set to
        double (``jax.enable_x64``).

    Raises
    ------
    InputError
        On an unknown method, or one that cannot solve what the feeder has; on controls that are not followed.
    """
    if isinstance(feeder, UnbalancedFeeder):
        if enforce_q_lims or isinstance(method, PowerFlow):
            raise InputError("an unbalanced feeder takes a method's name, and has no limits of reactive power to keep")
        if controls:
            if method != Ac.name:
                raise InputError(f"controls are followed in power flows by 'ac' alone, and {method!r} is asked for")
            found = follow_controls(feeder, ac_config=ac_config)
            return replace(found.flow, converged=found.settled)
        return bind(feeder, method, ac_config).solve(feeder.load_p_mw, feeder.load_q_mvar)
    if controls:
        raise InputError("a balanced feeder has no controls; a scenario's tap_changers and capacitor_banks have them")
    return power_flow(feeder, -feeder.load_p_mw, -feeder.load_q_mvar, method, ac_config, enforce_q_lims=enforce_q_lims)
