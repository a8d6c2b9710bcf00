"""Packs vLLM for a Hopper machine that reaches no registry (Python 3.12, torch 2.11, transformers
5.17): ``python -m tests.gpu.pack_vllm OUT.tar.xz [--version 0.33.0] [--pins FILE]``.

vLLM pins the torch that it was built with: 2.11 up to 0.26, 2.13 from 0.27, 2.14 in 0.33. The
extensions of 0.32 and 0.33 need no symbol that torch 2.11 lacks, so it is packed without its torch.
CUDA code of other architectures is blanked, and what an fp16 Llama with adapters never loads is
left out (FA2, MLA, DeepGEMM, the Rust front end).
"""

from __future__ import annotations

import argparse
import re
import struct
import subprocess
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

from .wheels import download

PINS = Path(__file__).with_name("vllm_pins.txt")
_LEFT_OUT = re.compile(
    r"^vllm/.*(_vllm_fa2_C|_flashmla\w*|_flashkda\w*|_deepselect\w*|_qutlass\w*|_rust_\w*)\.abi3\.so"
    r"|third_party/(deep_gemm|fmha_sm100)/|/vllm-rs|mistral_common/data/|pycountry/locales/"
)
_NEVER_LAUNCHED = re.compile(r"_moe_C")
"""Imported at the start, but a dense Llama launches nothing of it."""
_SM90, _MAGIC, _PTX, _SASS = 90, 0xBA55ED50, 1, 2


def fatbin(path: Path) -> tuple[int, int] | None:
    """Return offset and end of the section with CUDA code, in bytes."""
    told = subprocess.run(["readelf", "-SW", path], capture_output=True, text=True, check=True)
    found = re.search(r"\.nv_fatbin\s+\S+\s+[0-9a-f]+\s+([0-9a-f]+)\s+([0-9a-f]+)", told.stdout)
    if found is None:
        return None
    start, size = (int(each, 16) for each in found.groups())
    return start, start + size


def entries(blob: bytearray, start: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """Yield kind, architecture, payload offset and size of each entry of one container."""
    while start < end:
        kind, _, header, size = struct.unpack_from("<HHIQ", blob, start)
        yield kind, struct.unpack_from("<I", blob, start + 28)[0], start + header, size
        start += header + size


def keep_hopper(path: Path) -> None:
    """Blank the code that an sm_90 device never loads. Sizes and headers stay, so the file still
    links."""
    section = fatbin(path)
    if section is None:
        return
    blob = bytearray(path.read_bytes())
    at, end = section
    while at < end - 16:
        magic, _, header, size = struct.unpack_from("<IHHQ", blob, at)
        if magic != _MAGIC:
            at += 8
            continue
        inside = list(entries(blob, at + header, at + header + size))
        for offset, length in _unused(inside, never=bool(_NEVER_LAUNCHED.search(path.name))):
            blob[offset : offset + length] = bytes(length)
        at += header + size
    path.write_bytes(blob)


def _unused(inside: list[tuple[int, int, int, int]], *, never: bool) -> Iterator[tuple[int, int]]:
    """Yield offset and length of what sm_90 does not load: it takes its own code, else compiles the
    newest PTX that it can run (``never``: nothing of the file is launched, so no PTX either)."""
    native = any(kind == _SASS and arch == _SM90 for kind, arch, *_ in inside)
    newest = max((arch for kind, arch, *_ in inside if kind == _PTX and arch <= _SM90), default=0)
    for kind, arch, offset, length in inside:
        compiled = kind == _PTX and arch == newest and not native and not never
        if not (kind == _SASS and arch == _SM90) and not compiled:
            yield offset, length


def pack(out: Path, version: str, pins: Path) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        wheels, site = Path(scratch, "wheels"), Path(scratch, "site")
        wheels.mkdir()
        download([f"vllm=={version}", *pins.read_text(encoding="utf-8").split()], wheels)
        for wheel in sorted(wheels.iterdir()):
            with zipfile.ZipFile(wheel) as archive:
                names = [name for name in archive.namelist() if not _LEFT_OUT.search(name)]
                archive.extractall(site, names)
            wheel.unlink()
        for shared_object in site.glob("vllm/**/*.so"):
            keep_hopper(shared_object)
        with tarfile.open(out, "w:xz", preset=6) as archive:
            archive.add(site, "site")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.gpu.pack_vllm", description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--version", default="0.33.0")
    parser.add_argument("--pins", type=Path, default=PINS)
    given = parser.parse_args()
    pack(given.out, given.version, given.pins)
    print(given.out, f"{given.out.stat().st_size / 2**20:.1f} MiB")


if __name__ == "__main__":
    main()
