"""The producer without a screen: `python -m benchmarks.paced_producer FILE RATE COUNT` prints its p99 to the
acknowledgement, ms. Like the console it is connected, and has seen one event acknowledged, before the workload begins.
"""

from __future__ import annotations

import sys
from pathlib import Path

from atom_console.config import load
from atom_console.engine import sources
from atom_console.engine.feed import feed
from atom_console.engine.producer import Producer
from atom_console.events import encode_mapping
from atom_console.sandbox.workload import Workload


def main(path: Path, rate: float, count: int) -> float | None:
    """p99 of the paced events."""
    with Producer(load().settings, component="bench") as producer:
        producer.publish_payloads([encode_mapping(Workload().event())])
        producer.wait_for_reports(20)
        feed(producer, sources.read(path, "jsonl"), pacer=sources.Pacer(rate), limit=count)
        producer.wait_for_reports(20)
        return producer.snapshot().ack.p99_ms


if __name__ == "__main__":
    print(main(Path(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3])))
