from __future__ import annotations

import json
import subprocess
import zlib
from collections.abc import Callable
from pathlib import Path

import google_crc32c
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atom_console.errors import CheckError
from atom_console.flight.grid import GridEnvelopeError, open_envelope
from atom_console.schema.compiler import find_flatc

_SOURCE = Path(__file__).parents[2] / "schemas" / "grid.fbs"
Make = Callable[..., bytes]


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, dict[str, object]], bytes]:
    """JSON → FlatBuffer, by the official compiler."""
    directory = tmp_path_factory.mktemp("grid")

    def make(root: str, content: dict[str, object]) -> bytes:
        (directory / "it.json").write_text(json.dumps(content))
        command = [str(find_flatc()), "-b", "--root-type", root, str(_SOURCE), "it.json"]
        subprocess.run(command, cwd=directory, check=True, capture_output=True)
        return (directory / "it.bin").read_bytes()

    return make


@pytest.fixture(scope="module")
def grid_content(build: Callable[[str, dict[str, object]], bytes]) -> bytes:
    cells = [7] * 5000
    return build("fbgrid.Grid", {"plan_id": "q3", "view_id": "v", "cells": cells, "row_offsets": [0, -1, 2]})


@pytest.fixture(scope="module")
def envelope(build: Callable[[str, dict[str, object]], bytes], grid_content: bytes) -> Make:
    def make(payload: bytes, compression: int = 0, checksum: int = 0, length: int | None = None) -> bytes:
        fields = {
            "wire_version": 1,
            "compression": compression,
            "content_length": len(grid_content) if length is None else length,
            "content_checksum": checksum,
            "payload": list(payload),
        }
        return build("fbgrid.GridWireEnvelope", fields)

    return make


def test_each_compression_opens_and_the_checksum_that_held_is_named(envelope: Make, grid_content: bytes) -> None:
    zstd = pa.Codec("zstd").compress(grid_content, asbytes=True)
    frame = pa.Codec("lz4").compress(grid_content, asbytes=True)
    raw = pa.Codec("lz4_raw").compress(grid_content, asbytes=True)
    sized = len(grid_content).to_bytes(4, "little") + raw
    cases = [
        (grid_content, 0, google_crc32c.value(grid_content), "CRC-32C of the content", "none"),
        (zstd, 1, zlib.crc32(grid_content), "CRC-32 of the content", "zstd"),
        (zstd, 1, google_crc32c.value(zstd), "CRC-32C of the payload", "zstd"),
        (frame, 2, zlib.crc32(frame), "CRC-32 of the payload", "lz4"),
        (raw, 2, 0, "absent", "lz4"),
        (sized, 2, google_crc32c.value(grid_content), "CRC-32C of the content", "lz4"),
    ]
    for payload, number, checksum, held, name in cases:
        opened = open_envelope(envelope(payload, number, checksum))
        assert (opened.checksum, opened.compression, opened.content_bytes) == (held, name, len(grid_content))
        assert (opened.grid["plan_id"], opened.grid["cells"], opened.wire_version) == ("q3", b"\x07" * 5000, 1)


def test_what_does_not_hold_is_refused(envelope: Make, grid_content: bytes) -> None:
    zstd = pa.Codec("zstd").compress(grid_content, asbytes=True)
    for wrong, words in [
        (envelope(grid_content, 0, 12345), "checksum"),
        (envelope(grid_content, 0, 0, length=7), "says 7 bytes"),
        (envelope(zstd[:-20], 1), "does not open"),
        (envelope(zstd, 2), "does not open"),
        (envelope(grid_content, 0, 0, length=2**32 - 1), "not opened"),
    ]:
        with pytest.raises(GridEnvelopeError, match=words):
            open_envelope(wrong)


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=400))
def test_rubbish_is_refused_and_never_crashes(rubbish: bytes) -> None:
    try:
        open_envelope(rubbish)
    except CheckError:
        return


@settings(max_examples=100, deadline=None)
@given(position=st.integers(0, 10**6), value=st.integers(0, 255))
def test_a_changed_byte_is_noticed_or_harmless(envelope: Make, grid_content: bytes, position: int, value: int) -> None:
    whole = bytearray(_checked(envelope, grid_content))
    whole[position % len(whole)] = value
    try:
        opened = open_envelope(bytes(whole))
    except CheckError:
        return
    assert opened.grid["cells"] == b"\x07" * 5000 or opened.checksum == "absent"


_made: dict[int, bytes] = {}


def _checked(envelope: Make, content: bytes) -> bytes:
    if 0 not in _made:
        _made[0] = envelope(content, 0, google_crc32c.value(content))
    return _made[0]
