"""Build ServerlessLLM's checkpoint store from its source distribution (PyPI: serverless-llm-store
0.8.0), without its own build script, which would download glog and googletest:

    python -m tests.benchmarks.build_sllm_store serverless_llm_store-0.8.0.tar.gz FOLDER

Needs g++, ninja and CUDA's headers. With FOLDER on PYTHONPATH, ``sllm_store._checkpoint_store`` can
be imported, and ``tests.benchmarks.cuda_loader`` measures it too.
"""

from __future__ import annotations

import shutil
import sys
import tarfile
import tempfile
from pathlib import Path

GLOG = """
// Stands in for glog: warnings and worse to standard error, an end after the worst.
#pragma once
#include <cstdlib>
#include <iostream>
#include <sstream>

namespace stand_in {
enum Severity { INFO, WARNING, ERROR, FATAL };

class Line {
 public:
  explicit Line(Severity severity) : severity_(severity) {}
  ~Line() {
    if (severity_ != INFO) std::cerr << text_.str() + "\\n";
    if (severity_ == FATAL) std::abort();
  }
  std::ostream& stream() { return text_; }

 private:
  Severity severity_;
  std::ostringstream text_;
};
}  // namespace stand_in

#define LOG(severity) ::stand_in::Line(::stand_in::severity).stream()
"""


SHARED = "-l:libstdc++.so.6"
"""Torch's own copy of the C++ library. Some compilers would link a second one into the store, which
ends at its first number in a log: each copy has its own table of formatting functions."""


def unpacked(archive: Path, folder: Path) -> Path:
    """Unpack the C++ sources of the store, and add the header that they lack."""
    with tarfile.open(archive) as content:
        content.extractall(folder, filter="data")
    (sources,) = folder.glob("*/csrc/sllm_store")
    header = folder / "include" / "glog" / "logging.h"
    header.parent.mkdir(parents=True)
    header.write_text(GLOG, encoding="utf-8")
    return sources


def build(archive: Path, target: Path) -> None:
    from torch.utils.cpp_extension import load

    package = target / "sllm_store"
    package.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sources = unpacked(archive, folder)
        built = folder / "built"
        built.mkdir()
        load(
            "_checkpoint_store",
            [str(path) for path in sorted(sources.glob("*.cpp"))],
            extra_include_paths=[str(sources), str(folder / "include")],
            extra_cflags=["-O2"],
            extra_ldflags=[SHARED],
            build_directory=str(built),
            with_cuda=True,
            is_python_module=False,
        )
        shutil.copy(built / "_checkpoint_store.so", package)
    (package / "__init__.py").touch()


if __name__ == "__main__":
    build(Path(sys.argv[1]), Path(sys.argv[2]))
