"""The engine's Flight part against real servers: honest ones, lying ones, absent ones."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from atom_console.config import Loaded
from atom_console.engine.commands import CancelTransfer, FetchSchema, ListFlights, Ping, Receipt, StartTransfer
from atom_console.engine.flight_desk import FlightDesk
from atom_console.engine.flight_transfer import PREVIEW_ROWS
from atom_console.engine.snapshot import FlightSection
from atom_console.errors import InputError, RefusedError
from atom_console.flight.mdf import MDF_SCHEMA
from atom_console.flight.server import ReferenceServer, ServerOptions
from tests.flight.faulty_servers import BrokenSchema, DoGetOnly, Endless, Lying, SilentAtFirst, Streams

NOWHERE = "grpc://127.0.0.1:1"
SMALL = "mdf-20000"


@pytest.fixture(scope="module")
def server() -> Iterator[ReferenceServer]:
    with ReferenceServer(ServerOptions(plans=(SMALL, "mdf-500"))) as running:
        yield running


@pytest.fixture
def receipts() -> list[Receipt]:
    return []


@pytest.fixture
def desk(loaded_for: Callable[..., Loaded], receipts: list[Receipt]) -> Iterator[FlightDesk]:
    made = FlightDesk(loaded_for("127.0.0.1:1", f"flight.uri={NOWHERE}", "clearance=0").settings, receipts.append)
    yield made
    made.stop()


def until(desk: FlightDesk, holds: Callable[[FlightSection], object], seconds: float = 20.0) -> FlightSection:
    deadline = time.monotonic() + seconds
    while True:
        section = desk.section()
        if holds(section):
            return section
        assert time.monotonic() < deadline, section
        time.sleep(0.005)


def ended(section: FlightSection) -> bool:
    return section.transfer is not None and not section.transfer.running


def previewed(section: FlightSection) -> bool:
    return section.preview is not None and not section.preview.running


def open_on(desk: FlightDesk, uri: str) -> FlightSection:
    desk.do(ListFlights(uri=uri))
    return until(desk, lambda now: now.listed_age_s is not None and now.uri == uri)


def test_nothing_is_dialled_before_it_is_asked_for(desk: FlightDesk) -> None:
    section = desk.section()
    assert (section.state, section.uri, section.flights) == ("not asked", NOWHERE, ())
    desk.refresh()
    assert desk.section().state == "not asked"


def test_a_server_its_plans_and_their_schema(desk: FlightDesk, server: ReferenceServer) -> None:
    section = open_on(desk, server.uri)
    assert (section.state, section.transport) == ("answers", "plaintext")
    assert [(row.plan_id, row.rows) for row in section.flights] == [(SMALL, 20_000), ("mdf-500", 500)]
    assert section.keepalive is not None
    assert (section.keepalive.time_ms, section.keepalive.timeout_ms) == (10_000, 1_000)
    desk.do(FetchSchema(plan_id=SMALL))
    (schema,) = until(desk, lambda now: now.schemas).schemas
    assert (schema.words("same"), schema.mark, schema.notes) == (12, "", ())
    desk.do(FetchSchema(plan_id="mdf-700", by_hand=True))
    section = until(desk, lambda now: len(now.schemas) == 2)
    assert [row.plan_id for row in section.flights if row.by_hand] == ["mdf-700"]
    desk.do(FetchSchema(plan_id="nowhere", by_hand=True))
    section = until(desk, lambda now: len(now.schemas) == 3)
    assert "not found" in (section.schemas[-1].failed or "")
    assert section.state == "answers"


def test_a_server_that_is_away_is_named_with_the_next_step(desk: FlightDesk) -> None:
    desk.do(ListFlights())
    section = until(desk, lambda now: now.state == "away")
    assert "nothing listens" in (section.detail or "")
    assert section.next_step
    assert section.age_s is None


def test_a_server_that_turns_us_away_refuses(desk: FlightDesk) -> None:
    with ReferenceServer(ServerOptions(token="secret")) as guarded:
        desk.do(ListFlights(uri=guarded.uri))
        section = until(desk, lambda now: now.state == "refuses")
        assert "token" in (section.detail or "")
        assert section.next_step


def test_an_address_that_is_none_is_refused_at_once_and_the_old_one_stays(
    desk: FlightDesk, server: ReferenceServer
) -> None:
    open_on(desk, server.uri)
    with pytest.raises(InputError, match="no port"):
        desk.do(ListFlights(uri="engine"))
    assert desk.section().uri == server.uri


def test_files_that_cannot_be_read_make_the_server_unusable(
    loaded_for: Callable[..., Loaded], receipts: list[Receipt], tmp_path: Path
) -> None:
    ca = tmp_path / "ca.pem"
    ca.write_text("not PEM")
    desk = FlightDesk(loaded_for("127.0.0.1:1", f"flight.ca={ca}").settings, receipts.append)
    desk.do(ListFlights())
    section = until(desk, lambda now: now.state == "unusable")
    assert "is not PEM" in (section.detail or "")
    desk.stop()


def test_a_transfer_to_nowhere_tells_what_it_moved(
    desk: FlightDesk, server: ReferenceServer, receipts: list[Receipt]
) -> None:
    open_on(desk, server.uri)
    desk.do(StartTransfer(plan_id=SMALL))
    view = until(desk, ended).transfer
    assert view is not None
    assert (view.state, view.rows, view.rows_expected, view.schema_equal) == ("done", 20_000, 20_000, True)
    assert view.gb_per_s
    assert view.bytes > 1_000_000
    until(desk, lambda _: receipts)
    assert receipts[-1].text.startswith(f"Fetched {SMALL}: 20,000 rows, 0.00")
    assert "plaintext, 127.0.0.1:" in receipts[-1].text


def test_a_file_appears_whole_and_a_present_one_is_never_replaced(
    desk: FlightDesk, server: ReferenceServer, tmp_path: Path
) -> None:
    open_on(desk, server.uri)
    path = tmp_path / "plan.parquet"
    desk.do(StartTransfer(plan_id=SMALL, to="file", path=path))
    view = until(desk, ended).transfer
    assert view is not None
    assert (view.state, view.target) == ("done", str(path))
    assert pq.read_metadata(path).num_rows == 20_000
    with pytest.raises(InputError, match="exists"):
        desk.do(StartTransfer(plan_id=SMALL, to="file", path=path))
    with pytest.raises(InputError, match="no such format"):
        desk.do(StartTransfer(plan_id=SMALL, to="file", path=tmp_path / "plan.txt"))
    assert [file.name for file in tmp_path.iterdir() if file.suffix == ".part"] == []


def test_a_preview_keeps_the_first_rows_as_arrow_and_stops_there(desk: FlightDesk, server: ReferenceServer) -> None:
    open_on(desk, server.uri)
    desk.do(StartTransfer(plan_id=SMALL, to="preview"))
    view = until(desk, previewed).preview
    assert view is not None
    assert view.pages is not None
    assert (view.state, view.cut, view.pages.rows) == ("done", True, PREVIEW_ROWS)
    assert [name for name, _ in view.pages.columns] == MDF_SCHEMA.names
    assert len(view.pages.texts(9_990, 10_100)) == 10
    assert desk.section().transfer is None


def test_a_stream_that_is_not_as_promised_is_a_diff_and_goes_on_only_on_purpose(
    desk: FlightDesk, receipts: list[Receipt]
) -> None:
    lying = Lying()
    open_on(desk, lying.uri)
    desk.do(StartTransfer(plan_id="any"))
    view = until(desk, ended).transfer
    assert view is not None
    assert (view.state, view.rows, view.schema_equal) == ("mismatch", 0, False)
    assert {change.path for change in view.changes} == {"numeric_value", "source_system", "is_locked"}
    until(desk, lambda _: receipts)
    assert not receipts[-1].ok
    desk.do(StartTransfer(plan_id="any", accept_schema=True))
    view = until(desk, lambda now: ended(now) and now.transfer is not None and now.transfer.accepted).transfer
    assert view is not None
    assert (view.state, view.schema_equal) == ("done", False)
    lying.shutdown()


def test_a_broken_schema_falls_back_with_its_mark_and_a_missing_list_is_told(desk: FlightDesk) -> None:
    broken = BrokenSchema()
    section = open_on(desk, broken.uri)
    assert section.note == "the server has no ListFlights"
    desk.do(FetchSchema(plan_id="q3", by_hand=True))
    section = until(desk, lambda now: now.schemas)
    assert section.schemas[0].mark == "server schema invalid"
    assert section.schemas[0].words("same") == 12
    assert [row.plan_id for row in section.flights] == ["q3"]
    desk.do(StartTransfer(plan_id="q3"))
    view = until(desk, ended).transfer
    assert view is not None
    assert (view.state, view.mark, view.schema_equal) == ("done", "server schema invalid", None)
    broken.shutdown()


def test_fields_beside_the_declared_schema(desk: FlightDesk) -> None:
    fields = [field for field in MDF_SCHEMA if field.name != "is_locked"]
    fields[1] = pa.field("numeric_value", pa.float32())
    fields.append(pa.field("\x1b]52;c;x\x07", pa.int8()))
    other = Streams(pa.schema(fields), [])
    open_on(desk, other.uri)
    desk.do(FetchSchema(plan_id="any"))
    schema = until(desk, lambda now: now.schemas).schemas[0]
    words = {field.name: field.word for field in schema.fields if field.word != "same"}
    assert words == {"numeric_value": "differs", "␛]52;c;x␇": "only here", "is_locked": "not here"}
    assert "float" in next(field.why for field in schema.fields if field.name == "numeric_value")
    other.shutdown()


def test_cancel_ends_an_endless_stream_and_leaves_no_file(desk: FlightDesk, tmp_path: Path) -> None:
    endless = Endless()
    open_on(desk, endless.uri)
    with pytest.raises(RefusedError, match="nothing is being fetched"):
        desk.do(CancelTransfer())
    desk.do(StartTransfer(plan_id="any", to="file", path=tmp_path / "x.arrow"))
    section = until(desk, lambda now: now.transfer is not None and now.transfer.batches > 20)
    assert section.transfer is not None
    assert section.transfer.room == 8
    with pytest.raises(RefusedError, match="still being fetched"):
        desk.do(StartTransfer(plan_id="other"))
    with pytest.raises(RefusedError, match="is running"):
        desk.do(ListFlights(uri=NOWHERE))
    begun = time.monotonic()
    desk.do(CancelTransfer())
    view = until(desk, ended).transfer
    assert time.monotonic() - begun < 3
    assert view is not None
    assert view.state == "cancelled"
    assert list(tmp_path.glob("*x.arrow*")) == []
    endless.shutdown()


def test_stopping_the_desk_cancels_and_leaves_no_half_file(desk: FlightDesk, tmp_path: Path) -> None:
    endless = Endless()
    open_on(desk, endless.uri)
    desk.do(StartTransfer(plan_id="any", to="file", path=tmp_path / "x.parquet"))
    until(desk, lambda now: now.transfer is not None and now.transfer.batches > 5)
    desk.stop()
    assert list(tmp_path.glob("*x.parquet*")) == []
    endless.shutdown()


def test_a_server_that_hangs_holds_only_its_own_questions(desk: FlightDesk, server: ReferenceServer) -> None:
    silent = SilentAtFirst(3.0)
    open_on(desk, silent.uri)
    begun = time.monotonic()
    desk.do(StartTransfer(plan_id="any", to="preview"))
    desk.do(ListFlights(uri=server.uri))
    section = until(desk, lambda now: now.uri == server.uri and now.flights)
    assert time.monotonic() - begun < 2
    assert section.preview is None
    silent.shutdown()


def test_a_server_that_comes_back_is_listed_again(desk: FlightDesk) -> None:
    with ReferenceServer(ServerOptions(plans=("mdf-1k",))) as first:
        open_on(desk, first.uri)
        uri = first.uri
    desk.do(Ping())
    section = until(desk, lambda now: now.state == "away")
    assert [row.plan_id for row in section.flights] == ["mdf-1k"]
    with ReferenceServer(ServerOptions(listen=uri, plans=("mdf-2k",))):

        def listed(now: FlightSection) -> bool:
            if now.state == "away" and now.doing is None:
                desk.do(Ping())
            return [row.plan_id for row in now.flights] == ["mdf-2k"]

        until(desk, listed)


def test_a_read_only_profile_may_fetch(loaded_for: Callable[..., Loaded], server: ReferenceServer) -> None:
    from atom_console.engine.engine import Engine

    engine = Engine(loaded_for("127.0.0.1:1", f"flight.uri={server.uri}", read_only=True))
    engine.submit(ListFlights())
    engine.submit(StartTransfer(plan_id="mdf-500"))
    deadline = time.monotonic() + 20
    while not ended(engine.snapshot().flight):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    engine.stop()


def test_a_method_that_is_missing_is_an_answer(desk: FlightDesk) -> None:
    bare = DoGetOnly()
    section = open_on(desk, bare.uri)
    assert section.call_ms is not None
    bare.shutdown()
