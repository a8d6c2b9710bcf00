"""The version and its date are the same wherever they are written."""

from __future__ import annotations

import re
import tomllib

import yaml

from .pages import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
CHANGES = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
RELEASES = re.findall(r"^## \[(\d+\.\d+\.\d+)\] - (\d{4}-\d{2}-\d{2})$", CHANGES, re.MULTILINE)


def test_the_latest_release_is_the_projects_version_and_the_one_to_cite() -> None:
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert RELEASES[0] == (PROJECT["version"], str(cited["date-released"]))
    assert cited["version"] == PROJECT["version"]
    assert cited["license"] == PROJECT["license"]


def test_releases_are_in_the_form_of_keep_a_changelog() -> None:
    kinds = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
    assert set(re.findall(r"^### (.+)$", CHANGES, re.MULTILINE)) <= kinds
    heads = re.findall(r"^## \[(.+?)\]", CHANGES, re.MULTILINE)
    assert heads == ["Unreleased", *(version for version, _ in RELEASES)]
    dates = [date for _, date in RELEASES]
    assert dates == sorted(dates, reverse=True)


def test_the_page_for_strangers_installs_this_version() -> None:
    page = (ROOT / "docs" / "three-ways.md").read_text(encoding="utf-8")
    assert re.findall(r"bench-(\S+)-py3", page) == [PROJECT["version"]]
