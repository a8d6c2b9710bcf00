"""Load clients side by side, against the reference server: ``make bench-client``."""
