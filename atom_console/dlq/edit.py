"""A new revision of a record: decoded, changed, rebuilt, verified. What came stays as revision 0, for good.

The event keeps its id only where the original provably never reached the broker; otherwise it gets a new one, and the
old one travels in the header `x-atom-edited-from`, so that nobody takes two different events for one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from atom_console.dlq import audit
from atom_console.dlq.errors import FilterError, IllegalTransitionError, StaleRecordError
from atom_console.dlq.headers import Headers, encode_headers, payload_digest
from atom_console.dlq.ids import event_hash, id_text, key_hash, uuid7
from atom_console.dlq.normalise import event_facts
from atom_console.dlq.record import RecordDetail, State
from atom_console.dlq.replay.items import EDITED_HEADER
from atom_console.dlq.states import Change, held_by_windows, transition
from atom_console.dlq.text import storable
from atom_console.dlq.times import now_ms
from atom_console.errors import RefusedError
from atom_console.events import DecodeError, decode, encode
from atom_console.events.jsonl import from_json, to_json
from atom_console.events.payload import headers_of

if TYPE_CHECKING:
    import apsw

    from atom_console.config import Settings
    from atom_console.dlq.store import Store

_EDITABLE: Final = (State.CAPTURED, State.READY, State.QUARANTINED, State.FAILED)


@dataclass(frozen=True, slots=True)
class Difference:
    """One field that changes; None = absent before or after. `path` such as `molecules[0].numeric_value`.

    `security_mask`: the access bits of the molecule, before and after together; show it to nobody without them.
    """

    path: str
    before: Any
    after: Any
    security_mask: int = 0


@dataclass(frozen=True, slots=True)
class Edit:
    """A change that is worked out and not stored yet.

    Attributes:
        record_id: whose; seq, version: as it was looked at.
        value, key, headers: the new bytes.
        event_id: of the new event.
        new_id: the event got a new id.
        differences: what changes, in the order of the fields.
    """

    record_id: str
    seq: int
    version: int
    value: bytes
    key: bytes | None
    headers: Headers
    event_id: str | None
    new_id: bool
    differences: tuple[Difference, ...]


@dataclass(frozen=True, slots=True)
class StoredEdit:
    """What was stored."""

    record_id: str
    rev: int
    event_id: str | None


def current_document(record: RecordDetail) -> dict[str, Any]:
    """The event of a record in its JSON form, to be changed.

    Raises:
        FilterError: the payload is no event.
    """
    value = record.current.value
    if value is None:
        raise FilterError(f"record {record.row.id} is a tombstone: there is nothing to edit")
    try:
        return to_json(decode(value))
    except DecodeError as error:
        raise FilterError(f"record {record.row.id} is not an event: {error.what}") from error


def document_text(record: RecordDetail, clearance: int) -> str:
    """`current_document` as JSON to be changed by hand; what no terminal should be sent stands as `\\uXXXX`.

    Raises:
        FilterError: the payload is no event, or `clearance` does not open all of its molecules.
    """
    document = current_document(record)
    hidden = sum(bool(_bits(molecule) & ~clearance) for molecule in document.get("molecules") or ())
    if hidden:
        raise FilterError(
            f"record {record.row.id}: {hidden} of its molecules are masked for you",
            next_step="Use --rules, which shows nobody anything, or a profile whose clearance opens them.",
        )
    text = json.dumps(document, indent=2, ensure_ascii=False)
    return "".join(char if char.isprintable() or char == "\n" else json.dumps(char)[1:-1] for char in text) + "\n"


def document_from_text(text: str) -> dict[str, Any]:
    """The way back.

    Raises:
        FilterError: not JSON, with the line and column, or not an object.
    """
    try:
        document = json.loads(text)
    except ValueError as error:
        raise FilterError(f"not JSON: {error}") from error
    if not isinstance(document, dict):
        raise FilterError("not a JSON object")
    return document


def prepare(record: RecordDetail, document: Mapping[str, Any]) -> Edit:
    """Work out an edit; nothing is stored.

    Args:
        document: the whole changed event, in its JSON form.

    Raises:
        EncodeError: a field that no event can have.
        IllegalTransitionError: the record's state does not allow it.
        FilterError: the payload is no event, or nothing changes.
    """
    if State(record.row.state) not in _EDITABLE:
        raise IllegalTransitionError(
            f"record {record.row.id} is {record.row.state} and cannot be edited",
            next_step="Restore it, or wait until its outcome is known.",
        )
    before = current_document(record)
    event = from_json(dict(document))
    differences = tuple(_differences(before, to_json(event), ""))
    if not differences:
        raise FilterError(f"record {record.row.id}: the edit changes nothing")
    old_id, headers = before.get("event_id"), record.current.headers
    new_id = False
    if (record.row.maybe_persisted or record.row.attempts) and event.event_id == old_id:
        event.event_id, new_id = id_text(uuid7()[0]), True
    if event.event_id != old_id and old_id is not None:
        headers = (*(pair for pair in headers if pair[0] != EDITED_HEADER), (EDITED_HEADER, old_id.encode()))
    value = encode(event)
    if to_json(decode(value)) != to_json(event):
        raise FilterError(f"record {record.row.id}: what was written does not read back as what was meant")
    key = record.current.key
    old_tenant = before.get("tenant_id")
    if key is not None and old_tenant is not None and key == old_tenant.encode():
        key = None if event.tenant_id is None else event.tenant_id.encode()
    return Edit(
        record.row.id, record.row.seq, record.row.version, value, key, _rebuilt(headers, value), event.event_id, new_id,
        differences,
    )  # fmt: skip


def not_allowed(settings: Settings) -> RefusedError:
    """What is raised where the profile does not allow edits."""
    return RefusedError(
        f"profile {settings.profile} does not allow edits", next_step="set dlq.allow_edit in a profile that may"
    )


def store_edit(store: Store, settings: Settings, edit: Edit, reason: str) -> StoredEdit:
    """Store the new revision; a quarantined or failed record becomes ready.

    Raises:
        RefusedError: the profile does not allow edits, or is read-only.
        FilterError: no reason.
        StaleRecordError: the record changed since the edit was worked out.
        IllegalTransitionError: a replay holds it.
    """
    if settings.read_only or not settings.edits_allowed:
        raise not_allowed(settings)
    if not reason.strip():
        raise FilterError("an edit needs a reason", next_step="Give one sentence with --reason.")
    return store.run(lambda conn: _store(conn, edit, reason))


def _store(conn: apsw.Connection, edit: Edit, reason: str) -> StoredEdit:
    row: Any = conn.execute("SELECT version, state, rev FROM record WHERE seq = ?", (edit.seq,)).fetchone()
    if row is None or row[0] != edit.version:
        raise StaleRecordError(f"record {edit.record_id} changed since it was read", next_step="Look at it again.")
    if edit.seq in held_by_windows(conn):
        raise IllegalTransitionError(f"record {edit.record_id} is being sent by a replay", next_step="Wait for it.")
    version, state, rev = row[0], State(row[1]), row[2] + 1
    actor, at = audit.present_actor(), now_ms()
    headers = encode_headers(edit.headers)
    sha = payload_digest(edit.key, edit.value, headers)
    before: Any = conn.execute(
        "SELECT sha256 FROM (SELECT sha256, rev FROM revision WHERE seq = ?1 UNION ALL SELECT sha256, 0 FROM payload"
        " WHERE seq = ?1) ORDER BY rev DESC LIMIT 1",
        (edit.seq,),
    ).get
    why = storable(reason)
    conn.execute(
        "INSERT INTO revision VALUES (?,?,?,?,?,?,?,?,?,?)",
        (edit.seq, rev, edit.key, edit.value, headers, sha, edit.event_id, actor.os_user, why, at),
    )
    facts = event_facts(edit.value)
    hashed = None if edit.key is None else key_hash(edit.key)
    conn.execute(
        "UPDATE record SET rev = ?, version = version + 1, event_id = ?, event_type = ?, event_ts = ?, key_hash = ?,"
        " size_bytes = ? WHERE seq = ?",
        (
            rev, facts.event_id, facts.type, facts.timestamp, hashed,
            len(edit.key or b"") + len(edit.value) + len(headers), edit.seq,
        ),
    )  # fmt: skip
    hashes = [
        one for one in (hashed, None if facts.event_id is None else event_hash(facts.event_id)) if one is not None
    ]
    conn.executemany("INSERT OR IGNORE INTO lookup VALUES (?, ?)", ((one, edit.seq) for one in hashes))
    audit.append(
        conn, actor=actor, at=at, action="edit", subject=f"{edit.record_id} revision {rev}", records=1,
        before_sha=before, after_sha=sha, reason=why, seqs=(edit.seq,),
    )  # fmt: skip
    if state in (State.QUARANTINED, State.FAILED, State.CAPTURED):
        change = [Change(edit.seq, version + 1)]
        transition(conn, change, State.READY, reason=f"edited: {why}", actor=actor, now_ms=at)
    return StoredEdit(edit.record_id, rev, edit.event_id)


def _rebuilt(headers: Headers, value: bytes) -> Headers:
    """The headers that follow from the event (trace id, type) as the new event has them, in their old places."""
    fresh = dict(headers_of(value))
    return tuple((name, fresh.get(name, old)) for name, old in headers)


def _differences(before: Any, after: Any, path: str, mask: int = 0) -> list[Difference]:
    found: list[Difference] = []
    if isinstance(before, list) and isinstance(after, list):
        for index in range(max(len(before), len(after))):
            old, new = (one[index] if index < len(one) else None for one in (before, after))
            bits = mask | _bits(old) | _bits(new)
            found += _differences(old, new, f"{path}[{index}]", bits)
    elif isinstance(before, dict) and isinstance(after, dict):
        for name in dict.fromkeys((*before, *after)):
            found += _differences(before.get(name), after.get(name), f"{path}.{name}" if path else name, mask)
    elif before != after:
        found.append(Difference(path, before, after, mask))
    return found


def _bits(molecule: Any) -> int:
    return int(molecule.get("security_mask") or 0) if isinstance(molecule, dict) else 0
