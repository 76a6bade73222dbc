"""Whether a stream is what GetSchema promised: nothing in the protocol ties the two calls together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from atom_console.errors import CheckError
from atom_console.schema.arrow_diff import diff_arrow

if TYPE_CHECKING:
    import pyarrow as pa

    from atom_console.schema.changes import Change

_SHOWN = 3


class SchemaMismatchError(CheckError):
    """The stream's schema differs from the promised one.

    Attributes:
        changes: each difference from the promised to the received schema.
    """

    def __init__(self, what: str, changes: Sequence[Change]) -> None:
        super().__init__(what, next_step="Look at the differences; go on with the stream's schema only on purpose.")
        self.changes = tuple(changes)


def check_stream(promised: pa.Schema, received: pa.Schema, where: str) -> None:
    """Compare name, type, nullability, order and metadata of each field, at any depth.

    Raises:
        SchemaMismatchError: they differ.
    """
    if promised.equals(received, check_metadata=True):
        return
    changes = diff_arrow(promised, received)
    shown = "; ".join(f"{c.path or 'schema'}: {c.kind} ({c.before} → {c.after})" for c in changes[:_SHOWN])
    more = f" and {len(changes) - _SHOWN} more" if len(changes) > _SHOWN else ""
    raise SchemaMismatchError(f"{where} streams another schema than it promised: {shown}{more}", changes)
