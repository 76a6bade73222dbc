"""The libraries of Apache Kafka, fetched once from Maven Central into a directory outside git."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

_HERE = Path(__file__).parent
_JAVA_NEEDED = 17  # Kafka 4 brokers run on nothing older


class BrokerError(RuntimeError):
    """A broker of the tests could not be prepared, started or reached."""


def cache_dir() -> Path:
    """Where the libraries are kept: `ATOM_TEST_KAFKA_CACHE`, or `.cache` beside this file."""
    return Path(os.environ.get("ATOM_TEST_KAFKA_CACHE") or _HERE / ".cache")


def _libraries_dir() -> Path:
    digest = hashlib.sha256((_HERE / "pom.xml").read_bytes()).hexdigest()[:12]
    return cache_dir() / f"libs-{digest}"


@cache
def class_archive() -> Path:
    """Where `archive.prepare` keeps the classes of a started broker, for this class path and this Java."""
    version = subprocess.run(["java", "-version"], capture_output=True, check=False).stderr
    return cache_dir() / f"classes-{hashlib.sha256(classpath().encode() + version).hexdigest()[:12]}.jsa"


@cache
def missing() -> str | None:
    """One line that names what a broker needs and this machine lacks, or None."""
    java = shutil.which("java")
    if java is None:
        return f"no real Kafka here: Java {_JAVA_NEEDED} or newer is missing"
    version = subprocess.run([java, "-version"], capture_output=True, text=True, check=False).stderr
    found = re.search(r'version "(\d+)', version)
    if found is None or int(found[1]) < _JAVA_NEEDED:
        return f"no real Kafka here: Java {_JAVA_NEEDED} or newer is missing (found {version.splitlines()[:1]})"
    if not _libraries_dir().is_dir() and shutil.which("mvn") is None:
        return "no real Kafka here: Maven is missing and the libraries are not in the cache"
    return None


def classpath() -> str:
    """The class path of the broker; fetches the libraries when they are not there yet.

    Two processes may call it at once: a file lock lets one of them fetch, and the directory appears complete or not
    at all.

    Raises:
        BrokerError: Maven could not fetch them.
    """
    target = _libraries_dir()
    if not target.is_dir():
        with locked(cache_dir() / "fetch.lock"):
            if not target.is_dir():
                _fetch(target)
    return f"{target}/*"


def _fetch(target: Path) -> None:
    partial = target.with_name(f"{target.name}.{os.getpid()}.partial")
    command = ["mvn", "-q", "-B", "-f", str(_HERE / "pom.xml"), "dependency:copy-dependencies"]
    try:
        done = subprocess.run(
            [*command, f"-DoutputDirectory={partial}"], capture_output=True, text=True, timeout=600, check=False
        )
        if done.returncode:
            raise BrokerError(
                f"Maven could not fetch the libraries of Kafka:\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
            )
        partial.rename(target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Holds the lock of a file among processes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
