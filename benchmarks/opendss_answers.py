"""What OpenDSS itself answers for a circuit, every load scaled by itself, taps frozen."""

from pathlib import Path

import numpy as np
import opendssdirect

import neomflex_jax as nf


def opendss_voltages(path: Path, feeder: nf.UnbalancedFeeder, factors: np.ndarray) -> np.ndarray:
    """Complex voltages in pu, (n_states, n_node), with the loads (not what feeds in) times `factors`."""
    engine = opendssdirect.NewContext()
    engine.Text.Command(f'redirect "{path}"')
    engine.Text.Command("set mode=snapshot controlmode=off tolerance=1e-10 maxiterations=1000")
    assert tuple(label.lower() for label in engine.Circuit.YNodeOrder()) == feeder.node_labels
    names = [load.name.partition(".")[2] for load in feeder.loads if load.name.startswith("load.")]
    stated = {}
    for name in names:
        engine.Loads.Name(name)
        stated[name] = engine.Loads.kW(), engine.Loads.kvar()
    found = []
    for row in factors:
        for load, factor in zip(feeder.loads, row, strict=True):
            name = load.name.partition(".")[2]
            if load.name.startswith("load."):
                engine.Loads.Name(name)
                engine.Loads.kW(stated[name][0] * factor)
                engine.Loads.kvar(stated[name][1] * factor)
        engine.Solution.Solve()
        assert engine.Solution.Converged()
        found.append(np.array(engine.Circuit.YNodeVArray()).view(complex))
    return np.array(found) / (1000 * feeder.v_base_kv)


def opendss_currents(path: Path, feeder: nf.UnbalancedFeeder) -> np.ndarray:
    """Currents of the nominal state in kA and ratings in kA, (2, n_branch), as `feeder.branch_labels`."""
    engine = opendssdirect.NewContext()
    engine.Text.Command(f'redirect "{path}"')
    engine.Text.Command("set mode=snapshot controlmode=off tolerance=1e-10 maxiterations=1000")
    engine.Solution.Solve()
    found = []
    for element in feeder.elements:
        engine.Circuit.SetActiveElement(element.name)
        amperes = np.abs(np.array(engine.CktElement.Currents()).view(complex))[: engine.CktElement.NumConductors()]
        found += [(ampere / 1000, engine.CktElement.NormalAmps() / 1000) for ampere in amperes.tolist()]
    return np.array(found).T


def random_factors(feeder: nf.UnbalancedFeeder, n_states: int) -> np.ndarray:
    """The nominal state and random ones, 0.3 to 1.3 of each load's power, (1 + n_states, n_load)."""
    factors = np.random.default_rng(0).uniform(0.3, 1.3, (1 + n_states, feeder.n_load))
    factors[0] = 1
    factors[:, [not load.name.startswith("load.") for load in feeder.loads]] = 1
    return factors


def complex_voltages(flow: nf.PowerFlowResult) -> np.ndarray:
    """Voltages of a result in pu."""
    return np.asarray(flow.vm_pu) * np.exp(1j * np.deg2rad(np.asarray(flow.va_degree)))


def opendss_controls(
    path: Path, windings: tuple[tuple[str, int], ...], capacitors: tuple[str, ...], levels: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Taps (n_level, n_winding), steps (n_level, n_capacitor), whether controls settled, iterations of them.

    OpenDSS reads the circuit anew for each level, so that each begins at the taps that the file leaves.
    """
    taps, steps, settled, iterations = [], [], [], []
    for level in levels.tolist():
        engine = opendssdirect.NewContext()
        engine.Text.Command(f'redirect "{path}"')
        engine.Text.Command("set mode=snapshot controlmode=static tolerance=1e-10 maxiterations=1000")
        engine.Solution.LoadMult(level)
        try:
            engine.Solution.Solve()
        except opendssdirect.DSSException as error:
            assert "control iterations" in str(error).lower(), error
        settled.append(bool(engine.Solution.ControlActionsDone()))
        iterations.append(engine.Solution.ControlIterations())
        taps.append([])
        for name, winding in windings:
            engine.Transformers.Name(name.partition(".")[2])
            engine.Transformers.Wdg(winding)
            taps[-1].append(engine.Transformers.Tap())
        steps.append([])
        for name in capacitors:
            engine.Capacitors.Name(name.partition(".")[2])
            engine.Circuit.SetActiveElement(name)
            states = 0 if engine.CktElement.IsOpen(1, 0) else sum(engine.Capacitors.States())
            steps[-1].append(states)
    return (
        np.array(taps).reshape(len(levels), len(windings)),
        np.array(steps).reshape(len(levels), len(capacitors)),
        np.array(settled),
        np.array(iterations),
    )
