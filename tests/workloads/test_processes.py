"""Every arrival process has the requested rate, CV and dispersion, over many seeds."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from workloads.errors import WorkloadError
from workloads.generators import PROCESSES, Process, process
from workloads.generators.diurnal import Diurnal
from workloads.generators.doubly_stochastic import DoublyStochastic
from workloads.generators.mmpp import MMPP2
from workloads.generators.renewal import Gamma, HyperExponential, Poisson, Weibull
from workloads.statistics import cv, dispersion
from workloads.streams import stream

LONG_S = 100_000.0

RENEWAL = [
    Poisson(rate_rps=0.7),
    Gamma(rate_rps=0.7, cv=0.4),
    Gamma(rate_rps=0.7, cv=3.0),
    Weibull(rate_rps=0.7, cv=0.4),
    Weibull(rate_rps=0.7, cv=2.5),
    HyperExponential(rate_rps=0.7, cv=1.0),
    HyperExponential(rate_rps=0.7, cv=3.0),
]
OTHERS: list[Process] = [
    MMPP2(rate_rps=0.7, cv=1.5, dispersion=20),
    DoublyStochastic(rate_rps=0.7, rate_cv=0.8, memory=0.5),
    Diurnal(of=Gamma(rate_rps=0.7, cv=2.0), amplitude=0.9, period_s=1000.0, peak_s=400.0),
]


def samples(shape: Process, duration_s: float, seeds: int = 6) -> list[np.ndarray]:
    return [shape.arrivals(stream(s, "process"), duration_s) for s in range(seeds)]


@pytest.mark.parametrize("shape", [*RENEWAL, *OTHERS], ids=repr)
def test_rate_order_and_bounds(shape: Process) -> None:
    drawn = samples(shape, LONG_S)
    for times in drawn:
        assert (np.diff(times) >= 0).all()
        assert times[0] >= 0
        assert times[-1] < LONG_S
    assert np.mean([len(times) for times in drawn]) / LONG_S == pytest.approx(0.7, rel=0.05)
    assert shape.mean_rate_rps == 0.7


@pytest.mark.parametrize("shape", RENEWAL, ids=repr)
def test_gaps_have_the_cv_that_was_asked_for(shape: Process) -> None:
    wanted = getattr(shape, "cv", 1.0)
    assert np.mean([cv(times) for times in samples(shape, LONG_S)]) == pytest.approx(
        wanted, rel=0.04
    )


@pytest.mark.parametrize("shape", RENEWAL, ids=repr)
def test_the_first_gap_is_no_more_special_than_any_other(shape: Process) -> None:
    """A stationary process has as many arrivals in its first seconds as in any others. A process
    that starts with a whole gap has fewer, one that starts at an arrival has more."""
    first = [len(shape.arrivals(stream(s, "start"), 2.0)) for s in range(4000)]
    error = np.std(first) / np.sqrt(len(first))
    assert np.mean(first) == pytest.approx(1.4, abs=5 * error)


@pytest.mark.parametrize("busy_share", [0.1, 0.5, 0.8])
@pytest.mark.parametrize(("cv_", "iod"), [(1.2, 8.0), (3.0, 9.0), (2.0, 30.0)])
def test_mmpp_has_the_cv_and_the_dispersion_of_the_formulas(
    cv_: float, iod: float, busy_share: float
) -> None:
    shape = MMPP2(rate_rps=2.0, cv=cv_, dispersion=iod, busy_share=busy_share)
    states = shape.states
    leaving = states.leave_busy + states.leave_quiet
    share = states.leave_quiet / leaving
    mean = share * states.busy_rps + (1 - share) * states.quiet_rps
    apart = share * (1 - share) * (states.busy_rps - states.quiet_rps) ** 2
    assert share == pytest.approx(busy_share)
    assert mean == pytest.approx(2.0)
    assert 1 + 2 * apart / (leaving * mean) == pytest.approx(iod)
    product = states.busy_rps * states.quiet_rps
    assert 1 + 2 * apart / (leaving * mean + product) == pytest.approx(cv_**2)
    drawn = samples(shape, 40_000.0)
    assert np.mean([cv(times) for times in drawn]) == pytest.approx(cv_, rel=0.05)
    window = 200 / leaving
    found = np.mean([dispersion(times, window, 40_000.0) for times in drawn])
    assert found == pytest.approx(iod, rel=0.25)


def test_minutes_of_random_rates_have_the_dispersion_of_the_formula() -> None:
    shape = DoublyStochastic(rate_rps=0.5, rate_cv=0.6)
    found = np.mean([dispersion(t, 60, 400_000) for t in samples(shape, 400_000)])
    assert found == pytest.approx(1 + 0.5 * 60 * 0.6**2, rel=0.08)


def test_minutes_remember_as_much_as_they_are_asked_to() -> None:
    shape = DoublyStochastic(rate_rps=20.0, rate_cv=0.5, memory=0.8)
    times = shape.arrivals(stream(3, "memory"), 600_000)
    counts = np.histogram(times, np.arange(0, 600_001, 60))[0]
    logs = np.log(counts)
    assert np.corrcoef(logs[1:], logs[:-1])[0, 1] == pytest.approx(0.8, abs=0.03)


def test_the_day_is_as_much_busier_than_the_night_as_asked() -> None:
    shape = Diurnal(of=Poisson(rate_rps=1.0), amplitude=0.6, period_s=1000.0, peak_s=250.0)
    phase = shape.arrivals(stream(0, "day"), 500_000.0) % 1000.0
    found = np.histogram(phase, np.linspace(0, 1000, 11))[0] / 50_000
    middle = np.arange(50.0, 1000.0, 100.0)
    assert found == pytest.approx(1 + 0.6 * np.cos(2 * np.pi * (middle - 250) / 1000), abs=0.04)


@pytest.mark.parametrize("kind", list(PROCESSES))
def test_a_table_makes_the_process_it_names(kind: str) -> None:
    tables = {
        "clusters": {"period_s": 60.0},
        "stationary-clusters": {"period_s": 60.0},
        "poisson": {},
        "gamma": {"cv": 2.0},
        "weibull": {"cv": 2.0},
        "hyper-exponential": {"cv": 2.0},
        "mmpp-2": {"cv": 2.0, "dispersion": 9.0},
        "doubly-stochastic": {"rate_cv": 1.0},
        "diurnal": {"of": {"kind": "gamma", "rate_rps": 1.0, "cv": 2.0}, "amplitude": 0.5},
    }
    own = ("clusters", "stationary-clusters", "diurnal")
    rate = {} if kind in own else {"rate_rps": 1.0}
    made = process({"kind": kind, **rate, **tables[kind]})
    assert type(made) is PROCESSES[kind]
    assert process(made.model_dump()) == made


def test_impossible_ones_are_refused() -> None:
    with pytest.raises(WorkloadError, match="doubly-stochastic"):
        process({"kind": "steady"})
    with pytest.raises(ValidationError, match="at least cv"):
        process({"kind": "mmpp-2", "rate_rps": 1, "cv": 4, "dispersion": 9})
