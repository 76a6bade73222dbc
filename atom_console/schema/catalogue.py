"""The catalogue: bundled schemas, those of the user's directories (read again when they change), and what was added.

Nothing is watched by a thread: `refresh` looks at names, sizes and times of change, which costs a directory listing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from threading import Lock
from typing import Literal

from atom_console.errors import AtomError, InputError
from atom_console.resources import resource_dir
from atom_console.schema.loading import SUFFIXES, AnySchema, load

Origin = Literal["bundled", "directory", "added"]
_Stamp = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of the catalogue.

    Attributes:
        problem: why it cannot be used, or empty.
    """

    name: str
    origin: Origin
    source: str
    schema: AnySchema | None
    problem: str = ""


class Catalogue:
    """Schemas by name; safe to use from several threads.

    Names are those of the files without extension. Where a directory has `x.fbs` and `x.bfbs`, the compiled one counts;
    a user's schema hides a bundled one of the same name.

    Args:
        directories: the user's; later ones hide earlier ones.
    """

    def __init__(self, directories: Iterable[Path] = ()) -> None:
        self._directories: list[tuple[Origin, Path]] = [("bundled", resource_dir("schemas"))]
        self._directories += [("directory", Path(directory)) for directory in directories]
        self._lock = Lock()
        self._files: dict[Path, tuple[_Stamp, Entry]] = {}
        self._added: dict[str, Entry] = {}
        self.refresh()

    def refresh(self) -> bool:
        """Look at the directories again.

        Returns:
            Whether anything had changed.
        """
        with self._lock:
            seen: dict[Path, tuple[_Stamp, Entry]] = {}
            for origin, directory in self._directories:
                for path, stamp in _list(directory).items():
                    known = self._files.get(path)
                    seen[path] = known if known is not None and known[0] == stamp else (stamp, _entry(path, origin))
            changed = seen != self._files
            self._files = seen
            return changed

    def add(self, schema: AnySchema) -> None:
        """Keep a schema that has no file here: from Flight, or seen on a topic."""
        with self._lock:
            self._added[schema.name] = Entry(schema.name, "added", schema.source, schema)

    def entries(self) -> list[Entry]:
        """Everything, by name, what cannot be used included."""
        with self._lock:
            found = {entry.name: entry for _, entry in self._files.values()} | self._added
        return [found[name] for name in sorted(found)]

    def get(self, name: str) -> AnySchema:
        """A schema by its name, or from a file by its path.

        Raises:
            InputError: neither, or it cannot be used.
        """
        for entry in self.entries():
            if entry.name == name:
                if entry.schema is None:
                    raise InputError(
                        f"the schema {name} cannot be used: {entry.problem}", next_step="Correct the file."
                    )
                return entry.schema
        path = Path(name)
        if path.suffix in SUFFIXES or path.is_file():
            return load(path)
        names = [entry.name for entry in self.entries()]
        near = get_close_matches(name, names, n=1)
        hint = f"Did you mean {near[0]}?" if near else f"There are {', '.join(names)}; or give a file."
        raise InputError(f"no schema {name!r} in the catalogue", next_step=hint)

    def flat(self) -> list[AnySchema]:
        """Every FlatBuffers schema that can be used."""
        return [entry.schema for entry in self.entries() if entry.schema is not None and entry.schema.flat is not None]


def _list(directory: Path) -> dict[Path, _Stamp]:
    """The schema files of a directory, one for each name, the compiled one where there are two."""
    try:
        paths = sorted(path for path in directory.iterdir() if path.suffix in SUFFIXES)
    except OSError:
        return {}  # not there yet, or not any more: it is looked for again next time
    chosen: dict[str, Path] = {}
    for path in sorted(paths, key=lambda path: SUFFIXES.index(path.suffix)):
        chosen.setdefault(path.stem, path)
    stamps: dict[Path, _Stamp] = {}
    for path in chosen.values():
        try:
            about = path.stat()
        except OSError:
            continue
        stamps[path] = (about.st_mtime_ns, about.st_size)
    return stamps


def _entry(path: Path, origin: Origin) -> Entry:
    try:
        return Entry(path.stem, origin, str(path), load(path))
    except AtomError as error:
        return Entry(path.stem, origin, str(path), None, error.what)
