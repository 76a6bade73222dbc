"""Real TLS peers in this process and beside it: a Kafka stub on OpenSSL, a pyarrow Flight server, a JVM."""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

from tests.pki.forge import write


class KafkaStub:
    """Answers ApiVersions (every version with an error that clients take for an answer), over TLS or plaintext."""

    def __init__(self, context: ssl.SSLContext | None, *, mute: bool = False, hang: bool = False) -> None:
        self._context, self._mute, self._hang = context, mute, hang
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._open: list[socket.socket] = []
        self._closing = False
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._serve, args=(connection,), daemon=True)
            self._open.append(connection)
            thread.start()
            self._threads.append(thread)

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            try:
                connection.settimeout(20)
                if self._hang:
                    while connection.recv(4096):
                        pass
                    return
                if self._context is not None:
                    # The descriptor moves into the TLS socket: without this the peer would never see us close.
                    connection = self._context.wrap_socket(connection, server_side=True)
                    self._open.append(connection)
                with connection:
                    self._answer(connection)
            except (OSError, struct.error):
                return

    def _answer(self, connection: socket.socket) -> None:
        buffer = b""
        while True:
            data = connection.recv(4096)
            if not data:
                return
            buffer += data
            while len(buffer) >= 4:
                (size,) = struct.unpack_from(">i", buffer)
                if not 0 < size < 1 << 20:
                    return
                if len(buffer) < 4 + size:
                    break
                request, buffer = buffer[4 : 4 + size], buffer[4 + size :]
                _, _, correlation = struct.unpack_from(">hhi", request)
                if not self._mute:
                    body = struct.pack(">ihi", correlation, 35, 0)
                    connection.sendall(struct.pack(">i", len(body)) + body)

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self._open:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(5)


def server_context(chain_pem: bytes, key_pem: bytes, client_ca: bytes | None, crl: bytes | None = None):
    """An OpenSSL server that takes any key and digest, so that the client has something to refuse."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_ciphers("DEFAULT@SECLEVEL=0")
    with tempfile.TemporaryDirectory() as directory:
        pair = write(Path(directory) / "pair.pem", chain_pem + key_pem)
        context.load_cert_chain(pair)
        if client_ca is not None:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(cafile=str(write(Path(directory) / "ca.pem", client_ca + (crl or b""))))
            if crl:
                context.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF
    return context


@contextlib.contextmanager
def kafka_peer(context: ssl.SSLContext | None, **options: bool) -> Iterator[int]:
    stub = KafkaStub(context, **options)
    try:
        yield stub.port
    finally:
        stub.close()


@contextlib.contextmanager
def flight_peer(chain_pem: bytes | None, key_pem: bytes | None, client_ca: bytes | None) -> Iterator[int]:
    from pyarrow import flight

    options = {}
    scheme = "grpc"
    if chain_pem is not None:
        scheme = "grpc+tls"
        options = {"tls_certificates": [(chain_pem, key_pem)]}
        if client_ca is not None:
            options |= {"verify_client": True, "root_certificates": client_ca}
    server = flight.FlightServerBase(f"{scheme}://127.0.0.1:0", **options)
    try:
        yield server.port
    finally:
        server.shutdown()


_JAVA = """
import javax.net.ssl.*; import java.io.*; import java.net.*; import java.security.*;
public class Peer { public static void main(String[] a) throws Exception {
  char[] p = "changeit".toCharArray();
  KeyStore ks = KeyStore.getInstance("PKCS12"); ks.load(new FileInputStream(a[0]), p);
  KeyManagerFactory k = KeyManagerFactory.getInstance("PKIX"); k.init(ks, p);
  KeyStore ts = KeyStore.getInstance("PKCS12"); ts.load(new FileInputStream(a[1]), p);
  TrustManagerFactory t = TrustManagerFactory.getInstance("PKIX"); t.init(ts);
  SSLContext c = SSLContext.getInstance("TLS"); c.init(k.getKeyManagers(), t.getTrustManagers(), null);
  InetAddress here = InetAddress.getByName("127.0.0.1");
  SSLServerSocket s = (SSLServerSocket) c.getServerSocketFactory().createServerSocket(0, 50, here);
  s.setNeedClientAuth(true);
  System.out.println(s.getLocalPort()); System.out.flush();
  while (true) { SSLSocket x = (SSLSocket) s.accept(); new Thread(() -> { try {
    x.startHandshake();
    DataInputStream in = new DataInputStream(x.getInputStream());
    byte[] b = in.readNBytes(in.readInt());
    DataOutputStream o = new DataOutputStream(x.getOutputStream());
    o.writeInt(10); o.write(b, 4, 4); o.writeShort(35); o.writeInt(0); o.flush();
    in.read(); x.close();
  } catch (Exception e) { try { x.close(); } catch (IOException q) { } } }).start(); } } }
"""


@contextlib.contextmanager
def jvm_peer(directory: Path, keystore: Path, truststore: Path) -> Iterator[int]:
    """A JSSE server with required client authentication that answers ApiVersions as the stub does."""
    source = write(directory / "Peer.java", _JAVA.encode())
    process = subprocess.Popen(
        ["java", "-XX:TieredStopAtLevel=1", str(source), str(keystore), str(truststore)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert process.stdout is not None
        yield int(process.stdout.readline())
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def librdkafka_says(port: int, settings: dict[str, str]) -> str:
    """The error text that an application gets; the first that is not the summary "all brokers down"."""
    from confluent_kafka import KafkaException, Producer

    texts: list[str] = []
    config = {
        "bootstrap.servers": f"localhost:{port}",
        "broker.address.family": "v4",
        "error_cb": lambda error: texts.append(error.str()),
        "reconnect.backoff.ms": 50,
        "log_level": 0,
        **settings,
    }
    try:
        producer = Producer(config)
    except KafkaException as error:
        return str(error.args[0].str())
    for _ in range(24):
        producer.poll(0.05)
        telling = [text for text in texts if "brokers are down" not in text]
        if telling:
            return telling[0]
    return texts[0] if texts else ""


def grpc_says(uri: str, **options: object) -> str:
    """The error text of a Flight call."""
    import pyarrow as pa
    from pyarrow import flight

    try:
        with flight.FlightClient(uri, **options) as client:
            list(client.list_flights(options=flight.FlightCallOptions(timeout=5)))
    except (flight.FlightError, pa.ArrowException, OSError) as error:
        return str(error)
    return ""
