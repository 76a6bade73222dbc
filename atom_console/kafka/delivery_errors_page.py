"""`docs/delivery-errors.md`, written from the table: `python -m atom_console.kafka.delivery_errors_page`."""

from __future__ import annotations

import sys

from atom_console.kafka.delivery_errors import ErrorClass, rows

_HEAD = """# Delivery errors

Why an event did not reach the broker, as `dlq ls`, `dlq groups`, the screen and the log name it. The Python client
cannot tell what to do about an error (`retriable()` and `fatal()` are always False in delivery reports, and whether the
broker has the message is not exposed), so everything goes by the code and by this table. This page is generated
(`python -m atom_console.kafka.delivery_errors_page`). Codes below zero are librdkafka's own.

- **May be on the broker**: the event may have been written all the same. Replay looks it up before it is sent again.
  Where nothing had left this process (the queue was full, `produce` refused) the answer is always no.
- **Retried**: librdkafka tries again by itself; a report with this code means that the attempts are used up. As any of
  them may have been written, such an event may be on the broker. Most of these end as `_MSG_TIMED_OUT`.
- **Suspect**: the broker refuses a whole batch for one bad message. Each message of it is sent once more, alone; only
  what is refused alone is captured, the others are delivered. Where no time was left for that, the class is `unknown`.
- A message that a dead producer had on its way (`_PURGE_INFLIGHT` outside of a shutdown) is captured as `client_fatal`;
  one that was still in its queue goes on with the new producer, also where an earlier attempt may have been written.
- **Others twice**: after `_MSG_TIMED_OUT` librdkafka skips what timed out and begins a new producer epoch, of the whole
  producer. A batch that was written at that moment, and whose answer was lost with its connection, is then sent again
  as a new one: the broker cannot know it and holds it twice, while each event is reported as acknowledged once. The
  `event_id` is the same, so consumers that drop repeats are safe. Where nothing times out the same epoch goes on, and
  the broker drops the repeat (both measured, librdkafka 2.16 and Kafka 4.3). A longer time-out makes it rarer.
- A code that is not here is `unknown`, and may be on the broker.
"""

_CLASSES = {
    ErrorClass.OUTAGE: "Outage: passes by itself; ready for replay",
    ErrorClass.POISON: "Poison: the event itself; quarantined",
    ErrorClass.CONFIG: "Configuration: permissions, names, settings; quarantined until it is put right",
    ErrorClass.INNOCENT: "Innocent: another message's fault; ready for replay",
    ErrorClass.SHUTDOWN: "Shutdown: the producer was stopped; ready for replay",
    ErrorClass.CLIENT_FATAL: "Fatal for the client: a new producer takes over; ready for replay",
}


def page() -> str:
    """The whole page as Markdown."""
    parts = [_HEAD]
    for err_class, title in _CLASSES.items():
        lines = [
            f"| {row.code} | `{row.name}` | {row.meaning} | {'yes' if row.maybe_persisted else 'no'} "
            f"| {_notes(row.retried, row.suspect)} | {row.next_step} |"
            for row in rows()
            if row.err_class is err_class
        ]
        head = "| code | name | meaning | may be on the broker | | next step |\n|---|---|---|---|---|---|"
        parts.append("\n".join([f"## {title}\n", head, *lines]) + "\n")
    return "\n".join(parts)


def _notes(retried: bool, suspect: bool) -> str:
    return "retried" if retried else "suspect" if suspect else ""


if __name__ == "__main__":
    sys.stdout.write(page())
