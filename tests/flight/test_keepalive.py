"""What the keep-alive does on real connections. The scenarios take their time, so they all run at once."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

from atom_console.errors import AtomError
from atom_console.flight.channel import ChannelOptions
from atom_console.flight.client import FlightConsole
from atom_console.flight.connection import Connection
from atom_console.flight.download import Download
from atom_console.flight.errors import FrozenPeerError, TooManyPingsError
from atom_console.flight.fetch_plan import Limits
from atom_console.flight.sinks import Discard
from tests.flight.faulty_servers import PLAN, Endless, SilentAtFirst, Streams
from tests.flight.h2_proxy import H2Proxy

pytestmark = [pytest.mark.xdist_group("flight-keepalive"), pytest.mark.timeout(180)]


class _Outcome:
    def __init__(self, seconds: float, error: AtomError | None, detail: Any = None) -> None:
        self.seconds = seconds
        self.error = error
        self.detail = detail


def _timed(work: Callable[[], Any], detail: Callable[[], Any] = lambda: None) -> _Outcome:
    started = time.monotonic()
    try:
        work()
    except AtomError as error:
        return _Outcome(time.monotonic() - started, error, detail())
    return _Outcome(time.monotonic() - started, None, detail())


def _connect(uri: str, **options: Any) -> FlightConsole:
    return FlightConsole(Connection(uri, options=ChannelOptions(**options)), deadline_s=60, limits=Limits(reconnects=0))


def _frozen_idle() -> _Outcome:
    server = Endless()
    proxy = H2Proxy(server.uri)
    with _connect(proxy.uri) as client:
        client.schema("q3")
        proxy.freeze()
        return _timed(lambda: client.schema("q3"))


def _frozen_mid_stream() -> _Outcome:
    server = Streams(PLAN.schema, [PLAN.batch(0)] * 100_000, pause_s=0.05)
    proxy = H2Proxy(server.uri)
    with _connect(proxy.uri) as client, client.fetch("q3") as fetch:
        batches = iter(fetch)
        for _ in range(5):
            next(batches)
        proxy.freeze()
        return _timed(lambda: [None for _ in batches])


def _idle_pings() -> list[float]:
    proxy = H2Proxy(SilentAtFirst(0).uri)
    with _connect(proxy.uri) as client:
        client.schema("q3")
        called = time.monotonic()
        latest = called + 25
        while len(proxy.pings()) < 2 and time.monotonic() < latest:
            time.sleep(0.05)
        return [called, *proxy.pings()]


def _slow_link() -> _Outcome:
    batches = [PLAN.batch(number % 10) for number in range(16)]
    proxy = H2Proxy(Streams(PLAN.schema, batches).uri, bytes_per_s=1_000_000)
    with _connect(proxy.uri) as client:
        rows: list[int] = []
        return _timed(lambda: rows.append(Download(client, "q3", Discard()).run().progress.rows), lambda: rows)


def _slow_server() -> _Outcome:
    server = Streams(PLAN.schema, [PLAN.batch(0)] * 12, pause_s=5)
    with _connect(server.uri) as client:
        rows: list[int] = []
        return _timed(lambda: rows.append(Download(client, "q3", Discard()).run().progress.rows), lambda: rows)


def _too_many_pings() -> _Outcome:
    proxy = H2Proxy(SilentAtFirst(30).uri)
    with _connect(proxy.uri, keepalive_time_ms=1_000) as client, client.fetch("q3") as fetch:
        return _timed(lambda: list(fetch), lambda: [frame.payload for frame in proxy.frames if frame.is_goaway])


@pytest.fixture(scope="module")
def observed() -> Iterator[dict[str, Future[Any]]]:
    scenarios = (_frozen_idle, _frozen_mid_stream, _idle_pings, _slow_link, _slow_server, _too_many_pings)
    pool = ThreadPoolExecutor(len(scenarios))
    yield {scenario.__name__: pool.submit(scenario) for scenario in scenarios}
    pool.shutdown(wait=False)


@pytest.mark.parametrize("scenario", ["_frozen_idle", "_frozen_mid_stream"])
def test_a_frozen_peer_is_noticed_in_eleven_seconds(observed: dict[str, Future[_Outcome]], scenario: str) -> None:
    outcome = observed[scenario].result(60)
    assert isinstance(outcome.error, FrozenPeerError)
    assert outcome.error.exit_code == 4
    assert outcome.seconds == pytest.approx(11, abs=1)


def test_pings_go_out_every_ten_seconds_without_a_call(observed: dict[str, Future[list[float]]]) -> None:
    called, *pings = observed["_idle_pings"].result(60)
    assert [later - earlier for earlier, later in zip([called, *pings], pings, strict=False)] == [
        pytest.approx(10, abs=0.5)
    ] * 2


def test_a_link_of_one_megabyte_a_second_is_not_killed(observed: dict[str, Future[_Outcome]]) -> None:
    outcome = observed["_slow_link"].result(120)
    assert (outcome.error, outcome.detail) == (None, [16 * 8192])
    assert outcome.seconds > 11


def test_a_server_that_sends_a_batch_each_five_seconds_for_a_minute_is_not_killed(
    observed: dict[str, Future[_Outcome]],
) -> None:
    outcome = observed["_slow_server"].result(120)
    assert (outcome.error, outcome.detail) == (None, [12 * 8192])


def test_goaway_is_explained_with_the_setting_to_change(observed: dict[str, Future[_Outcome]]) -> None:
    outcome = observed["_too_many_pings"].result(60)
    assert isinstance(outcome.error, TooManyPingsError)
    assert "PermitWithoutStream" in str(outcome.error.next_step)
    assert any(b"too_many_pings" in payload for payload in outcome.detail)
