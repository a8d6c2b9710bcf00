"""The words that questions are made of, from ``words.toml``."""

from __future__ import annotations

import tomllib
from importlib.resources import files

_READ = tomllib.loads(files(__package__).joinpath("words.toml").read_text(encoding="utf-8"))


def _words(name: str) -> tuple[str, ...]:
    return tuple(_READ[name].split())


PRAISE, BLAME, REVIEWED = _words("praise"), _words("blame"), _words("reviewed")
NAMES, CITIES = _words("names"), _words("cities")
THINGS = _words("things")
TICKETS: dict[str, tuple[str, ...]] = {name: tuple(each) for name, each in _READ["tickets"].items()}
