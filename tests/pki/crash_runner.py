"""Kills a change of a PKI directory at every point where it touches the disk; run as a program, prints JSON.

A point is before each open, mkdir, rename, symlink, chmod, unlink (seen by an audit hook) and before each write, fsync
and truncate (wrapped). The umask is 0, and what the dead process left is looked at before anything is recovered.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import stat
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from cryptography import x509

from atom_console.pki import issuing, revocation, rotation
from atom_console.pki.issuing import Order
from atom_console.pki.keys import load_pem, public_bytes
from atom_console.pki.passphrase import Passphrase, fixed
from atom_console.pki.store import Store

SECRET = fixed(Passphrase("correct horse battery staple"))
EVENTS = {"open", "os.mkdir", "os.rename", "os.symlink", "os.chmod", "os.remove", "os.rmdir"}


def init(store: Store) -> None:
    issuing.init(store, SECRET, [Order("a", "client", ("DNS:a.internal",))])


def issue(store: Store) -> None:
    orders = [Order("b", "broker", ("DNS:b.internal",)), Order("c", "client", ("DNS:c.internal",))]
    issuing.issue(store, SECRET, orders)


def renew(store: Store) -> None:
    issuing.renew(store, SECRET, ["a"])


def prepare(store: Store) -> None:
    rotation.prepare(store, SECRET)


def switch(store: Store) -> None:
    rotation.switch(store, SECRET, distributed=True)


def retire(store: Store) -> None:
    rotation.retire(store, peers_switched=True)


def revoke(store: Store) -> None:
    revocation.revoke(store, SECRET, ["a"], "superseded")


# What is done before, and what is then killed everywhere.
CASES: dict[str, tuple[tuple[Callable[[Store], None], ...], Callable[[Store], None]]] = {
    "init": ((), init),
    "issue": ((init,), issue),
    "renew": ((init,), renew),
    "prepare": ((init,), prepare),
    "switch": ((init, prepare), switch),
    "retire": ((init, prepare, switch), retire),
    "revoke": ((init,), revoke),
}


def exposed(root: Path) -> list[str]:
    wide = []
    for directory, _, files in os.walk(root):
        for path in (Path(directory), *(Path(directory) / name for name in files)):
            try:
                mode = path.lstat().st_mode
            except FileNotFoundError:
                continue
            if not stat.S_ISLNK(mode) and mode & 0o077:
                wide.append(f"{path} {stat.S_IMODE(mode):04o}")
    return wide


def pairs(store: Store) -> dict[str, str]:
    """Every current pair by name, read as a server reads it; raises where one is not whole."""
    found = {}
    for home in store._homes():
        link = home / "current"
        if not link.is_symlink():
            continue
        directory = home / link.readlink()
        certificate, *_ = x509.load_pem_x509_certificates((directory / "chain.pem").read_bytes())
        single = x509.load_pem_x509_certificate((directory / "cert.pem").read_bytes())
        assert single == certificate
        secret = SECRET("") if home.parent.name == "ca" else None
        key = load_pem((directory / "key.pem").read_bytes(), str(directory), secret)
        assert public_bytes(key.public_key()) == public_bytes(certificate.public_key())
        found[home.name] = directory.name
    return found


def child(store: Store, work: Callable[[Store], None], point: int) -> None:
    seen = 0
    watched = str(store.root)

    def step() -> None:
        nonlocal seen
        if seen == point:
            os.kill(os.getpid(), signal.SIGKILL)
        seen += 1

    def hook(event: str, args: tuple[object, ...]) -> None:
        if event in EVENTS and any(isinstance(a, str | os.PathLike) and watched in str(a) for a in args):
            step()

    real = {name: getattr(os, name) for name in ("write", "fsync", "ftruncate", "fchmod")}

    def wrapped(name: str) -> Callable[..., object]:
        def call(*args: object) -> object:
            step()
            return real[name](*args)

        return call

    os.umask(0)
    sys.addaudithook(hook)
    for name in real:
        setattr(os, name, wrapped(name))
    work(store)


def kill_everywhere(before: tuple[Callable[[Store], None], ...], work: Callable[[Store], None]) -> dict[str, object]:
    faults: list[str] = []
    points = 0
    # A kill loses nothing that the kernel has: memory serves as well as a disk, and is fast.
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as name:
        pristine, live = Path(name) / "pristine", Path(name) / "live"
        store = Store(live)
        pristine.mkdir(0o700)
        live.mkdir(0o700)
        for earlier in before:
            earlier(store)
        shutil.rmtree(pristine)
        shutil.copytree(live, pristine, symlinks=True)
        old = pairs(store)
        while True:
            read, write = os.pipe()
            pid = os.fork()
            if pid == 0:
                try:
                    child(store, work, points)
                    os._exit(0)
                except BaseException as error:
                    os.write(write, repr(error).encode())
                    os._exit(1)
            os.close(write)
            _, status = os.waitpid(pid, 0)
            said = os.read(read, 4096).decode()
            os.close(read)
            if said:
                faults.append(f"point {points}: {said}")
            faults += [f"point {points}: {fault}" for fault in judge(store, old, work)]
            if os.WIFEXITED(status) or len(faults) > 5:
                return {"points": points, "faults": faults, "code": status}
            points += 1
            shutil.rmtree(live)
            shutil.copytree(pristine, live, symlinks=True)


def judge(store: Store, old: dict[str, str], work: Callable[[Store], None]) -> list[str]:
    faults = exposed(store.root)
    try:
        now = pairs(store)
        missing = set(old) - set(now)
        if missing:
            faults.append(f"lost {missing}")
        with store.exclusive():
            pass
        after = pairs(store)
        entries = store.entries()
        if entries != store.scan():
            faults.append("the inventory is not what the files are")
        head = store.audit.head()
        chain = store.audit.verify(head.hash if head else None)
        if not chain.ok:
            faults.append(f"audit: {chain}")
        audited = {row.detail.get("fingerprint") for row in store.audit.rows()}
        if not {entry.fingerprint for entry in entries} <= audited:
            faults.append("a certificate without an audit row")
        if set(now) - set(after):
            faults.append("recovery lost a pair")
        left = [str(path) for path in store.root.rglob(".new-*")]
        if left:
            faults.append(f"left behind: {left}")
        faults += exposed(store.root)
        if work is switch:
            rotation.switch(store, SECRET, distributed=True)
            assert rotation.plan(store).step == 3
        if work is init:
            init(store)
            assert set(pairs(store)) == {"root", "issuing", "a"}
    except Exception as error:
        faults.append(repr(error))
    return faults


if __name__ == "__main__":
    json.dump(kill_everywhere(*CASES[sys.argv[1]]), sys.stdout)
