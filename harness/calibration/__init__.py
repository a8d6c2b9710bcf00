"""Measures the accuracy of the client on this machine (measurement rule 5).

Runs the complete client against the reference server, whose true send times are known.
"""

from .measure import calibrate
from .result import Calibration, Percentiles

__all__ = ["Calibration", "Percentiles", "calibrate"]
