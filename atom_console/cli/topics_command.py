"""`topics`: what a cluster holds, how fast it grows, who is behind."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from atom_console.cli.frame import CliContext, Command, json_option, pass_context
from atom_console.cli.output import print_json, print_table, say

if TYPE_CHECKING:
    from atom_console.kafka.cluster_view import ClusterView, Group, Watermarks


@click.command(cls=Command, examples=("atom-console topics", "atom-console topics atom.write.raw --json"))
@click.argument("name", required=False)
@click.option(
    "--seconds", type=click.FloatRange(0.1, 60), default=1.0, show_default=True, help="Between the two reads of a rate."
)
@json_option
@pass_context
def topics(cli: CliContext, name: str | None, seconds: float) -> None:
    """Topics with partitions and rates (from two watermark reads), and consumer groups with their lag.

    `messages` is high minus low watermark: an upper bound where the topic is compacted or written in transactions.
    """
    from atom_console.kafka.cluster import ClusterReader
    from atom_console.kafka.cluster_view import rates

    with ClusterReader(cli.kafka()) as reader:
        if name is not None:
            reader.topic(name)
        view = reader.view()
        names = [name] if name is not None else [topic for topic in view.topics if not topic.startswith("__")]
        before = reader.watermarks(names)
        time.sleep(seconds)
        after = reader.watermarks(names)
        groups = reader.groups(after)
    if name is not None:
        groups = tuple(group for group in groups if name in group.lag_by_topic)
    growth = rates(before, after)
    if cli.json:
        print_json(_document(view, names, after, growth, groups))
    else:
        _print(view, names, after, growth, groups)


def _document(
    view: ClusterView, names: list[str], marks: Watermarks, growth: dict[str, float | None], groups: tuple[Group, ...]
) -> dict[str, object]:
    return {
        "cluster_id": view.cluster_id,
        "brokers": [{"id": broker.node_id, "address": broker.address} for broker in view.brokers],
        "topics": [
            {
                "name": name,
                "partitions": len(view.topics[name].partitions),
                "messages": marks.messages(name),
                "rate_per_s": growth.get(name),
                "under_replicated": view.topics[name].under_replicated,
                "error": view.topics[name].error,
            }
            for name in names
        ],
        "groups": [
            {"id": g.group_id, "state": g.state, "lag": g.lag, "lag_by_topic": dict(g.lag_by_topic), "error": g.error}
            for g in groups
        ],
    }


def _print(
    view: ClusterView, names: list[str], marks: Watermarks, growth: dict[str, float | None], groups: tuple[Group, ...]
) -> None:
    if not names:
        say("the cluster lists no topics, or hides them from this principal")
    else:
        rows = []
        for name in names:
            topic, rate = view.topics[name], growth.get(name)
            state = topic.error or (f"{topic.under_replicated} under-replicated" if topic.under_replicated else "ok")
            per_s = "?" if rate is None else f"{rate:,.1f}"
            held = marks.messages(name)
            rows.append((name, len(topic.partitions), "?" if held is None else f"{held:,}", per_s, state))
        print_table(("TOPIC", "PARTITIONS", "MESSAGES", "PER SECOND", "STATE"), rows)
    if groups:
        print_table(
            ("GROUP", "STATE", "LAG"), ((g.group_id, g.state, "?" if g.lag is None else f"{g.lag:,}") for g in groups)
        )
