"""The settings: every key with its type, its range, its default and its meaning.

One table for all: the environment names, the messages about bad values, `config show` and the reference page follow
from it. Defaults are those of financial data: idempotence and `acks=all`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ByteSize,
    ConfigDict,
    Field,
    SecretStr,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from atom_console.config.values import (
    INT32_MAX,
    File,
    Milliseconds,
    Size,
    Topic,
    acks_value,
    flight_uri,
    integer,
    invalid,
    lower,
    profile_name,
    property_pairs,
    servers,
    words,
)

_UINT64_MAX = 2**64 - 1


def _rdkafka(name: str) -> dict[str, Any]:
    """Marks the librdkafka property that a setting becomes."""
    return {"librdkafka": name}


def _allowed(text: str) -> dict[str, Any]:
    """Says what is allowed where type and range do not."""
    return {"allowed": text}


class Section(BaseModel):
    """A group of settings: frozen, no unknown keys, and no input (a secret perhaps) in its errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _blank_is_unset(cls, value: object, info: ValidationInfo) -> object:
        """An empty text clears a setting that may be absent."""
        field = cls.model_fields[str(info.field_name)]
        return None if value == "" and field.default is None else value

    @classmethod
    def derived(cls, given: dict[str, Any]) -> dict[str, tuple[Any, str]]:
        """Defaults that follow from other settings: field → (value, why)."""
        return {}

    @model_validator(mode="before")
    @classmethod
    def _derive(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        return {name: value for name, (value, _) in cls.derived(given).items()} | given


class KafkaSettings(Section):
    """The producer and every other client of the broker; librdkafka properties without a key go in `properties`."""

    bootstrap_servers: Annotated[str, AfterValidator(servers)] = Field(
        default="localhost:9092",
        description="the brokers to begin with",
        json_schema_extra=_rdkafka("bootstrap.servers") | _allowed("HOST:PORT, several separated by commas"),
    )
    client_id: str = Field(
        default="atom-console", description="the name that brokers log", json_schema_extra=_rdkafka("client.id")
    )
    topic: Topic = Field(
        default="atom.write.raw", description="where events go", json_schema_extra=_allowed("a topic name")
    )
    preset: Literal["latency", "throughput"] | None = Field(
        default=None,
        description="linger 0 (latency, also without a preset) or 5 ms (throughput), unless linger_ms is set",
    )
    compression: Literal["none", "snappy", "lz4", "zstd", "gzip"] = Field(
        default="zstd", description="of each batch", json_schema_extra=_rdkafka("compression.type")
    )
    compression_level: int | None = Field(
        default=None,
        ge=-1,
        le=12,
        description="-1 or unset: the codec's own; gzip 0-9, lz4 0-12",
        json_schema_extra=_rdkafka("compression.level"),
    )
    message_timeout_ms: Milliseconds = Field(
        default=30_000,
        description="how long delivery is tried before the event goes to the DLQ, ms",
        json_schema_extra=_rdkafka("message.timeout.ms"),
    )
    linger_ms: float = Field(
        default=0.0,
        ge=0,
        le=900_000,
        description="how long a batch waits for company, ms",
        json_schema_extra=_rdkafka("linger.ms"),
    )
    batch_size: int = Field(
        default=1_000_000,
        ge=1,
        le=INT32_MAX,
        description="most bytes of a batch",
        json_schema_extra=_rdkafka("batch.size"),
    )
    batch_num_messages: int = Field(
        default=10_000,
        ge=1,
        le=1_000_000,
        description="most events of a batch",
        json_schema_extra=_rdkafka("batch.num.messages"),
    )
    idempotence: bool = Field(
        default=True,
        description="no duplicates and no reordering by retries, while no event times out",
        json_schema_extra=_rdkafka("enable.idempotence"),
    )
    acks: Annotated[Literal["all", "0", "1"], BeforeValidator(acks_value)] = Field(
        default="all",
        description="replicas that must have an event before it counts",
        json_schema_extra=_rdkafka("acks"),
    )
    queue_max_messages: int = Field(
        default=100_000,
        ge=1,
        le=10_000_000,
        description="most events waiting for the broker; beyond it they go to the DLQ",
        json_schema_extra=_rdkafka("queue.buffering.max.messages"),
    )
    queue_max_kbytes: int = Field(
        default=1_048_576,
        ge=1,
        le=INT32_MAX,
        description="most KiB of values waiting for the broker",
        json_schema_extra=_rdkafka("queue.buffering.max.kbytes"),
    )
    message_max_bytes: int = Field(
        default=1_000_000,
        ge=1_000,
        le=1_000_000_000,
        description="the largest request, bytes; not above the broker's limit",
        json_schema_extra=_rdkafka("message.max.bytes"),
    )
    partitioner: Literal["murmur2_random", "consistent_random"] = Field(
        default="murmur2_random",
        description="key to partition: as Java clients do (murmur2), or librdkafka's CRC32",
        json_schema_extra=_rdkafka("partitioner"),
    )
    statistics_interval_ms: int = Field(
        default=1_000,
        ge=0,
        le=86_400_000,
        description="how often librdkafka reports, ms; 0 = never",
        json_schema_extra=_rdkafka("statistics.interval.ms"),
    )
    security_protocol: Annotated[Literal["plaintext", "ssl", "sasl_plaintext", "sasl_ssl"], BeforeValidator(lower)] = (
        Field(
            default="plaintext",
            description="unset: ssl or sasl_ssl as soon as a TLS or SASL setting is given",
            json_schema_extra=_rdkafka("security.protocol"),
        )
    )
    certificate: str | None = Field(
        default=None, description="name of a certificate in our own inventory, instead of the three files"
    )
    ssl_ca_location: File | None = Field(
        default=None, description="PEM file of the CAs we trust", json_schema_extra=_rdkafka("ssl.ca.location")
    )
    ssl_certificate_location: File | None = Field(
        default=None,
        description="PEM file of our certificate and its chain",
        json_schema_extra=_rdkafka("ssl.certificate.location"),
    )
    ssl_key_location: File | None = Field(
        default=None, description="PEM file of our key", json_schema_extra=_rdkafka("ssl.key.location")
    )
    ssl_key_password: SecretStr | None = Field(
        default=None, description="passphrase of that key", json_schema_extra=_rdkafka("ssl.key.password")
    )
    ssl_endpoint_identification_algorithm: Annotated[Literal["https", "none"], BeforeValidator(lower)] = Field(
        default="https",
        description="https: the broker's name must be in its certificate",
        json_schema_extra=_rdkafka("ssl.endpoint.identification.algorithm"),
    )
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "GSSAPI", "OAUTHBEARER"] | None = Field(
        default=None, description="how we log in", json_schema_extra=_rdkafka("sasl.mechanism")
    )
    sasl_username: str | None = Field(
        default=None, description="who we are", json_schema_extra=_rdkafka("sasl.username")
    )
    sasl_password: SecretStr | None = Field(
        default=None, description="its password", json_schema_extra=_rdkafka("sasl.password")
    )
    properties: Annotated[dict[str, str], NoDecode, BeforeValidator(property_pairs)] = Field(
        default_factory=dict,
        repr=False,  # a password may be among them
        description="any other librdkafka property, passed through",
        json_schema_extra=_allowed("name=value pairs"),
    )

    @classmethod
    def derived(cls, given: dict[str, Any]) -> dict[str, tuple[Any, str]]:
        """Linger from the preset; TLS as soon as something of TLS or SASL is given."""
        found: dict[str, tuple[Any, str]] = {}
        if "linger_ms" not in given and given.get("preset") in {"latency", "throughput"}:
            found["linger_ms"] = (5.0 if given["preset"] == "throughput" else 0.0, f"preset {given['preset']}")
        if "security_protocol" not in given:
            tls = next(
                (n for n in ("certificate", "ssl_ca_location", "ssl_certificate_location") if given.get(n)), None
            )
            if given.get("sasl_mechanism"):
                found["security_protocol"] = ("sasl_ssl", "derived from kafka.sasl_mechanism")
            elif tls:
                found["security_protocol"] = ("ssl", f"derived from kafka.{tls}")
        return found

    @field_validator("properties")
    @classmethod
    def _no_second_name(cls, properties: dict[str, str]) -> dict[str, str]:
        """A property that has a key of its own would be set twice."""
        doubled = [name for name in properties if name in LIBRDKAFKA_KEYS]
        if doubled:
            raise invalid("; ".join(f"{name} has a key of its own: kafka.{LIBRDKAFKA_KEYS[name]}" for name in doubled))
        return properties

    @field_validator("acks", "linger_ms", "compression_level")
    @classmethod
    def _fits_the_others(cls, value: Any, info: ValidationInfo) -> Any:
        """What librdkafka would refuse only when the client is made."""
        others = info.data
        if info.field_name == "acks" and value != "all" and others.get("idempotence"):
            raise invalid("fewer acknowledgements than all need kafka.idempotence = false, said on purpose")
        if info.field_name == "linger_ms" and value >= others.get("message_timeout_ms", value + 1):
            raise invalid(f"must stay below kafka.message_timeout_ms ({others['message_timeout_ms']})")
        if info.field_name == "compression_level" and value and value > 9 and others.get("compression") == "gzip":
            raise invalid("gzip has levels 0 to 9")
        return value


class DlqSettings(Section):
    """The dead letter queue on this host, and its replay."""

    dir: File | None = Field(
        default=None, description="where the store is; unset: one a profile in the state directory"
    )
    mode: Literal["async", "durable"] = Field(
        default="async",
        description="durable commits every event to disk before it is accepted; only that survives kill -9",
    )
    max_bytes: Size = Field(
        default=ByteSize(10 * 2**30),
        description="size cap of the store; at the cap full_policy applies, nothing is dropped",
    )
    min_free_bytes: Size = Field(default=ByteSize(512 * 2**20), description="free disk that stays free")
    full_policy: Literal["block", "reject_new"] = Field(
        default="block", description="at the cap: hold the producer back, or refuse new events"
    )
    sync: Literal["FULL", "NORMAL"] = Field(default="FULL", description="FULL survives a power cut, NORMAL a crash")
    window: int = Field(default=100, ge=1, le=10_000, description="records in flight of a replay")
    rate: float = Field(default=50.0, ge=0, le=1_000_000, description="events a second of a replay; 0 = unpaced")
    canary: int = Field(default=10, ge=0, le=10_000, description="records sent first, alone; 0 = none")
    breaker_consec: int = Field(default=5, ge=1, le=1_000_000, description="failures in a row that stop a replay")
    breaker_ratio: float = Field(
        default=0.2, gt=0, le=1, description="share of failures in the last 50 that stops a replay"
    )
    max_attempts: int = Field(default=5, ge=1, le=1_000, description="replays of one record before it is set aside")
    retain_days: int = Field(default=30, ge=1, le=36_500, description="how long replayed and discarded records stay")
    topics: Annotated[tuple[Topic, ...], NoDecode, BeforeValidator(words)] = Field(
        default=(),
        description="DLQ topics on the broker to read as well",
        json_schema_extra=_allowed("topic names, separated by commas"),
    )
    header_map: File | None = Field(default=None, description="TOML file that names the headers of a DLQ of your own")
    allow_edit: bool = Field(
        default=False, description="whether a record may be edited; unset: as allow_edit of the profile"
    )


class FlightSettings(Section):
    """The Arrow Flight client."""

    uri: Annotated[str, AfterValidator(flight_uri)] = Field(
        default="grpc://localhost:50051",
        description="the server; unset and a CA or certificate is given: grpc+tls",
        json_schema_extra=_allowed("grpc://HOST:PORT, grpc+tls://HOST:PORT or grpc+unix:///PATH"),
    )
    ca: File | None = Field(default=None, description="PEM file of the CAs we trust")
    cert: File | None = Field(default=None, description="PEM file of our certificate and its chain")
    key: File | None = Field(default=None, description="PEM file of our key")
    certificate: str | None = Field(
        default=None, description="name of a certificate in our own inventory, instead of the three files"
    )
    token_file: File | None = Field(default=None, description="file that holds the bearer token")
    keepalive_time_ms: int = Field(default=10_000, ge=1_000, le=INT32_MAX, description="silence before a ping, ms")
    keepalive_timeout_ms: Milliseconds = Field(default=1_000, description="how long the answer may take, ms")
    keepalive_permit_without_calls: bool = Field(default=True, description="ping without an open call too")
    http2_ping_timeout_ms: Milliseconds = Field(
        default=1_000, description="the time-out that gRPC really applies to a silent peer, ms (measured)"
    )
    bdp_probe: bool = Field(
        default=False,
        description="gRPC's bandwidth probe; on a slow link it dies behind the data within 1 s pings (measured)",
    )
    lookahead_bytes: Annotated[ByteSize, Field(ge=1_024, le=64 * 2**20)] = Field(
        default=ByteSize(16 * 2**20), description="the receive window, which stands in for the probe"
    )
    idle_timeout_s: float = Field(default=300.0, gt=0, le=86_400, description="silence that ends a transfer, s")
    deadline_s: float = Field(
        default=30.0, gt=0, le=86_400, description="the most that a call other than a transfer may take, s"
    )
    ring_batches: int = Field(default=8, ge=1, le=1_024, description="batches read ahead of a slow consumer")

    @classmethod
    def derived(cls, given: dict[str, Any]) -> dict[str, tuple[Any, str]]:
        """The default address speaks TLS as soon as something of TLS is given."""
        tls = next((name for name in ("certificate", "ca", "cert") if given.get(name)), None)
        if tls is None or "uri" in given:
            return {}
        return {"uri": ("grpc+tls://localhost:50051", f"derived from flight.{tls}")}


class PkiSettings(Section):
    """The certificate authority on this host."""

    dir: File | None = Field(default=None, description="where it is; unset: in the state directory")
    passphrase: SecretStr | None = Field(default=None, description="passphrase of the CA keys")
    passphrase_file: File | None = Field(default=None, description="file that holds it")


class UiSettings(Section):
    """The screen."""

    refresh_s: float = Field(
        default=0.5,
        ge=0,
        le=3_600,
        description="seconds between repaints; 0 = only on a key",
        json_schema_extra=_allowed("0, or from 0.5 to 3600"),
    )
    theme: str = Field(default="dark", description="name of a bundled theme or of one in the configuration directory")
    mouse: bool = Field(default=False, description="whether the mouse is taken from the terminal")
    keymap: File | None = Field(default=None, description="TOML file with keys of your own")
    ascii: bool | None = Field(
        default=None, description="plain borders and marks; unset: as the locale and terminal are"
    )

    @field_validator("refresh_s")
    @classmethod
    def _floor(cls, seconds: float) -> float:
        if 0 < seconds < 0.5:
            raise invalid("too often")
        return seconds


class Settings(BaseSettings):
    """All settings. `load()` reads every layer; `Settings()` alone reads the environment and nothing else."""

    model_config = SettingsConfigDict(
        env_prefix="ATOM_",
        env_nested_delimiter="_",
        env_nested_max_split=1,
        env_ignore_empty=True,
        frozen=True,
        extra="forbid",
        hide_input_in_errors=True,
        allow_inf_nan=False,
    )

    profile: Annotated[str, AfterValidator(profile_name)] = Field(
        default="dev", description="which profile", json_schema_extra=_allowed("dev, stage, prod or one of your own")
    )
    word: str = Field(default="DEV", min_length=1, max_length=16, description="what the screen calls it")
    colour: Literal["green", "yellow", "red", "blue", "magenta", "cyan", "white"] = Field(
        default="green", description="its colour on the screen; the word says the same"
    )
    read_only: bool = Field(default=False, description="refuse everything that changes the broker, the DLQ or the PKI")
    confirm: Literal["plain", "typed"] = Field(
        default="plain", description="whether dangerous commands want a typed word"
    )
    allow_edit: bool = Field(default=False, description="whether a dead letter may be edited before it is replayed")
    clearance: Annotated[int, BeforeValidator(integer)] = Field(
        default=0,
        ge=0,
        le=_UINT64_MAX,
        description="bits of security_mask that this operator may see",
        json_schema_extra=_allowed("a whole number from 0 to 18446744073709551615, or hexadecimal"),
    )
    log_file: File | None = Field(default=None, description="unset: in the state directory")
    kafka: KafkaSettings = Field(default_factory=KafkaSettings)
    dlq: DlqSettings = Field(default_factory=DlqSettings)
    flight: FlightSettings = Field(default_factory=FlightSettings)
    pki: PkiSettings = Field(default_factory=PkiSettings)
    ui: UiSettings = Field(default_factory=UiSettings)

    @property
    def edits_allowed(self) -> bool:
        """Whether a dead letter may be edited, by either of the two settings."""
        return self.allow_edit or self.dlq.allow_edit

    @field_validator("log_file", mode="before")
    @classmethod
    def _blank_is_unset(cls, value: object) -> object:
        return None if value == "" else value

    @classmethod
    def derived(cls, given: dict[str, Any]) -> dict[str, tuple[Any, str]]:
        """Defaults that follow from other settings: dotted key → (value, why)."""
        found: dict[str, tuple[Any, str]] = {}
        for name, field in cls.model_fields.items():
            kind, section = field.annotation, given.get(name, {})
            if isinstance(kind, type) and issubclass(kind, Section) and isinstance(section, dict):
                found |= {f"{name}.{key}": why for key, why in kind.derived(section).items()}
        dlq = given.get("dlq", {})
        if "allow_edit" in given and isinstance(dlq, dict) and "allow_edit" not in dlq:
            found["dlq.allow_edit"] = (given["allow_edit"], "derived from allow_edit")
        return found

    @model_validator(mode="before")
    @classmethod
    def _edit_as_the_profile(cls, given: Any) -> Any:
        if isinstance(given, dict) and "dlq.allow_edit" in (found := cls.derived(given)):
            return given | {"dlq": {"allow_edit": found["dlq.allow_edit"][0]} | given.get("dlq", {})}
        return given


LIBRDKAFKA_KEYS: dict[str, str] = {
    str(field.json_schema_extra["librdkafka"]): name
    for name, field in KafkaSettings.model_fields.items()
    if isinstance(field.json_schema_extra, dict) and "librdkafka" in field.json_schema_extra
}
"""librdkafka property → field of `KafkaSettings`."""
