"""``neomflex export``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from neomflex_jax.commands.answering import Answering
from neomflex_jax.commands.console import console
from neomflex_jax.errors import InputError


@dataclass(frozen=True)
class ExportCommand(Answering):
    """Write one agent's trained policy as an ONNX file, which runs without Python.

    Input `observation` (batch, size), output `action` (batch, size) in [-1, 1], both float32 and unpadded. Needs the
    package onnx: pip install "neomflex-jax[onnx]".
    """

    policies: Path
    """Output folder of a training (of several seeds: one of its seed_<k> folders)."""
    agent: str
    """Whose policy, for example agent_1."""
    output: Path
    """File to write, ending in .onnx."""
    overwrite: bool = False
    """Replace the file."""

    def execute(self, started: float) -> int:
        """Export; returns the exit status."""
        from neomflex_jax.agents.onnx_export import save_onnx
        from neomflex_jax.agents.policy_files import load_policies

        if self.output.suffix != ".onnx":
            raise InputError(f"{self.output}: the name must end in .onnx")
        if self.output.exists() and not self.overwrite:
            raise InputError(f"{self.output}: exists; give --overwrite or another --output")
        policies = load_policies(self.policies)
        if self.agent not in policies.networks:
            raise InputError(f"no policy for agent {self.agent!r}; there are: {', '.join(policies.networks)}")
        network = policies.networks[self.agent]
        save_onnx(network, self.agent, self.output)
        sizes = f"observation (batch, {network.observation_size}) -> action (batch, {network.action_size})"
        console.print(f"written: {self.output}    {sizes}")
        facts = {"observation_size": network.observation_size, "action_size": network.action_size}
        console.found(agent=self.agent, **facts, files=[self.output])
        return 0
