"""Power flows a second on the packaged feeders with phases, in batches of 4,096, and how far they are from float64.

`python benchmarks/unbalanced_power_flow.py [FEEDER ...]`: every load by itself, 0.3 to 1.3 times its power; taps as the
feeder has them; float32 with a tolerance of 1e-5 pu; all voltages, and whether they converged. A ``.dss`` file in the
place of a feeder also times OpenDSS itself: solves alone, at its default tolerance, one process.
"""

import sys
import time

import jax
import numpy as np

import neomflex_jax as nf

CASES, REPEATS, COMPARED = 4096, 5, 64
FIELDS = ("vm_pu", "converged")


def measure(name: str) -> str:
    """Return one row of the table."""
    feeder = nf.load_feeder(name)
    factors = np.random.default_rng(0).uniform(0.3, 1.3, (CASES, feeder.n_load))
    p, q = jax.device_put(((factors * feeder.load_p_mw).astype("f4"), (factors * feeder.load_q_mvar).astype("f4")))
    solver = nf.bind(feeder, ac_config=nf.AcConfig(tolerance_pu=1e-5))
    seconds = []
    for _ in range(1 + REPEATS):  # the first one compiles
        start = time.perf_counter()
        flow = jax.block_until_ready(solver.solve(p, q, FIELDS))
        seconds.append(time.perf_counter() - start)
    with jax.enable_x64(True):
        exact = nf.bind(feeder).solve(*(np.asarray(values[:COMPARED], float) for values in (p, q)))
    off = np.abs(np.asarray(flow.vm_pu[:COMPARED]) - np.asarray(exact.vm_pu)).max()
    converged = float(flow.converged.mean())
    rate = CASES / min(seconds[1:])
    return f"{name:12} {feeder.n_node:6} nodes {rate:12,.0f} flows/s {off:9.1e} pu off {converged:8.2%} converged"


def measure_opendss(master: str) -> str:
    """Return one row of OpenDSS's own rate."""
    import opendssdirect

    engine = opendssdirect.NewContext()
    engine.Text.Command(f'redirect "{master}"')
    engine.Text.Command("set mode=snapshot controlmode=off")
    engine.Solution.Solve()
    seconds = []
    for scale in np.random.default_rng(0).uniform(0.3, 1.3, 300).tolist():  # so that no solve begins at its answer
        engine.Solution.LoadMult(scale)
        start = time.perf_counter()
        engine.Solution.Solve()
        seconds.append(time.perf_counter() - start)
    return f"{'OpenDSS':12} {engine.Circuit.NumNodes():6} nodes {1 / np.median(seconds):12,.0f} solves/s"


if __name__ == "__main__":
    for chosen in sys.argv[1:] or ("ieee13", "ieee34", "ieee123", "european_lv"):
        print(measure(chosen), flush=True)
        if chosen.endswith(".dss"):
            print(measure_opendss(chosen), flush=True)
