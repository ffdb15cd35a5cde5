"""The record of one step: everything about it that is neither observation nor reward.

A quantity is recorded by one more field here, or by a kind of device in its `recorded`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields

import jax
from jax import Array
from jaxtyping import Bool, Float, Int

from neomflex_jax.one_line import one_line

TERM = "reward_"  # before the name of a term of the reward
LOADING = "branch_loading_percent"
VUF = "vuf_percent"  # of feeders with phases


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class StepInfo(Mapping[str, Array]):
    """Record of a step, also readable by name, devices' records and ``reward_<term>`` too: ``info["vm_pu"]``.

    Grid quantities are NaN where the power flow failed. A reset's record is of the day's first row with all devices
    at zero. The order of what devices record is the scenario's order of devices.
    """

    vm_pu: Float[Array, "... n_node"]  # voltage magnitudes
    loss_mw: Float[Array, " ..."]  # losses of all branches
    slack_p_mw: Float[Array, " ..."]  # import through the slack bus, and all further external grids
    slack_q_mvar: Float[Array, " ..."]  # likewise
    converged: Bool[Array, " ..."]  # the power flow has an answer
    residual_mva: Float[Array, " ..."]  # largest power imbalance of any bus
    # net, positive into the grid, at 1 pu where loads follow the voltage; of a feeder with phases what devices feed in
    p_injection_mw: Float[Array, "... n_node"]
    q_injection_mvar: Float[Array, "... n_node"]
    # consumption, likewise, after what devices of the turn LOAD did to it; of a feeder with phases load by load
    load_p_mw: Float[Array, "... n_load"]
    load_q_mvar: Float[Array, "... n_load"]
    demand: Float[Array, " ..."]  # factor on nominal loads
    solar: Float[Array, " ..."]  # per unit of a rating
    load_q_factor: Float[Array, " ..."]  # factor on the loads' nominal q
    price: Float[Array, " ..."]  # per MWh; 0 without a tariff
    dataset_index: Int[Array, " ..."]  # row of the profiles
    violated: Bool[Array, " ..."]  # a voltage or a loading outside the hard limits, or no answer
    local_reward: Float[Array, "... n_agents"]  # every agent's own reward
    constraint_cost: Float[Array, "... n_agents n_constraints"]  # see `Environment.constraint_names`
    clipped_actions: Int[Array, "... n_agents"]  # entries that were outside -1..1
    nan_actions: Int[Array, "... n_agents"]  # entries that were NaN and counted as 0
    # (n_device,) each: what kinds record, see `recorded` in `devices/`; and, where the feeder holds voltages beside the
    # slack's, held_p_mw and held_q_mvar, (n_held,), what delivers there in the order of `feeder.held`,
    # and held_at_limit, (n_held,), -1, 0 or 1, where limits of q are kept;
    # with a fallback by_fallback, (), whether it found the answer; where a file has the sessions of devices
    # session_energy_mwh, session_power_mw, session_ends, (n_device,), as `Surroundings.sessions` has them;
    # outdoor_temperature_c, (), where it is known; vuf_percent, (n_three_phase_bus,), of feeders with phases
    devices: Mapping[str, Array]
    terms: Mapping[str, Array]  # (n_agents,) each: the reward's terms, as ``reward_<term>``
    branch_loading_percent: Float[Array, "... n_limited"] | None = None  # where the scenario limits loadings

    __repr__ = one_line

    def __getitem__(self, name: str) -> Array:
        if name in self.devices:
            return self.devices[name]
        if name.startswith(TERM):
            return self.terms[name.removeprefix(TERM)]
        if name not in self._own:
            raise KeyError(name)
        value: Array = getattr(self, name)
        return value

    @property
    def _own(self) -> tuple[str, ...]:
        return _ALWAYS if self.branch_loading_percent is None else (*_ALWAYS, LOADING)

    def __iter__(self) -> Iterator[str]:
        yield from self._own
        yield from self.devices
        yield from (f"{TERM}{name}" for name in self.terms)

    def __len__(self) -> int:
        return len(self._own) + len(self.devices) + len(self.terms)


_ALWAYS = tuple(field.name for field in fields(StepInfo) if field.name not in ("devices", "terms", LOADING))
