"""How far the client and this machine can be trusted (measurement rule 5).

The client is run, whole, against the reference server, whose true send times are known.
"""

from .measure import calibrate
from .result import Calibration, Percentiles

__all__ = ["Calibration", "Percentiles", "calibrate"]
