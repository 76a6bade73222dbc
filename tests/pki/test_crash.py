"""kill -9 at every point of every change leaves whole pairs, an honest inventory and an unbroken audit."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from atom_console.pki import issuing
from atom_console.pki.issuing import Order
from atom_console.pki.passphrase import PassphraseSource
from atom_console.pki.store import Store
from tests.pki.crash_runner import CASES, exposed, pairs

ROOT = Path(__file__).parents[2]


@pytest.mark.crash
@pytest.mark.parametrize("case", list(CASES))
def test_killed_everywhere(case: str) -> None:
    command = [sys.executable, "-m", "tests.pki.crash_runner", case]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    result = json.loads(done.stdout)
    assert result["faults"] == [], result
    assert result["code"] == 0
    assert result["points"] >= 20


def test_no_file_is_ever_open_to_others_whatever_the_umask(tmp_path: Path, ca_passphrase: PassphraseSource) -> None:
    """A second thread looks at every mode all the time; umask 0 would let every mistake show."""
    store = Store(tmp_path / "pki")
    wide: set[str] = set()
    looks = 0
    stop = threading.Event()

    def watch() -> None:
        nonlocal looks
        while not stop.is_set():
            wide.update(exposed(store.root))
            looks += 1

    before = os.umask(0)
    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        issuing.init(store, ca_passphrase, [Order("a", "client", ("DNS:a.internal",))])
        for _ in range(15):
            issuing.renew(store, ca_passphrase, ["a"])
    finally:
        os.umask(before)
        stop.set()
        watcher.join()
    assert wide == set()
    assert looks > 20


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077, 0o277, 0o777])
def test_modes_are_exact_under_every_umask(tmp_path: Path, ca_passphrase: PassphraseSource, umask: int) -> None:
    before = os.umask(umask)
    try:
        store = Store(tmp_path / "pki")
        issuing.init(store, ca_passphrase, [Order("a", "client", ("DNS:a.internal",))])
    finally:
        os.umask(before)
    for path in store.root.rglob("*"):
        mode = path.lstat().st_mode
        if stat.S_ISLNK(mode):
            continue
        assert stat.S_IMODE(mode) == (0o700 if stat.S_ISDIR(mode) else 0o600), path


def test_readers_never_see_a_key_with_another_certificate(pki: Store, ca_passphrase: PassphraseSource) -> None:
    faults: list[BaseException] = []
    stop = threading.Event()

    def read() -> None:
        from atom_console.pki.export import load_pair
        from atom_console.pki.keys import load_pem, public_bytes
        from atom_console.pki.passphrase import no_passphrase
        from atom_console.pki.pem import parse

        while not stop.is_set():
            try:
                pair = load_pair(pki, "ops-alice", no_passphrase)
                key = load_pem(pair.key_pem, "key").public_key()
                assert public_bytes(key) == public_bytes(parse(pair.chain_pem, "chain")[0].public_key())
            except BaseException as error:
                faults.append(error)
                return

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    for _ in range(20):
        issuing.renew(pki, ca_passphrase, ["ops-alice"])
    stop.set()
    for reader in readers:
        reader.join()
    assert faults == []
    assert pairs(pki)
