"""Trainings small enough for tests, run in processes of their own: ``python tests/support/training_alone.py WHAT ...``.

Devices and processes are settled before JAX starts, and a process that is killed takes nothing else along.
"""

import os
import signal
import subprocess
import sys
from pathlib import Path

ROOT = str(Path(__file__).parents[2])
SMALL = {"warmup_steps": 4, "hidden_sizes": (8,)}
SAC = SMALL | {"n_copies": 16, "batch_size": 16, "updates_per_step": 1, "buffer_size": 512}
GRADIENT = SMALL | {"n_copies": 4, "horizon_days": 1}
CHUNK = {"sac": 24 * 16, "gradient": 480 * 4}
FIRST = {"sac": 4 * 16, "gradient": 4 * 4}  # warm-up


def options(algorithm, chunks, **more):
    from neomflex_jax import load_scenario
    from neomflex_jax.agents.gradient import GradientConfig
    from neomflex_jax.agents.sac import SacConfig
    from neomflex_jax.training.options import TrainOptions

    return TrainOptions(
        scenario=load_scenario("neom33", power_flow="lindistflow"),
        algorithm=algorithm,
        total_steps=FIRST[algorithm] + chunks * CHUNK[algorithm],
        sac=SacConfig(**SAC),
        gradient=GradientConfig(**GRADIENT),
        compared_days=0,
        **more,
    )


def environment(cache=None):
    """Variables for a process that imports this checkout; `cache`: where compiled programs are kept, if not for all."""
    variables = os.environ | {"PYTHONPATH": ROOT}
    if cache is not None:
        variables["JAX_COMPILATION_CACHE_DIR"] = str(cache)
    return variables


def start(*arguments, cache=None):
    """Start this file in a process of its own."""
    return _process([__file__, *arguments], cache)


def command(*arguments, cache=None):
    """Start `neomflex train` in a process of its own."""
    return _process(["-m", "neomflex_jax", "train", *arguments], cache)


def flags(algorithm, chunks):
    """What the command line needs for `options`."""
    sizes = {"sac": SAC, "gradient": GRADIENT}[algorithm]
    listed = ["--algorithm", algorithm, "--power-flow", "lindistflow"]
    for name, value in sizes.items():
        listed += [f"--{algorithm}.{name.replace('_', '-')}", *(value if isinstance(value, tuple) else (value,))]
    return [*listed, "--total-steps", FIRST[algorithm] + chunks * CHUNK[algorithm]]


def _process(arguments, cache):
    return subprocess.Popen(
        [sys.executable, *map(str, arguments)],
        cwd=ROOT,
        env=environment(cache),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def killed_after(output, algorithm, chunks, total):
    """Train, save after every chunk, and be killed in the middle of it all."""
    from neomflex_jax.training.train import train

    def on_progress(progress):
        if progress.steps >= FIRST[algorithm] + int(chunks) * CHUNK[algorithm]:
            os.kill(os.getpid(), signal.SIGKILL)

    given = options(algorithm, int(total))
    train(given, Path(output), checkpoint_seconds=0.0, on_progress=on_progress)


def together(output, coordinator, process_id, chunks, *devices):
    """Train as one of two processes and print the hash of this process's own copy of the policies."""
    from neomflex_jax.environment import make
    from neomflex_jax.training.devices import ask_for_cpu_devices
    from neomflex_jax.training.processes import join
    from neomflex_jax.training.program import program_for
    from neomflex_jax.training.result import fingerprint
    from neomflex_jax.training.train import train

    n_devices = int(devices[0]) if devices else 1
    ask_for_cpu_devices(n_devices)
    join(coordinator, 2, int(process_id))
    given = options("sac", int(chunks), devices=n_devices)
    state = train(given, Path(output))
    networks = program_for(make(given.scenario), given).networks(state)[0]
    print("hash", "-".join(fingerprint(network) for network in networks))


if __name__ == "__main__":
    {"killed_after": killed_after, "together": together}[sys.argv[1]](*sys.argv[2:])
