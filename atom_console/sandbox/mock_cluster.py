"""A Kafka cluster without Kafka: librdkafka's mock brokers in a child process, with faults on demand."""

from __future__ import annotations

import json
import selectors
import subprocess
import sys
from collections.abc import Sequence
from threading import Lock
from types import TracebackType
from typing import Any, Final, Self

from atom_console.errors import UnreachableError
from atom_console.sandbox.librdkafka import MockUnavailableError

PRODUCE: Final = 0
"""The API key of Produce requests (Kafka protocol), the usual target of injected errors."""
ALL_BROKERS: Final = -1
_ANSWER_S: Final = 10.0


class MockCluster:
    """Mock brokers on loopback ports. Any Kafka client can connect; topics are created on first use (4 partitions).

    What it is not: no TLS, no SASL, no admin requests, at most 5 MiB a partition (the oldest go silently), and an empty
    fetch waits for the whole `fetch.wait.max.ms`. Safe to command from several threads.

    Args:
        brokers: how many, at least one.

    Raises:
        MockUnavailableError: the installed librdkafka has no suitable mock cluster.
    """

    def __init__(self, brokers: int = 1) -> None:
        self._lock = Lock()
        self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
            [sys.executable, "-m", "atom_console.sandbox.mock_server", str(brokers)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )
        try:
            hello = self._answer()
        except UnreachableError:
            self.close()
            raise
        if "error" in hello:
            self.close()
            raise MockUnavailableError(hello["error"], next_step=hello["next_step"])
        self.bootstrap_servers: str = hello["bootstrap_servers"]
        """Addresses for `bootstrap.servers`."""

    @property
    def pid(self) -> int:
        """The child process."""
        return self._process.pid

    def topic(self, name: str, partitions: int = 1, replication: int = 1) -> None:
        """Create a topic."""
        self._command("topic", name, partitions, replication)

    def topic_error(self, name: str, code: int) -> None:
        """Answer metadata requests for a topic with a Kafka error code (29: not authorised); 0 heals it."""
        self._command("topic_error", name, code)

    def errors(self, *codes: int, api_key: int = PRODUCE) -> None:
        """Answer the next requests of a kind with these codes, one each; -195 closes the connection."""
        self._command("errors", api_key, codes)

    def clear(self, api_key: int = PRODUCE) -> None:
        """Forget injected errors that were not used yet."""
        self._command("clear", api_key)

    def down(self, broker: int = ALL_BROKERS) -> None:
        """Close the connections and take no new ones."""
        self._command("down", broker)

    def up(self, broker: int = ALL_BROKERS) -> None:
        """Take connections again."""
        self._command("up", broker)

    def rtt(self, ms: int, broker: int = ALL_BROKERS) -> None:
        """Delay every answer by milliseconds."""
        self._command("rtt", broker, ms)

    def leader(self, topic: str, partition: int, broker: int) -> None:
        """Move the leader of a partition."""
        self._command("leader", topic, partition, broker)

    def track(self) -> None:
        """Begin to note requests, from none."""
        self._command("track")

    def requests(self) -> Sequence[int]:
        """The API keys of the requests since `track`, in order."""
        keys: list[int] = self._command("requests")
        return keys

    def close(self) -> None:
        """Stop the brokers; safe to call twice."""
        process = self._process
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                try:
                    pipe.close()
                except BrokenPipeError:
                    continue
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _command(self, name: str, *arguments: Any) -> Any:
        with self._lock:
            try:
                assert self._process.stdin is not None
                self._process.stdin.write(json.dumps({"command": name, "arguments": arguments}) + "\n")
                self._process.stdin.flush()
            except (BrokenPipeError, ValueError):
                raise self._gone() from None
            result = self._answer()["result"]
        # Most commands answer with a Kafka error code, 0 where it worked.
        if isinstance(result, int) and result != 0:
            raise UnreachableError(f"the mock cluster refused {name} {list(arguments)}: code {result}")
        return result

    def _answer(self) -> dict[str, Any]:
        pipe = self._process.stdout
        assert pipe is not None
        with selectors.DefaultSelector() as selector:
            selector.register(pipe, selectors.EVENT_READ)
            line = pipe.readline() if selector.select(_ANSWER_S) else ""
        if not line:
            raise self._gone()
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _gone(self) -> UnreachableError:
        return UnreachableError(
            f"the mock cluster (process {self._process.pid}) does not answer", next_step="start the sandbox again"
        )
