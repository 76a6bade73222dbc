"""A key or passphrase never reaches a log, a traceback, the audit, JSON, or a terminal prompt of a library."""

from __future__ import annotations

import json
import logging
import os
import pty
import select
import sys
import time
import traceback
from pathlib import Path

import pytest

from atom_console.pki import issuing, revocation, rotation
from atom_console.pki.export import export_pkcs12, load_pair
from atom_console.pki.issuing import Order
from atom_console.pki.passphrase import Passphrase, PassphraseSource, fixed, no_passphrase
from atom_console.pki.store import Store
from atom_console.pki.verify import pair_of, verify
from tests.pki.conftest import SECRET

PLANTED = ["planted-leaf-passphrase", "planted-store-password", "planted-wrong-passphrase", SECRET]


def secrets_of(store: Store) -> list[str]:
    """Every line of every key file, and every planted passphrase."""
    lines = [*PLANTED]
    for path in store.root.rglob("key.pem"):
        lines += [line for line in path.read_text().splitlines() if "-----" not in line and len(line) > 20]
    return lines


def test_no_secret_leaves_the_key_files(
    pki: Store, ca_passphrase: PassphraseSource, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    said: list[str] = []
    leaf_secret = Passphrase(PLANTED[0])
    issuing.issue(pki, ca_passphrase, [Order("locked", "client", ("DNS:l.eu",))], leaf_passphrase=leaf_secret)
    pair = load_pair(pki, "locked", fixed(leaf_secret))
    assert b"BEGIN PRIVATE KEY" in pair.key_pem
    said += [repr(pair), str(pair), repr(pki.find("locked")), json.dumps(pki.find("locked").to_json(_now()))]
    report = verify(pair_of(pki, "locked"), passphrase=fixed(leaf_secret))
    assert report.ok
    said += [repr(report), repr(report.identity)]
    entry = pki.find("locked")
    export_pkcs12(pki, entry, tmp_path / "o", Passphrase(PLANTED[1]), key_passphrase=fixed(leaf_secret))
    revocation.revoke(pki, ca_passphrase, ["flight-1"])
    rotation.prepare(pki, ca_passphrase)
    wrong = fixed(Passphrase(PLANTED[2]))
    for fails in (
        lambda: issuing.renew(pki, wrong, ["broker-1"]),
        lambda: load_pair(pki, "locked", wrong),
        lambda: load_pair(pki, "locked", no_passphrase),
        lambda: rotation.switch(pki, wrong, distributed=True),
    ):
        try:
            fails()
        except Exception as error:
            # With locals, as a crash reporter would print them.
            said.append("".join(traceback.TracebackException.from_exception(error, capture_locals=True).format()))
        else:
            pytest.fail("it should not have worked")
    for path in pki.root.rglob("*"):
        if path.is_file() and path.name != "key.pem":
            said.append(path.read_bytes().decode("latin-1"))
    said.append(caplog.text)
    everything = "\n".join(said)
    found = [secret for secret in secrets_of(pki) if secret in everything]
    assert found == []


def _now():
    from atom_console.pki.inventory import utc_now

    return utc_now()


@pytest.mark.pty
def test_no_library_asks_a_terminal_for_a_passphrase(pki: Store, ca_passphrase: PassphraseSource) -> None:
    """OpenSSL's own prompt would hang: everything that can meet an encrypted key runs under a pty and must end."""
    secret = Passphrase(PLANTED[0])
    issuing.issue(pki, ca_passphrase, [Order("locked", "client", ("DNS:l.eu",))], leaf_passphrase=secret)
    entry = pki.find("locked")
    code = f"""
from pathlib import Path
from atom_console.pki.store import Store
from atom_console.pki.probe import Target
from atom_console.pki.translate import Transport
from atom_console.pki.verify import diagnose, pair_of, verify
from atom_console.pki.passphrase import Passphrase, fixed
store = Store(Path({str(pki.root)!r}))
pair = pair_of(store, "locked")
print(verify(pair).findings[0].id)
print(verify(pair, passphrase=fixed(Passphrase("wrong passphrase"))).findings[0].id)
print(verify(pair, passphrase=fixed(Passphrase({PLANTED[0]!r}))).ok)
print(diagnose(pair, Target("127.0.0.1", 9, Transport.KAFKA)).findings[0].id)
"""
    assert entry.key is not None
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(sys.executable, [sys.executable, "-c", code])
    out, deadline = b"", time.monotonic() + 30
    while time.monotonic() < deadline:
        if select.select([terminal], [], [], 0.2)[0]:
            try:
                more = os.read(terminal, 4096)
            except OSError:
                break
            if not more:
                break
            out += more
    os.close(terminal)
    os.waitpid(pid, 0)
    assert out.decode().split() == ["key-encrypted", "key-passphrase-wrong", "True", "key-encrypted"]
