"""`doctor`: everything this console depends on, looked at once, each with the next step."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from atom_console.config import paths
from atom_console.engine.identity import with_kafka_identity
from atom_console.engine.tls_advice import advised, explain_flight, explain_kafka, sentence
from atom_console.errors import AtomError

if TYPE_CHECKING:
    from atom_console.config import Loaded, Settings
    from atom_console.pki.findings import Finding

Status = Literal["ok", "warning", "fault", "unknown"]

_TIMEOUT_S: Final = 3.0
_FAR_BEHIND_S: Final = 2.0
_MIB: Final = 2**20


@dataclass(frozen=True, slots=True)
class Check:
    """One look. `unknown` is what could not be found out, which is neither good nor bad."""

    name: str
    status: Status
    detail: str
    next_step: str | None = None


def examine(loaded: Loaded, environ: Mapping[str, str] = os.environ) -> Iterator[Check]:
    """Every check, as it is done; none raises, none takes more than a few seconds, none changes anything."""
    settings = loaded.settings
    yield _settings(loaded)
    for name, look in (
        ("broker", _broker),
        ("flight", _flight),
        ("certificates", _certificates),
        ("dead letters", _dead_letters),
        ("disk", _disk),
        ("libraries", _libraries),
    ):
        yield _guarded(name, look, settings)
    yield _terminal(environ)


def _guarded(name: str, look: Callable[[Settings], Check], settings: Settings) -> Check:
    try:
        return look(settings)
    except AtomError as error:
        told = advised(error, _behind(name, settings, error))
        return Check(name, "fault", told.what, told.next_step)
    except OSError as error:
        return Check(name, "unknown", f"{error.filename or name}: {error.strerror or error}")


def _behind(name: str, settings: Settings, error: AtomError) -> Finding | None:
    """The fault of certificates behind a connection that failed, if it is one."""
    explain = {"broker": explain_kafka, "flight": explain_flight}.get(name)
    try:
        return explain(settings, error) if explain is not None else None
    except (AtomError, OSError):
        return None  # the inventory cannot be read: its own check says so


def _settings(loaded: Loaded) -> Check:
    where = str(loaded.config_file) if loaded.config_file else "no config.toml"
    detail = f"profile {loaded.settings.profile}, {where}"
    if loaded.warnings:
        return Check("settings", "warning", f"{detail}: {loaded.warnings[0]}", "atom-console config check")
    return Check("settings", "ok", detail)


def _broker(settings: Settings) -> Check:
    from atom_console.kafka.cluster import ClusterReader

    kafka = with_kafka_identity(settings).kafka
    begun = time.monotonic()
    with ClusterReader(kafka, timeout_s=_TIMEOUT_S) as reader:
        view = reader.view()
    took_ms = (time.monotonic() - begun) * 1000
    at = f"{view.cluster_id} at {kafka.bootstrap_servers}, {len(view.brokers)} brokers, {took_ms:.0f} ms"
    missing = sum(topic.under_replicated for topic in view.topics.values())
    if missing:
        return Check("broker", "warning", f"{at}; {missing} partitions under-replicated", "atom-console topics")
    if kafka.topic not in view.topics:
        return Check(
            "broker",
            "warning",
            f"{at}; it lists no topic {kafka.topic}, or hides it",
            "create the topic, or set kafka.topic; without it events go to the DLQ",
        )
    return Check("broker", "ok", at)


def _flight(settings: Settings) -> Check:
    from atom_console.engine.flight_link import flight_connection
    from atom_console.flight.client import FlightConsole

    with FlightConsole(flight_connection(settings), deadline_s=_TIMEOUT_S) as console:
        pong = console.ping()
    return Check("flight", "ok", f"{settings.flight.uri} answered {pong.answered_by} in {pong.connect_ms:.0f} ms")


def _certificates(settings: Settings) -> Check:
    from atom_console.engine.certificate_watch import read_certificates
    from atom_console.pki.verify import check_settings

    rows = read_certificates(settings)
    over = [row.name for row in rows if row.status == "expired"]
    due = [row.name for row in rows if row.status == "renew now"]
    if over:
        return Check("certificates", "fault", f"expired: {', '.join(over)}", f"atom-console certs renew {over[0]}")
    if due:
        return Check("certificates", "warning", f"due: {', '.join(due)}", "atom-console certs renew --due")
    if settings.kafka.ssl_endpoint_identification_algorithm == "none":
        unsafe = check_settings(
            verification=True,
            certificate_set=settings.kafka.certificate is not None,
            host_check=False,
            subject="kafka.ssl_endpoint_identification_algorithm",
        )[0]
        return Check("certificates", "warning", sentence(unsafe), unsafe.next_step)
    if not rows:
        return Check("certificates", "ok", f"none issued here ({paths.pki_dir(settings)})")
    return Check("certificates", "ok", f"{len(rows)}, the next ends in {rows[0].days_left:.0f} days")


def _dead_letters(settings: Settings) -> Check:
    from atom_console.dlq import database
    from atom_console.dlq.place import Place
    from atom_console.dlq.reader import Reader
    from atom_console.dlq.spool import waiting

    place = Place(paths.dlq_dir(settings))
    if not place.database.exists():
        return Check("dead letters", "ok", f"no store yet ({place.database})")
    reader = Reader(place.root)
    try:
        stats = reader.stats()
    finally:
        reader.close()
    conn = database.open_reader(place.database)
    try:
        fault = database.quick_check(conn, budget_s=1.0)
    finally:
        conn.close()
    if fault is not None:
        return Check("dead letters", "fault", f"{place.database}: {fault}", "atom-console dlq check")
    spilled = len(waiting(place.spool))
    if spilled:
        return Check(
            "dead letters",
            "warning",
            f"{spilled} spill files wait in {place.spool}",
            "they are imported when a writer opens the store; `dlq import` does it by path",
        )
    detail = f"{stats.depth:,} open of {stats.total:,}, {stats.file_bytes / _MIB:.0f} MiB"
    if stats.depth:
        return Check("dead letters", "warning", detail, "atom-console dlq groups")
    return Check("dead letters", "ok", detail)


def _disk(settings: Settings) -> Check:
    directory = paths.dlq_dir(settings)
    there = next(path for path in (directory, *directory.parents) if path.exists())
    free = shutil.disk_usage(there).free
    floor = int(settings.dlq.min_free_bytes)
    detail = f"{free / _MIB:,.0f} MiB free at {there}, the floor is {floor / _MIB:,.0f} MiB"
    if free < floor:
        return Check("disk", "fault", f"{detail}: new events are refused", "make room, or lower dlq.min_free_bytes")
    return Check("disk", "warning" if free < 2 * floor else "ok", detail)


def _libraries(_: Settings) -> Check:
    import apsw
    import confluent_kafka

    client = confluent_kafka.libversion()[0]
    return Check("libraries", "ok", f"librdkafka {client}, SQLite {apsw.sqlite_lib_version()}")


def _terminal(environ: Mapping[str, str]) -> Check:
    term = environ.get("TERM", "")
    if not (os.isatty(0) and os.isatty(1)):
        return Check("terminal", "ok", "none here: every screen has a sub-command with --json")
    if term in {"", "dumb", "unknown"}:
        return Check("terminal", "warning", f"TERM={term or 'not set'} cannot draw a screen", "set TERM")
    size = shutil.get_terminal_size()
    detail = f"{term}, {size.columns}×{size.lines}"
    if size.columns < 80 or size.lines < 24:
        return Check("terminal", "warning", f"{detail}: the screens are drawn for 80×24 and more", "enlarge it")
    return Check("terminal", "ok", detail)
