"""Every schema that this console has met, by name: the catalogue, opened files, live Flight, and samples of topics.

All calls may read files, run flatc or ask a broker: a screen makes them in a reading thread.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Final, Literal

from atom_console.errors import AtomError, CheckError, InputError, UnreachableError
from atom_console.safe_text import safe_text
from atom_console.schema.changes import Change, verdict
from atom_console.schema.drift import Candidate, Fit, best_fit
from atom_console.schema.loading import AnySchema, diff, load

if TYPE_CHECKING:
    import pyarrow as pa

    from atom_console.config import KafkaSettings
    from atom_console.schema.catalogue import Catalogue
    from atom_console.schema.mapping import MappedField

Origin = Literal["bundled", "directory", "file", "flight", "topic"]
EVENTS: Final = "atom_event"
MOLECULE: Final = "quantatomai.event.v1.FlatMolecule"
MDF: Final = "mdf"
_SAMPLE: Final = 20
_TIMEOUT_S: Final = 3.0


@dataclass(frozen=True, slots=True)
class ShelfRow:
    """A line of the list.

    Attributes:
        schema: what it is; None where it cannot be used, or nothing is known of a topic.
        note: why it cannot be used, or how a topic's payloads fit.
        drifts: some of a topic's payloads do not fit.
    """

    name: str
    origin: Origin
    source: str
    schema: AnySchema | None
    note: str = ""
    drifts: bool = False


@dataclass(frozen=True, slots=True)
class Comparison:
    """From one schema to another."""

    old: AnySchema
    new: AnySchema
    changes: tuple[Change, ...]

    @property
    def verdict(self) -> str:
        """`identical`, `compatible`, `breaks readers`, `breaks writers` or `breaking`."""
        return verdict(self.changes)

    @property
    def counts(self) -> tuple[int, int, int]:
        """Changes that break readers, that break writers (one may do both), and that break nobody."""
        return (
            sum(change.breaks_readers for change in self.changes),
            sum(change.breaks_writers for change in self.changes),
            sum(not change.breaking for change in self.changes),
        )


class SchemaShelf:
    """Safe to use from several threads.

    Args:
        directories: the user's own schemas.
        kafka: for samples of topics.
    """

    def __init__(self, directories: Iterable[Path], kafka: KafkaSettings) -> None:
        self._directories, self._kafka = tuple(directories), kafka
        self._lock = Lock()
        self._catalogue: Catalogue | None = None
        self._met: dict[str, ShelfRow] = {}

    def rows(self) -> list[ShelfRow]:
        """Everything, by origin and name; files that changed are read again."""
        catalogue = self._opened()
        catalogue.refresh()
        found = [
            ShelfRow(
                entry.name,
                "bundled" if entry.origin == "bundled" else "directory",
                entry.source,
                entry.schema,
                entry.problem,
            )
            for entry in catalogue.entries()
        ]
        if all(row.name != MDF for row in found):
            found.append(ShelfRow(MDF, "bundled", "declared MDF schema", _declared()))
        with self._lock:
            return [*found, *self._met.values()]

    def row(self, name: str) -> ShelfRow:
        """The line of this name, or of a file by its path.

        Raises:
            InputError: there is none.
        """
        for row in self.rows():
            if row.name == name:
                return row
        return self.open_file(Path(name))

    def schema(self, name: str) -> AnySchema:
        """The schema of this name, or in a file.

        Raises:
            InputError: there is none, or it cannot be used.
        """
        row = self.row(name)
        if row.schema is None:
            raise InputError(f"the schema {row.name} cannot be used: {row.note}", next_step="choose another")
        return row.schema

    def open_file(self, path: Path) -> ShelfRow:
        """Put a `.fbs`, `.bfbs`, Arrow or Parquet file into the list.

        Raises:
            InputError: no such schema or file, or it cannot be used.
        """
        path = path.expanduser()
        if not path.is_file():
            raise InputError(
                f"no schema and no file {safe_text(str(path))}", next_step="name one of the list, or a file"
            )
        return self._keep(ShelfRow(path.name, "file", str(path), load(path, path.name)))

    def add_flight(self, plan: str, uri: str, schema: pa.Schema) -> None:
        """Put what a server promised into the list."""
        name = safe_text(f"{plan}@{uri.partition('://')[2]}")
        self._keep(ShelfRow(name, "flight", uri, AnySchema(name, f"{uri}/{plan}", arrow=schema)))

    def compare(self, old: str, new: str) -> Comparison:
        """Each difference from `old` to `new`.

        Raises:
            InputError: one is not there.
            CheckError: they are of two languages.
        """
        before, after = self.schema(old), self.schema(new)
        return Comparison(before, after, diff(before, after))

    def mapping(self, name: str) -> Sequence[MappedField]:
        """Events (`FlatMolecule`) against an Arrow schema; that of the MDF format for a FlatBuffers one.

        Raises:
            InputError: no such schema.
            CheckError: a FlatBuffers schema without the table of molecules.
        """
        from atom_console.schema.mapping import compare_with_arrow

        chosen = self.schema(name)
        events = chosen if chosen.flat is not None else self.schema(EVENTS)
        arrow = chosen if chosen.arrow is not None else _declared()
        assert events.flat is not None
        try:
            return compare_with_arrow(events.flat, MOLECULE, arrow.arrow)
        except KeyError:
            raise CheckError(
                f"{events.name} has no table {MOLECULE}: it holds no molecules", next_step=f"choose {EVENTS}, or Arrow"
            ) from None

    def fits(self, payload: bytes) -> list[Candidate]:
        """FlatBuffers schemas of the list, the one that explains the payload best first."""
        flat = [row.schema for row in self.rows() if row.origin != "topic" and row.schema is not None]
        return best_fit(payload, [schema for schema in flat if schema.flat is not None])

    def sample_topics(self, topics: Iterable[str]) -> int:
        """Look at the newest records of each topic, and note which schema explains them.

        Returns:
            How many topics had records.

        Raises:
            UnreachableError: no broker answers.
        """
        looked = 0
        for topic in topics:
            row = self._sampled(topic)
            looked += row.schema is not None
            self._keep(row)
        return looked

    def _sampled(self, topic: str) -> ShelfRow:
        from atom_console.kafka.tail import Start, tail

        source = f"the newest records of {topic}"
        try:
            records = tail(
                self._kafka,
                topic,
                start=Start("newest", _SAMPLE),
                follow=False,
                limit=_SAMPLE,
                timeout_s=_TIMEOUT_S,
                stall_s=_TIMEOUT_S,
            )
            payloads = [record.value for record in records if record.value is not None]
        except UnreachableError:
            raise
        except AtomError as error:
            return ShelfRow(topic, "topic", source, None, safe_text(error.what))
        if not payloads:
            return ShelfRow(topic, "topic", source, None, "no records yet")
        best = [found[0] for payload in payloads if (found := self.fits(payload))]
        name, _ = Counter(candidate.schema.name for candidate in best).most_common(1)[0]
        chosen = next(candidate.schema for candidate in best if candidate.schema.name == name)
        sound = {Fit.FITS, Fit.OLDER_WRITER}
        fits = sum(one.schema.name == name and one.examination.fit in sound for one in best)
        others = [one.examination for one in best if one.schema.name != name or one.examination.fit not in sound]
        note = f"{name}: {fits} of {len(payloads)} fit"
        if others:
            note += f"; else {others[0].fit}: {others[0].why}"
        return ShelfRow(topic, "topic", source, chosen if fits else None, safe_text(note, 400), bool(others))

    def _keep(self, row: ShelfRow) -> ShelfRow:
        with self._lock:
            self._met[f"{row.origin}:{row.name}"] = row
        return row

    def _opened(self) -> Catalogue:
        from atom_console.schema.catalogue import Catalogue

        with self._lock:
            if self._catalogue is None:
                self._catalogue = Catalogue(self._directories)
            return self._catalogue


def _declared() -> AnySchema:
    from atom_console.flight.mdf import MDF_SCHEMA

    return AnySchema(MDF, "declared MDF schema", arrow=MDF_SCHEMA)
