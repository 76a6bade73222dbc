"""Publishes until it is killed; each line on stdout is an event that was accepted, and the depth of the queue."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from atom_console import Producer
from tests.e2e.delivery import many_events, settings_for


def main(bootstrap: str, topic: str, mode: str, directory: str, seed: str) -> None:
    settings = settings_for(bootstrap, topic, dlq={"mode": mode})
    producer = Producer(settings, component="child", dlq_dir=Path(directory))
    for event in many_events(10_000_000, seed=int(seed)):
        producer.publish(event)
        os.write(1, f"{event['event_id']} {producer.snapshot().in_flight}\n".encode())


if __name__ == "__main__":
    main(*sys.argv[1:])
