"""``python -m tests.machines [EXPERIMENT]``: run the commands of docs/cluster.md on two machines,
and check that they make a valid run in which both took part.

EXPERIMENT replaces the experiment of the guide.
"""

from __future__ import annotations

import json
import re
import secrets
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from .machine import Machine, two_machines

GUIDE = Path("docs/cluster.md")
AHEAD_S = 1000
EXPERIMENT = "tests/harness/execution/tiny.yaml"
_LIMIT_S = 540


def commands() -> list[tuple[str, str]]:
    """Return the machine and the command of each line of the guide."""
    _, _, rest = GUIDE.read_text(encoding="utf-8").partition("<!-- commands")
    return re.findall(r"^    ([AB])\$ (.*)$", rest.partition("<!-- end of commands")[0], re.M)


def main() -> int:
    experiment = sys.argv[1] if len(sys.argv) > 1 else EXPERIMENT
    # Create it in the working directory, since each machine has its own /tmp.
    with tempfile.TemporaryDirectory(prefix=".machines-", dir=Path()) as folder:
        out = Path(folder)
        _follow_the_guide(experiment, out)
        found = [_about(path) for path in sorted(out.glob("*/*/*/*/manifest.json"))]
    assert found, "the run left no cell"
    print(json.dumps(found, indent=1))
    return 0


def _follow_the_guide(experiment: str, out: Path) -> None:
    environment = {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
        "SLBENCH_CLUSTER_SECRET": secrets.token_hex(32),
        "SLBENCH_TOKENS": str(_tokens(out)),
    }
    with two_machines(AHEAD_S) as (a, b):
        head, join, run, load = commands()
        machines = {"A": a, "B": b}
        for where, command in (head, join):
            assert _wait(machines[where], command, environment) == 0, command
        asked = f"{run[1].replace('quickstart', experiment)} --out {out}"
        running = _begin(machines[run[0]], asked, environment)
        sending = _begin(machines[load[0]], _until_it_listens(load[1]), environment)
        status = running.wait(_LIMIT_S)
        assert status == 0, f"the run ended with {status}"
        assert sending.wait(30) == 0, "the load worker failed"


def _tokens(folder: Path) -> Path:
    path = folder.resolve() / "tokens.toml"
    path.touch(mode=0o600)
    path.write_text(f'"*" = ["{secrets.token_hex(32)}"]\n', encoding="utf-8")
    return path


def _until_it_listens(command: str) -> str:
    """Retry the command until the server listens (exit status 2 means it does not)."""
    return f"until {command}; do [ $? = 2 ] && sleep 1 || exit 1; done"


def _begin(on: Machine, command: str, environment: dict[str, str]) -> subprocess.Popen[str]:
    print(f"{time.strftime('%X')} {on.name}$ {command}", flush=True)
    return on.start(command, environment, sys.stdout.fileno())


def _wait(on: Machine, command: str, environment: dict[str, str]) -> int:
    return _begin(on, command, environment).wait(_LIMIT_S)


def _about(path: Path) -> dict[str, Any]:
    """Check a cell, and return what its manifest records about the machines."""
    manifest = json.loads(path.read_text(encoding="utf-8"))
    nodes, hosts = manifest["nodes"], manifest["load_hosts"]
    assert manifest["valid"], manifest["problems"]
    assert len(nodes) == 2, "both machines took part"
    ahead = sorted(round(node["offset_ns"] / 1e9, 3) for node in nodes)
    assert abs(ahead[0]) < 0.1, ahead
    assert abs(ahead[1] - AHEAD_S) < 0.1, ahead
    assert abs(hosts[0]["offset_ns"] / 1e9 - AHEAD_S) < 0.1, hosts
    summary = json.loads((path.parent / "summary.json").read_text(encoding="utf-8"))
    assert summary["ok"] == summary["n"], "every request was answered"
    return {
        "system": manifest["system"]["name"],
        "schedule": manifest["schedule_sha256"],
        "nodes": nodes,
        "load_hosts": hosts,
    }


if __name__ == "__main__":
    sys.exit(main())
