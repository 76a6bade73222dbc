"""One real Kafka broker in a process of its own: start, stop, kill, pause, bring back on the same ports and data."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from confluent_kafka import KafkaException

from tests.broker.handle import BrokerHandle, tail_of, wait_until
from tests.broker.libraries import BrokerError, class_archive, classpath
from tests.broker.ports import free_ports
from tests.broker.tls import ListenerTls, TestAuthority

_LOG4J = """\
status = error
appender.out.type = Console
appender.out.name = out
appender.out.layout.type = PatternLayout
appender.out.layout.pattern = %d{HH:mm:ss.SSS} %p %c{1}: %m%n
rootLogger.level = warn
rootLogger.appenderRef.out.ref = out
"""
_LEASH = Path(__file__).with_name("leash.py")
_START_ATTEMPTS = 3


def new_cluster_id() -> str:
    """A cluster id as `kafka-storage random-uuid` makes them, never with a dash in front: it looks like an option."""
    return "A" + urlsafe_b64encode(uuid.uuid4().bytes).rstrip(b"=").decode()[1:]


class KafkaBroker:
    """A broker and controller in one process (KRaft), listeners PLAINTEXT and SSL on free loopback ports.

    Use it as a context manager, or call `start` and `close`. `handle` has the addresses and the administration.

    Args:
        directory: an empty directory for configuration, data and log.
        tls: the files of the SSL listener; by default from an authority made in the directory.
        authority_dir: an authority that exists already, shared by the brokers of one cluster.
        properties: more broker properties; they win over ours.
        node_id: the node id; `voters` names all nodes of a static quorum as `id@host:port`.
        ports: plaintext, SSL, controller; free ones by default.
        jvm: options of the Java that runs it.
    """

    def __init__(
        self,
        directory: Path,
        *,
        tls: ListenerTls | None = None,
        authority_dir: Path | None = None,
        properties: Mapping[str, object] | None = None,
        node_id: int = 1,
        cluster_id: str | None = None,
        voters: Sequence[str] = (),
        ports: Sequence[int] | None = None,
        jvm: Sequence[str] = (),
    ) -> None:
        self.directory = directory
        self.node_id = node_id
        self._voters = voters
        self._jvm = jvm
        self._properties = dict(properties or {})
        self._ports = list(ports or free_ports(3))
        self._own_ports = ports is None
        directory.mkdir(parents=True, exist_ok=True)
        self._authority_dir = authority_dir or directory / "ca"
        authority = TestAuthority(self._authority_dir)
        if not authority.ca.exists():
            authority = TestAuthority.create(self._authority_dir)
        self._tls = tls or authority.listener()
        self._cluster_id = cluster_id or new_cluster_id()
        self._leash: subprocess.Popen[str] | None = None
        self.pid: int | None = None

    @property
    def handle(self) -> BrokerHandle:
        """Addresses and administration."""
        plaintext, ssl, _ = self._ports
        return BrokerHandle(
            bootstrap=f"127.0.0.1:{plaintext}",
            ssl_bootstrap=f"127.0.0.1:{ssl}",
            cluster_id=self._cluster_id,
            directory=self.directory,
            authority_dir=self._authority_dir,
        )

    @property
    def running(self) -> bool:
        """Whether the process lives (a paused one does)."""
        return self._leash is not None and self._leash.poll() is None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def start(self, *, wait_s: float = 60.0) -> None:
        """Format the storage once, start the process and wait for a real metadata answer.

        Raises:
            BrokerError: not ready within `wait_s` seconds, or ended; with the end of its log.
        """
        for attempt in range(1, _START_ATTEMPTS + 1):
            self.launch()
            try:
                self.wait_ready(wait_s)
            except BrokerError as error:
                self.kill()
                taken = "Address already in use" in str(error)
                if not (taken and self._own_ports) or attempt == _START_ATTEMPTS:
                    raise
                self._ports = free_ports(3)
                shutil.rmtree(self.directory / "data", ignore_errors=True)
            else:
                self._own_ports = False  # from now on clients know these ports
                return

    def launch(self) -> None:
        """Start the process and return at once; formats the storage when it is new."""
        assert not self.running, "the broker runs already"
        self._write_configuration()
        if not (self.directory / "data").exists():
            self._format()
        with (self.directory / "broker.log").open("a") as log:
            self._leash = subprocess.Popen(
                [sys.executable, "-I", str(_LEASH), *self._java("kafka.Kafka", str(self._config))],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=True,  # ctrl-c reaches the tests first, and they still need the broker to end cleanly
            )
        assert self._leash.stdout is not None
        self.pid = int(self._leash.stdout.readline())

    def wait_ready(self, wait_s: float = 60.0) -> None:
        """Wait until the broker answers a metadata request and names itself.

        Raises:
            BrokerError: it does not, or its process ended; with the end of its log.
        """
        admin = self.handle.admin()
        end = time.monotonic() + wait_s
        while time.monotonic() < end:
            if not self.running:
                raise BrokerError(f"the broker ended while starting\n{self.log_tail()}")
            try:
                if self.node_id in admin.list_topics(timeout=1).brokers:
                    return
            except KafkaException:
                continue
        raise BrokerError(f"no metadata from {self.handle.bootstrap} within {wait_s} s\n{self.log_tail()}")

    def stop(self, *, wait_s: float = 30.0) -> None:
        """Ask it to shut down (SIGTERM) and wait; kill it when it does not."""
        self._signal(signal.SIGTERM)
        self._reap(wait_s)

    def kill(self) -> None:
        """SIGKILL, at once; nothing when it does not run."""
        self._signal(signal.SIGKILL)
        self._reap(10.0)

    def pause(self) -> None:
        """SIGSTOP, and wait until every thread stands still: connections stay open, nothing answers."""
        self._signal(signal.SIGSTOP)
        wait_until(self._stands_still, 10, "the broker stands still")

    def resume(self) -> None:
        """SIGCONT after `pause`."""
        self._signal(signal.SIGCONT)

    def restart(self, *, wait_s: float = 60.0) -> None:
        """Start again on the same ports and data, after `stop` or `kill`."""
        self.start(wait_s=wait_s)

    def close(self) -> None:
        """End the process for good and remove its data; the log stays."""
        self.kill()
        shutil.rmtree(self.directory / "data", ignore_errors=True)

    def log_tail(self, lines: int = 40) -> str:
        """The last lines of its log."""
        return tail_of(self.directory / "broker.log", lines)

    def _stands_still(self) -> bool:
        tasks = Path(f"/proc/{self.pid}/task").glob("*/stat")
        return all(task.read_text().rsplit(")", 1)[1].split()[0] in {"T", "Z", "X"} for task in tasks)

    def _signal(self, number: signal.Signals) -> None:
        if self.running and self.pid is not None:
            os.kill(self.pid, number)

    def _reap(self, wait_s: float) -> None:
        leash = self._leash
        if leash is None:
            return
        try:
            leash.wait(wait_s)
        except subprocess.TimeoutExpired:
            self._signal(signal.SIGKILL)
            leash.wait(10)
        for pipe in (leash.stdin, leash.stdout):
            if pipe is not None:
                pipe.close()
        self._leash = None

    @property
    def _config(self) -> Path:
        return self.directory / "server.properties"

    def _write_configuration(self) -> None:
        (self.directory / "log4j2.properties").write_text(_LOG4J)
        lines = [f"{key}={value}" for key, value in (self._defaults() | self._properties).items()]
        self._config.write_text("\n".join(lines) + "\n")

    def _defaults(self) -> dict[str, object]:
        plaintext, ssl, controller = self._ports
        clients = f"PLAINTEXT://127.0.0.1:{plaintext},SSL://127.0.0.1:{ssl}"
        quorum = (
            {"controller.quorum.voters": ",".join(self._voters)}
            if self._voters
            else {"controller.quorum.bootstrap.servers": f"127.0.0.1:{controller}"}
        )
        return {
            "process.roles": "broker,controller",
            "node.id": self.node_id,
            **quorum,
            "listeners": f"{clients},CONTROLLER://127.0.0.1:{controller}",
            "advertised.listeners": clients,
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,SSL:SSL,CONTROLLER:PLAINTEXT",
            "controller.listener.names": "CONTROLLER",
            "inter.broker.listener.name": "PLAINTEXT",
            "log.dirs": self.directory / "data",
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": self._tls.keystore,
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": self._tls.truststore,
            "ssl.client.auth": "required",
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users": "User:ANONYMOUS",
            "auto.create.topics.enable": "false",
            "num.partitions": 1,
            "offsets.topic.replication.factor": 1,
            "offsets.topic.num.partitions": 5,
            "transaction.state.log.replication.factor": 1,
            "transaction.state.log.min.isr": 1,
            "transaction.state.log.num.partitions": 5,
            "share.coordinator.state.topic.replication.factor": 1,
            "share.coordinator.state.topic.min.isr": 1,
            "share.coordinator.state.topic.num.partitions": 2,
            "group.initial.rebalance.delay.ms": 0,
            # Retention looks 30 s after the start and every 5 minutes, and would take the old records of a test that
            # runs just then: later than any session.
            "log.initial.task.delay.ms": 3_600_000,
            # A killed broker may register again only when its old session has ended: 9 s by default.
            "broker.session.timeout.ms": 3000,
            "broker.heartbeat.interval.ms": 500,
        }

    def _format(self) -> None:
        command = self._java("kafka.tools.StorageTool", "format", "-t", self._cluster_id, "-c", str(self._config))
        standalone = [] if self._voters else ["--standalone"]
        done = subprocess.run([*command, *standalone], capture_output=True, text=True, timeout=60, check=False)
        if done.returncode:
            raise BrokerError(f"the storage could not be formatted:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")

    def _java(self, main: str, *arguments: str) -> list[str]:
        options = ["-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
        if self._jvm and main == "kafka.Kafka":
            options += self._jvm
        elif (archive := class_archive()).exists():
            options += [f"-XX:SharedArchiveFile={archive}", "-Xshare:auto"]
        log4j = f"-Dlog4j2.configurationFile={self.directory / 'log4j2.properties'}"
        return ["java", *options, log4j, "-cp", classpath(), main, *arguments]
