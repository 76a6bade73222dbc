"""Ready configuration for those who use a pair: Redpanda, Kafka, librdkafka, Go, tonic, pyarrow. No secret in them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from atom_console.pki.inventory import Entry
from atom_console.pki.store import CURRENT, Store

FORMS = ("redpanda", "kafka", "kafka-client", "librdkafka", "go", "tonic", "pyarrow")


def snippet(form: str, store: Store, entry: Entry, *, p12_dir: Path | None = None) -> str:
    """Configuration text of one form; the paths go through `current`, so that a renewal needs no edit.

    Args:
        form: one of `FORMS`.
        p12_dir: where `certs export --format pkcs12` wrote the Java stores; `/etc/kafka/tls` where it is not known.

    Raises:
        KeyError: no such form.
    """
    current = entry.directory.parent / CURRENT
    values = {
        "name": entry.name,
        "host": next((s.partition(":")[2] for s in entry.sans if s.startswith(("DNS:", "IP:"))), entry.name),
        "dn": entry.subject,
        "chain": str(current / "chain.pem"),
        "key": str(current / "key.pem"),
        "ca": str(store.bundle),
        "crl": str(store.crl_bundle),
        "p12": str(p12_dir or Path("/etc/kafka/tls")),
    }
    return _WRITERS[form](values)


def _redpanda(v: dict[str, str]) -> str:
    return f"""# redpanda.yaml: TLS with required client certificates. Redpanda reloads changed files by itself.
redpanda:
  kafka_api:
    - name: mtls
      address: 0.0.0.0
      port: 9093
  advertised_kafka_api:
    - name: mtls
      address: {v["host"]}
      port: 9093
  kafka_api_tls:
    - name: mtls
      enabled: true
      require_client_auth: true
      cert_file: {v["chain"]}
      key_file: {v["key"]}
      truststore_file: {v["ca"]}
      crl_file: {v["crl"]}   # Redpanda 24.2 and later; holds the lists of all issuers
# Let the certificate's subject be the principal, then give it rights:
#   rpk cluster config set kafka_mtls_principal_mapping_rules '["DEFAULT"]'
#   rpk security acl create --allow-principal 'User:{v["dn"]}' --operation read,write --topic atom.write.raw
"""


def _kafka(v: dict[str, str]) -> str:
    return f"""# server.properties: required client certificates. The stores: certs export {v["name"]} --format pkcs12
listeners=SSL://0.0.0.0:9093
advertised.listeners=SSL://{v["host"]}:9093
security.inter.broker.protocol=SSL
ssl.client.auth=required
ssl.keystore.type=PKCS12
ssl.keystore.location={v["p12"]}/{v["name"]}.keystore.p12
ssl.keystore.password=${{file:{v["p12"]}/passwords.properties:keystore}}
ssl.key.password=${{file:{v["p12"]}/passwords.properties:keystore}}
ssl.truststore.type=PKCS12
ssl.truststore.location={v["p12"]}/truststore.p12
ssl.truststore.password=${{file:{v["p12"]}/passwords.properties:truststore}}
ssl.endpoint.identification.algorithm=https
ssl.enabled.protocols=TLSv1.3,TLSv1.2
# Passwords from a file of its own (mode 0600), not from here:
config.providers=file
config.providers.file.class=org.apache.kafka.common.config.provider.FileConfigProvider
# The principal is the certificate's subject. ACLs:
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:{v["dn"]}
# Revocation: Kafka has no setting for a list file. Put crl_urls into the profile, serve crl/*.der there, start with
#   KAFKA_OPTS="-Dcom.sun.net.ssl.checkRevocation=true -Dcom.sun.security.enableCRLDP=true"
"""


def _kafka_client(v: dict[str, str]) -> str:
    return f"""# client.properties (Java)
security.protocol=SSL
ssl.keystore.type=PEM
# Key and chain in one file, mode 0600: cat the exported NAME.key.pem and NAME.chain.pem
ssl.keystore.location={v["p12"]}/{v["name"]}.pem
ssl.truststore.type=PEM
ssl.truststore.location={v["ca"]}
ssl.endpoint.identification.algorithm=https
"""


def _librdkafka(v: dict[str, str]) -> str:
    return f"""# librdkafka (confluent-kafka, kcat). Nothing is reloaded: after a renewal build a new client.
security.protocol=SSL
ssl.ca.location={v["ca"]}
ssl.certificate.location={v["chain"]}
ssl.key.location={v["key"]}
ssl.crl.location={v["crl"]}
ssl.endpoint.identification.algorithm=https
"""


def _go(v: dict[str, str]) -> str:
    return f"""// Go: gRPC, Arrow Flight and kafka-go. The pair is read at each handshake: renewals need no restart.
roots := x509.NewCertPool()
pem, err := os.ReadFile("{v["ca"]}")
if err != nil || !roots.AppendCertsFromPEM(pem) {{
	return fmt.Errorf("no CA in the bundle: %v", err)
}}
config := &tls.Config{{
	MinVersion: tls.VersionTLS12,
	RootCAs:    roots, // a server: ClientCAs and ClientAuth: tls.RequireAndVerifyClientCert
	GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {{
		pair, err := tls.LoadX509KeyPair("{v["chain"]}", "{v["key"]}")
		return &pair, err
	}},
}}
credentials := credentials.NewTLS(config) // grpc.WithTransportCredentials(credentials)
"""


def _tonic(v: dict[str, str]) -> str:
    return f"""// Rust: tonic, features = ["tls-ring"]
let ca = Certificate::from_pem(std::fs::read("{v["ca"]}")?);
let pair = Identity::from_pem(std::fs::read("{v["chain"]}")?, std::fs::read("{v["key"]}")?);
// Server:
let server_tls = ServerTlsConfig::new().identity(pair.clone()).client_ca_root(ca.clone());
// Client:
let client_tls = ClientTlsConfig::new().domain_name("{v["host"]}").ca_certificate(ca).identity(pair);
"""


def _pyarrow(v: dict[str, str]) -> str:
    return f"""# Python: pyarrow.flight. The files are read once: after a renewal build a new client.
from pathlib import Path
from pyarrow import flight

client = flight.FlightClient(
    "grpc+tls://{v["host"]}:50051",
    tls_root_certs=Path("{v["ca"]}").read_bytes(),
    cert_chain=Path("{v["chain"]}").read_bytes(),
    private_key=Path("{v["key"]}").read_bytes(),
)
"""


_WRITERS: dict[str, Callable[[dict[str, str]], str]] = {
    "redpanda": _redpanda,
    "kafka": _kafka,
    "kafka-client": _kafka_client,
    "librdkafka": _librdkafka,
    "go": _go,
    "tonic": _tonic,
    "pyarrow": _pyarrow,
}
