"""Dead letters as JSON documents and as lines for people; field names are a contract."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from typing import TYPE_CHECKING

from atom_console.cli.output import print_fields, print_line, to_json
from atom_console.safe_text import safe_text
from atom_console.times import format_ms

if TYPE_CHECKING:
    from atom_console.dlq.record import Group, RecordDetail, RecordRow, Stats
    from atom_console.dlq.view import View


def row_document(record: RecordRow) -> dict[str, object]:
    """One record of `dlq ls`."""
    return {
        "id": record.id,
        "state": record.state,
        "state_reason": record.state_reason,
        "class": record.err_class,
        "code": record.err_name,
        "code_number": record.err_code,
        "topic": record.topic,
        "key_preview": None if record.key_preview is None else safe_text(record.key_preview, 64),
        "tenant_id": record.tenant_id,
        "event_id": record.event_id,
        "captured_at": format_ms(record.captured_at),
        "size_bytes": record.size_bytes,
        "attempts": record.attempts,
        "maybe_persisted": record.maybe_persisted,
        "origin": record.origin,
        "fingerprint": record.fingerprint,
        "label": record.label,
        "version": record.version,
    }


def group_document(group: Group) -> dict[str, object]:
    """One group of `dlq groups`."""
    return {
        "fingerprint": group.fingerprint,
        "label": group.label,
        "class": group.err_class,
        "code": group.err_name,
        "origin": group.origin,
        "count": group.count,
        "bytes": group.bytes,
        "first_seen": format_ms(group.first_seen),
        "last_seen": format_ms(group.last_seen),
        "tenants": group.tenants,
        "topics": group.topics,
        "topic": group.topic,
        "states": dict(group.states),
    }


def stats_document(stats: Stats) -> dict[str, object]:
    """`dlq stats`."""
    leases = [
        {
            "name": lease.name,
            "owner": lease.owner,
            "host": lease.host,
            "pid": lease.pid,
            "purpose": lease.purpose,
            "acquired_at": format_ms(lease.acquired_at),
            "heartbeat_at": format_ms(lease.heartbeat_at),
            "fencing": lease.fencing,
        }
        for lease in stats.leases
    ]
    return {
        "total": stats.total,
        "depth": stats.depth,
        "by_state": dict(stats.by_state),
        "by_class": dict(stats.by_class),
        "bytes": stats.bytes,
        "oldest_at": None if stats.oldest_at is None else format_ms(stats.oldest_at),
        "growth_per_s": round(stats.growth_per_s, 3),
        "journal": stats.journal,
        "file_bytes": stats.file_bytes,
        "free_bytes": stats.free_bytes,
        "lease": leases[0] if leases else None,
    }


def detail_document(record: RecordDetail, seen: View) -> dict[str, object]:
    """`dlq show`."""
    row, current = record.row, record.current
    return {
        "record": {
            **row_document(row),
            "dlq_topic": record.dlq_topic,
            "dlq_partition": record.dlq_partition,
            "dlq_offset": record.dlq_offset,
            "dest_topic": row.topic,
            "orig_partition": record.orig_partition,
            "orig_offset": record.orig_offset,
            "orig_timestamp": None if record.orig_timestamp is None else format_ms(record.orig_timestamp),
            "payload_kind": record.payload_kind,
            "err_class": row.err_class,
            "err_name": row.err_name,
            "err_message": seen.message,
            "err_stack": seen.stack,
            "stage": record.stage,
            "component": record.component,
            "cluster_id": record.cluster_id,
            "key_base64": _base64(current.key),
            "headers": [[name, _base64(value)] for name, value in current.headers],
            "dlq_headers": [[name, _base64(value)] for name, value in seen.dlq_headers],
            "warnings": list(record.warnings),
            "masked": not seen.shown.whole,
            "meaning": _meaning(record),
        },
        "payload": {
            "sha256": current.sha256,
            "size_bytes": row.size_bytes,
            "revision": current.rev,
            "value_base64": _base64(seen.value),
            "undecodable": seen.shown.undecodable,
        },
        "event": seen.shown.event,
        "attempts": [
            {
                "run_id": a.run_id,
                "sent_at": format_ms(a.sent_at),
                "ended_at": None if a.ended_at is None else format_ms(a.ended_at),
                "outcome": a.outcome,
                "code": a.err_name,
                "partition": a.partition,
                "offset": a.offset,
            }
            for a in record.attempts
        ],
        "audit": [
            {
                "seq": a.seq,
                "at": format_ms(a.at),
                "user": a.os_user,
                "sudo_user": a.sudo_user,
                "ssh_client": a.ssh_client,
                "host": a.host,
                "pid": a.pid,
                "action": a.action,
                "subject": a.subject,
                "reason": a.reason,
            }
            for a in record.audit
        ],
    }


def print_detail(record: RecordDetail, seen: View) -> None:
    """`dlq show` for people."""
    row = record.row
    meaning = _meaning(record)
    print_fields(
        {
            "id": row.id,
            "state": f"{row.state}: {row.state_reason}" if row.state_reason else row.state,
            "what": f"{row.err_name}: {seen.message}",
            "meaning": meaning["meaning"],
            "next": meaning["next_step"],
            "arrived": "perhaps: the broker may hold it already" if row.maybe_persisted else "no",
            "goes to": row.topic,
            "key": record.current.key,
            "captured": f"{format_ms(row.captured_at)} by {record.component} ({record.stage})",
            "attempts": row.attempts,
            "bytes": f"{row.size_bytes:,}, sha256 {record.current.sha256}",
        }
    )
    for warning in record.warnings:
        print_line(f"warning  {warning}")
    for name, value in record.current.headers:
        print_line(f"header   {safe_text(name)}: {'null' if value is None else safe_text(value, 200)}")
    if seen.shown.event is not None:
        print_line(f"event    {to_json(seen.shown.event)}")
    elif seen.shown.undecodable and not seen.shown.whole:
        print_line(f"event    not an event ({seen.shown.undecodable}); masked as a whole: --reveal --reason R shows it")
    elif seen.value is not None:
        print_line(f"value    {seen.value[:256].hex(' ')}{' …' if len(seen.value) > 256 else ''}")
    if seen.shown.masked_molecules:
        print_line(
            f"masked   {seen.shown.masked_molecules} molecules ask for a clearance that this profile does not have"
        )
    for entry in record.audit:
        print_line(f"audit    {format_ms(entry.at)} {entry.os_user} {entry.action} {entry.reason}")


def _meaning(record: RecordDetail) -> dict[str, str | None]:
    from atom_console.kafka.delivery_errors import classify

    if record.row.err_code is None or record.row.origin != "local":
        return {"meaning": None, "next_step": None}
    verdict = classify(record.row.err_code, stage="delivery")
    return {"meaning": verdict.meaning, "next_step": verdict.next_step}


def _base64(value: bytes | None) -> str | None:
    return None if value is None else b64encode(value).decode()


def counts_line(states: Mapping[str, int]) -> str:
    """`ready 3 quarantined 1`."""
    return " ".join(f"{name} {count:,}" for name, count in states.items()) or "-"
