"""The Schema room with keys only: list, tree, search, diff, mapping, and the way from a payload and back."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from flatbuffers import Builder
from flights import flying, section
from frames import check_frame, console, frame, sizes
from letters import SECRET
from scripted import NOW_MS, ScriptedEngine, flowing
from shelves import FixedShelf, hostile

from atom_console.config.model import KafkaSettings
from atom_console.dlq.reader import Reader
from atom_console.engine.schema_shelf import SchemaShelf, ShelfRow
from atom_console.schema.loading import AnySchema
from atom_console.ui.drawing import plain
from atom_console.ui.rooms.schemas import words


@pytest.fixture
def engine() -> ScriptedEngine:
    made = ScriptedEngine(flowing())
    made.schemas = FixedShelf()
    return made


@sizes
async def test_list_tree_search_diff_mapping(size: tuple[int, int], engine: ScriptedEngine) -> None:
    async with console(engine, size) as (app, press):
        await press("4")
        check_frame(app, "schemas-list")
        await press("enter", *["down"] * 6)
        check_frame(app, "schemas-tree")
        await press("slash", *"time", "enter")
        check_frame(app, "schemas-search")
        await press("escape", "d")
        check_frame(app, "schemas-diff-which")
        await press("down", "enter")
        check_frame(app, "schemas-diff")
        await press("escape", "m")
        check_frame(app, "schemas-mapping")
        await press("escape", "escape", "down", "down", "down", "down")
        check_frame(app, "schemas-broken")
        await press("down", "enter", "G")
        check_frame(app, "schemas-tree-arrow")
        await press("d", "enter")
        check_frame(app, "schemas-diff-arrow")


async def test_what_cannot_be_used_says_why(engine: ScriptedEngine) -> None:
    async with console(engine) as (app, press):
        await press("4", *["down"] * 4, "enter")
        assert "old: old.bfbs: not a reflection schema." in frame(app)
        await press("G", "enter")
        assert "audit.log: no records yet." in frame(app)


async def test_a_diff_in_both_directions(engine: ScriptedEngine) -> None:
    async with console(engine) as (app, press):
        await press("4", *["down"] * 3, "enter", "colon", *"diff atom_event", "enter")
        assert "atom_event → atom_event_next" in frame(app)
        assert "breaks readers: 1 · breaks writers: 1 · safe: 1" in frame(app)
        await press("r")
        assert "atom_event_next → atom_event" in frame(app)
        assert "breaks readers: 2 · breaks writers: 1 · safe: 0" in frame(app)
        await press("escape")
        assert "Schemas › atom_event_next" in frame(app)
        await press("r")
        assert "Nothing is compared" in frame(app)


async def test_two_languages_are_not_compared(engine: ScriptedEngine) -> None:
    async with console(engine) as (app, press):
        await press("4", "colon", *"diff mdf", "enter")
        assert "mdf is arrow and atom_event is flatbuffers" in frame(app)


async def test_filter_and_back(engine: ScriptedEngine) -> None:
    async with console(engine) as (app, press):
        await press("4", "slash", *"flight", "enter")
        assert "q3-actuals@engine-1:50051" in frame(app)
        assert "atom_event_next" not in frame(app)
        await press("escape", "slash", *"zzz", "enter")
        assert "Nothing holds zzz" in frame(app)
        await press("escape", "enter", "slash", *"zzz", "enter")
        assert "Nothing holds zzz" in frame(app)
        await press("escape", "escape", "escape")
        assert "[1 Overview]" in frame(app)


async def test_a_file_is_opened_and_stays_in_the_list(
    engine: ScriptedEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"a": [1]}), tmp_path / "plan.parquet")
    monkeypatch.chdir(tmp_path)
    engine.schemas = SchemaShelf((), KafkaSettings())
    async with console(engine, (200, 60)) as (app, press):
        await press("4", "o", *"plan.parquet", "enter")
        assert "Schemas › plan.parquet" in frame(app)
        await press("escape")
        assert "file" in next(row for row in frame(app).splitlines() if "plan.parquet" in row)
        await press("colon", *"open x.fbs", "enter")
        assert "no schema and no file x.fbs" in frame(app)


async def test_a_changed_directory_is_read_again(engine: ScriptedEngine, tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    engine.schemas = SchemaShelf([tmp_path], KafkaSettings())
    async with console(engine) as (app, press):
        await press("4")
        pq.write_table(pa.table({"a": [1]}), tmp_path / "later.parquet")
        engine.snapshots = [dataclasses.replace(flowing(), taken_at_ms=NOW_MS + 3_000)]
        await press("ctrl+r")
        assert "later" in frame(app)


@sizes
async def test_from_a_dead_letter_to_its_schema_and_back(
    size: tuple[int, int], engine: ScriptedEngine, letters_reader: Reader
) -> None:
    engine.dead_letters = letters_reader
    async with console(engine, size) as (app, press):
        await press("2", "enter", "enter")
        before = frame(app)
        assert "[Why]" in before
        await press("s")
        check_frame(app, "schemas-of-a-record")
        assert SECRET not in frame(app)
        await press("escape")
        assert "[Why]" in frame(app)
        assert "[2 Dead letters]" in frame(app)


async def test_a_payload_that_no_schema_explains(engine: ScriptedEngine) -> None:
    async with console(engine) as (app, press):
        await press("2")
        app.open_payload(b"\x00\x01not an event", "record 7", back="dead-letters")
        await press("ctrl+r")
        assert "record 7 · no schema of the list explains it" in frame(app)
        await press("escape")
        assert "[2 Dead letters]" in frame(app)


def newer_event() -> bytes:
    """An event with a string in slot 8, which `atom_event` does not have."""
    builder = Builder(256)
    texts = {slot: builder.CreateString(f"text {slot}") for slot in (0, 1, 4, 5, 8)}
    builder.StartObject(9)
    builder.PrependInt64Slot(2, 1, 0)
    builder.PrependInt8Slot(3, 1, 0)
    for slot, text in texts.items():
        builder.PrependUOffsetTRelativeSlot(slot, text, 0)
    builder.Finish(builder.EndObject())
    return bytes(builder.Output())


async def test_a_payload_is_shown_with_the_schema_that_explains_it_best(engine: ScriptedEngine) -> None:
    async with console(engine) as (app, press):
        app.open_payload(newer_event(), "record 7", back="overview")
        await press("ctrl+r")
        assert "record 7 · fits · atom_event_next" in frame(app)
        assert "Schemas › atom_event_next" in frame(app)
        await press("escape")
        assert "[1 Overview]" in frame(app)


async def test_a_payload_of_a_newer_writer_is_named(engine: ScriptedEngine) -> None:
    engine.schemas = SchemaShelf((), KafkaSettings())
    async with console(engine) as (app, press):
        app.open_payload(newer_event(), "record 7", back="overview")
        await press("ctrl+r")
        assert "record 7 · newer writer · atom_event" in frame(app)
        assert "AtomEvent slot 8" in frame(app)


async def test_from_a_flight_plan_to_its_schema_and_back() -> None:
    engine = ScriptedEngine(flying(section()))
    engine.schemas = FixedShelf()
    async with console(engine) as (app, press):
        await press("3", "down", "s")
        assert "Schemas › q3-actuals@engine-1:50051" in frame(app)
        await press("escape")
        assert "[3 Flight]" in frame(app)
        await press("down", "s")
        assert "Schemas › mdf" in frame(app)
        await press("escape")
        await press("up", "up", "s")
        assert "no schema and no file" in frame(app)


async def test_topics_are_asked_for_by_name(engine: ScriptedEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def sample(self: SchemaShelf, topics: tuple[str, ...]) -> int:
        asked.extend(topics)
        return 2

    monkeypatch.setattr(SchemaShelf, "sample_topics", sample)
    async with console(engine) as (app, press):
        await press("4", "t")
        assert asked == ["atom.write.raw", "atom.calc.trigger", "audit.log"]
        assert "Looked at 3 topics; 2 hold what a schema explains." in frame(app)


async def test_without_a_shelf_it_says_so() -> None:
    async with console(ScriptedEngine(flowing())) as (app, press):
        await press("4", "t", "o", *"x.fbs", "enter")
        assert "This console keeps no schemas" in frame(app)


async def test_names_of_others_are_harmless(engine: ScriptedEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    schema = AnySchema("\x1b[31mred", "\x1b]0;title\x07", arrow=hostile())
    monkeypatch.setattr(
        FixedShelf, "rows", lambda self: [ShelfRow(schema.name, "file", schema.source, schema, "\x1b[2J")]
    )
    async with console(engine, (120, 40)) as (app, press):
        await press("4")
        assert "␛[31mred" in frame(app)
        await press("enter", "down")
        shown = frame(app)
        assert "\x1b" not in shown
        assert "\u202e" not in shown
        assert "[/bold]<U+202E>" in shown
        await press("m")
        assert "\x1b" not in frame(app)


async def test_copy(engine: ScriptedEngine) -> None:
    copied: list[str] = []
    async with console(engine) as (app, press):
        app.copy_to_clipboard = copied.append  # type: ignore[method-assign]
        await press("4", "y", "enter", "down", "y", "d", "enter", "y")
        assert copied[:2] == ["atom_event", "trace_id: string"]
        assert copied[2].startswith(" breaks readers:")


@pytest.mark.parametrize("width", [40, 80, 118, 200])
def test_lines_fit(width: int) -> None:
    shelf = FixedShelf()
    compared = shelf.compare("atom_event", "atom_event_next")
    rows = [*words.diff_lines(compared, width), *words.mapping_lines(shelf.mapping("mdf"), width)]
    long = [plain(row) for row in rows if len(plain(row)) > width]
    assert not [text for text in long if width >= 80], long
