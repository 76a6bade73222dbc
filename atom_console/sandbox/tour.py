"""The demonstration without a screen: a narrated tour of the whole mission that ends by itself."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from threading import Event
from typing import TYPE_CHECKING, Final

from atom_console.dlq.filters import Filter
from atom_console.dlq.record import State
from atom_console.dlq.replay.errors import EmptyPlanError
from atom_console.dlq.replay.options import ReplayOptions
from atom_console.dlq.replay.plan import plan
from atom_console.dlq.replay.run import Runner
from atom_console.engine.feed import feed
from atom_console.engine.producer import Producer
from atom_console.engine.sources import Chunk
from atom_console.events import DecodeError, peek
from atom_console.kafka.tail import Start, tail
from atom_console.sandbox.demo import TOPICS, Demo, story
from atom_console.sandbox.faults import FORBIDDEN_TOPIC
from atom_console.sandbox.flight_tour import CertificateProof, FlightProof, fly

if TYPE_CHECKING:
    from atom_console.dlq.reader import Reader
    from atom_console.dlq.store import Store

_STORY_S: Final = 30.0
_REPORTS_S: Final = 8.0
_PAGE: Final = 1_000
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class TourReport:
    """What the tour proved.

    Attributes:
        accepted: events that the producer took over.
        acked: acknowledged by the cluster.
        captured: in the dead letter queue.
        lost: accepted events that are in neither place, looked up one by one by their event id.
        duplicates: events that are on the cluster more than once.
        replayed: dead letters that were sent again.
        flight: what was fetched over mutual TLS.
        certs: the certificates that it took.
        ok: nothing lost, nothing twice, every number adds up, and Flight was as promised.
    """

    accepted: int
    acked: int
    captured: int
    captured_by_class: dict[str, int]
    replayed: int
    duplicates: int
    lost: int
    flight: FlightProof
    certs: CertificateProof
    ok: bool


def run_tour(seconds: float, say: Say, stopped: Callable[[], bool] = lambda: False) -> TourReport:
    """Run it.

    Args:
        seconds: of the workload; the faults are spread over it.
        say: takes the narration, a line at a time.
        stopped: asked now and then; True ends the workload early.
    """
    say("An embedded Kafka cluster is up; nothing outside this process is used.")
    with Demo(faults=story(seconds / _STORY_S)) as demo:
        producer = Producer(demo.loaded.settings, component="tour")
        seen: set[str] = set()
        feed(producer, _until(demo, seconds, say, stopped, seen))
        demo.script.heal()
        producer.wait_for_reports(_REPORTS_S)
        captured_by_class = {str(name): n for name, n in producer.snapshot().captured_by_class.items()}
        report = producer.drain()
        say(f"{report.accepted:,} events accepted: {report.acked:,} acknowledged, {report.captured:,} in the DLQ.")
        for group in producer.store.reader().groups():
            say(f"  {group.count:>6,}  {group.err_class}: {group.label}")
        replayed = _replay(demo, producer.store, say)
        producer.close()
        on_cluster = _on_cluster(demo)
        in_store = _in_store(producer.store.reader())
        lost = len(seen - on_cluster.keys() - in_store)
        duplicates = sum(count - 1 for count in on_cluster.values())
        say(f"Each of the {len(seen):,} events was looked up by its id: {lost} lost, {duplicates} twice.")
        flown, certified = fly(demo, say)
        return TourReport(
            accepted=report.accepted,
            acked=report.acked,
            captured=report.captured,
            captured_by_class=captured_by_class,
            replayed=replayed,
            duplicates=duplicates,
            lost=lost,
            flight=flown,
            certs=certified,
            ok=report.complete and not lost and not duplicates and flown.schema_equal and certified.stranger_refused,
        )


def _replay(demo: Demo, store: Store, say: Say) -> int:
    """What the outage left behind, sent again now that the brokers are back; how many arrived."""
    settings = demo.loaded.settings
    try:
        made = plan(store, settings, Filter(classes=("outage",)), ReplayOptions.of(settings.dlq, rate=0.0))
    except EmptyPlanError:
        return 0
    say(f"Plan {made.run_id}: {made.count:,} events, {made.may_duplicate:,} of them looked for on the broker first.")
    for why, count in made.held.items():
        say(
            f"  held back: {count:,} {why}: a newer event of the key is there"
            if why == "superseded"
            else f"  {why} {count}"
        )
    ended = Runner(store, settings, made.run_id).run(Event())
    say(f"Run {made.run_id}: {ended.run.replayed:,} replayed. {ended.run.verified or 'not verified'}")
    return ended.run.replayed


def _until(demo: Demo, seconds: float, say: Say, stopped: Callable[[], bool], seen: set[str]) -> Iterator[Chunk]:
    """The workload until its time and every fault are over, telling what happens and noting each event's id."""
    end_s = time.monotonic() + seconds
    told = ""
    for chunk in demo.chunks():
        if demo.news != told:
            told = demo.news
            say(told)
        seen.update(event_id for value in chunk.payloads if (event_id := peek(value).event_id) is not None)
        yield chunk
        if stopped() or (time.monotonic() >= end_s and demo.script.finished):
            return


def _on_cluster(demo: Demo) -> dict[str, int]:
    """Event id → copies on the cluster, the forbidden topic included: nothing is taken on trust."""
    found: dict[str, int] = {}
    kafka = demo.loaded.settings.kafka
    demo.cluster.topic_error(FORBIDDEN_TOPIC, 0)
    for topic in TOPICS:
        for record in tail(kafka, topic, start=Start("beginning"), follow=False):
            event_id = _event_id(record.value)
            if event_id is not None:
                found[event_id] = found.get(event_id, 0) + 1
    return found


def _in_store(reader: Reader) -> set[str]:
    found: set[str] = set()
    cursor: str | None = None
    states = tuple(state.value for state in State if state is not State.REPLAYED)
    while True:
        page = reader.page(Filter(states=states), limit=_PAGE, cursor=cursor)
        found.update(record.event_id for record in page.records if record.event_id is not None)
        cursor = page.next
        if cursor is None:
            return found


def _event_id(value: bytes | None) -> str | None:
    try:
        return None if value is None else peek(value).event_id
    except DecodeError:
        return None
