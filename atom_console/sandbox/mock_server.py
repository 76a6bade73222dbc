"""The child process that holds the mock cluster: commands as JSON lines on stdin, one JSON line of answer each.

It ends when stdin ends, so it never outlives the process that started it.
"""

from __future__ import annotations

import ctypes
import json
import sys
from collections.abc import Callable
from ctypes import c_int, c_size_t
from typing import Any

from atom_console.errors import AtomError
from atom_console.sandbox.librdkafka import load

Command = Callable[..., Any]


class Server:
    """A librdkafka mock cluster in this process."""

    def __init__(self, brokers: int) -> None:
        self._library = library = load()
        why = ctypes.create_string_buffer(512)
        conf = library.rd_kafka_conf_new()
        library.rd_kafka_conf_set(conf, b"log_level", b"0", why, len(why))
        self._client = library.rd_kafka_new(0, conf, why, len(why))
        if not self._client:
            raise AtomError(f"librdkafka did not start: {why.value.decode(errors='replace')}")
        self._cluster = library.rd_kafka_mock_cluster_new(self._client, brokers)
        if not self._cluster:
            raise AtomError("the mock cluster did not start")
        library.rd_kafka_mock_group_initial_rebalance_delay_ms(self._cluster, 0)
        self.bootstrap_servers: str = library.rd_kafka_mock_cluster_bootstraps(self._cluster).decode()
        self.commands: dict[str, Command] = {
            "topic": self._topic,
            "topic_error": self._topic_error,
            "errors": self._errors,
            "clear": self._clear,
            "down": self._down,
            "up": self._up,
            "rtt": self._rtt,
            "leader": self._leader,
            "track": self._track,
            "requests": self._requests,
        }

    def close(self) -> None:
        """Stop the brokers."""
        self._library.rd_kafka_mock_cluster_destroy(self._cluster)
        self._library.rd_kafka_destroy(self._client)

    def _topic(self, name: str, partitions: int, replication: int) -> int:
        return int(self._library.rd_kafka_mock_topic_create(self._cluster, name.encode(), partitions, replication))

    def _topic_error(self, name: str, code: int) -> int:
        self._library.rd_kafka_mock_topic_set_error(self._cluster, name.encode(), code)
        return 0

    def _errors(self, api_key: int, codes: list[int]) -> int:
        array = (c_int * len(codes))(*codes)
        self._library.rd_kafka_mock_push_request_errors_array(self._cluster, api_key, len(codes), array)
        return 0

    def _clear(self, api_key: int) -> int:
        self._library.rd_kafka_mock_clear_request_errors(self._cluster, api_key)
        return 0

    def _down(self, broker: int) -> int:
        return int(self._library.rd_kafka_mock_broker_set_down(self._cluster, broker))

    def _up(self, broker: int) -> int:
        return int(self._library.rd_kafka_mock_broker_set_up(self._cluster, broker))

    def _rtt(self, broker: int, ms: int) -> int:
        return int(self._library.rd_kafka_mock_broker_set_rtt(self._cluster, broker, ms))

    def _leader(self, topic: str, partition: int, broker: int) -> int:
        return int(self._library.rd_kafka_mock_partition_set_leader(self._cluster, topic.encode(), partition, broker))

    def _track(self) -> int:
        self._library.rd_kafka_mock_start_request_tracking(self._cluster)
        self._library.rd_kafka_mock_clear_requests(self._cluster)
        return 0

    def _requests(self) -> list[int]:
        """The API keys of the requests seen since `track`, in order."""
        count = c_size_t()
        array = self._library.rd_kafka_mock_get_requests(self._cluster, ctypes.byref(count))
        keys = [int(self._library.rd_kafka_mock_request_api_key(array[index])) for index in range(count.value)]
        if count.value:
            self._library.rd_kafka_mock_request_destroy_array(array, count)
        return keys


def main(brokers: int) -> int:
    """Serve until stdin ends or `quit` comes."""
    try:
        server = Server(brokers)
    except AtomError as error:
        _answer({"error": error.what, "next_step": error.next_step})
        return 1
    _answer({"bootstrap_servers": server.bootstrap_servers})
    for line in sys.stdin:
        request = json.loads(line)
        if request["command"] == "quit":
            break
        _answer({"result": server.commands[request["command"]](*request["arguments"])})
    server.close()
    return 0


def _answer(document: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(document) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
