"""Columns of molecules as the words of their tables: what one event of many molecules and a batch of events share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from atom_console.events.arrow_input import Column, RowPath, wire_column
from atom_console.events.column_text import Texts, texts_of
from atom_console.events.layout import (
    HASH_BYTES,
    HASH_OFFSET,
    MOLECULE_FIELDS,
    MOLECULE_OFFSETS,
    MOLECULE_SIZE,
)

ROW_WORDS: Final = MOLECULE_SIZE // 8
# The upper halves of words 0 and 2 of a molecule table are constant.
HASH_OFFSET_WORD: Final = HASH_OFFSET << 32
_HASH_SIZE_WORD: Final = HASH_BYTES << 32
_TEXT_FIELDS: Final = (2, 5)


class MoleculeRows:
    """Molecules by column: the words of their tables (a constant or a column each), presence, strings."""

    def __init__(self, arrays: Mapping[str, Any], count: int, path: RowPath) -> None:
        self.words: list[Any] = [0] * ROW_WORDS  # an int, or a column of uint64
        self.texts: list[tuple[int, Texts]] = []
        self.presence: Any = 0  # bits for all rows, or uint8 a row
        for slot, name in enumerate(MOLECULE_FIELDS):
            if name in arrays:
                column = wire_column(arrays[name], name, lambda row, name=name: f"{path(row)}.{name}")  # type: ignore[misc]
                if column is not None:
                    self._add(slot, column)
        self.words[2] = self.words[2] | np.uint64(_HASH_SIZE_WORD)
        self.count = count

    def _add(self, slot: int, column: Column) -> None:
        valid = column.valid
        self.presence = self.presence | (1 << slot if valid is None else valid << slot)
        if slot in _TEXT_FIELDS:
            texts = texts_of(column)
            if len(texts.starts):
                self.texts.append((slot, texts))
        elif slot == 0:
            pairs = column.numbers("<u8", 2).reshape(-1, 2)
            pairs = pairs if valid is None else pairs * valid[:, None]
            self.words[3], self.words[4] = pairs[:, 0], pairs[:, 1]
        elif slot == 4:
            truths = column.truths()
            self.words[2] = (truths if valid is None else truths & valid).astype(np.uint64)
        else:
            numbers = column.numbers("<u8")  # zero under nulls: no stale byte leaks
            self.words[MOLECULE_OFFSETS[slot] >> 3] = numbers if valid is None else numbers * valid
