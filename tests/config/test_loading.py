from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from atom_console.config import ConfigError, Loaded, Settings, check, dotted, load, paths
from atom_console.config.keys import env_name, is_secret, keys

Toml = Callable[[str], Path]


def faults_of(**options: object) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(**({"environ": {}} | options))  # type: ignore[arg-type]
    assert caught.value.exit_code == 2
    return [str(fault) for fault in caught.value.faults]


def origin(loaded: Loaded, key: str) -> str:
    return str(loaded.origins[key])


def test_without_anything_the_defaults_suit_financial_data() -> None:
    loaded = load(environ={})
    kafka = loaded.settings.kafka
    assert (loaded.settings.profile, loaded.settings.word, loaded.config_file) == ("dev", "DEV", None)
    assert (kafka.acks, kafka.idempotence, kafka.compression, kafka.linger_ms) == ("all", True, "zstd", 0.0)
    assert (kafka.partitioner, kafka.topic, kafka.message_timeout_ms) == ("murmur2_random", "atom.write.raw", 30_000)
    assert loaded.settings.dlq.mode == "async"
    assert set(loaded.origins) == {key for key, _ in dotted(loaded.settings)}
    assert origin(loaded, "kafka.acks") == "default"


def test_each_layer_wins_over_the_one_below(toml: Toml) -> None:
    path = toml("[kafka]\nlinger_ms = 1\n[profiles.stage]\n[profiles.stage.kafka]\nlinger_ms = 2\n")
    env = {"ATOM_KAFKA_LINGER_MS": "3"}
    flag = ["kafka.linger_ms=4"]

    def linger(**options: object) -> tuple[float, str]:
        loaded = load(**({"environ": {}, "config_file": path} | options))  # type: ignore[arg-type]
        return loaded.settings.kafka.linger_ms, origin(loaded, "kafka.linger_ms")

    assert linger(config_file=None) == (0.0, "default")
    assert linger() == (1.0, f"file {path}:2")
    assert linger(profile="stage") == (2.0, f"file {path}:5")
    assert linger(profile="stage", environ=env) == (3.0, "env ATOM_KAFKA_LINGER_MS")
    assert linger(profile="stage", environ=env, overrides=flag) == (4.0, "flag --set kafka.linger_ms=4")
    assert linger(overrides=["kafka.linger_ms=4", "kafka.linger_ms=6"]) == (6.0, "flag --set kafka.linger_ms=6")


def test_the_profile_itself_follows_the_same_order(toml: Toml) -> None:
    path = toml('profile = "stage"\n')
    assert load(config_file=path, environ={}).settings.word == "STAGE"
    assert load(config_file=path, environ={"ATOM_PROFILE": "prod"}).settings.word == "PROD"
    chosen = load("dev", config_file=path, environ={"ATOM_PROFILE": "prod"})
    assert chosen.settings.word == "DEV"
    assert origin(chosen, "profile") == "flag --profile dev"
    assert origin(chosen, "word") == "profile dev"


def test_profiles_carry_rules_of_their_own(toml: Toml) -> None:
    path = toml("[profiles.prod]\nread_only = true\nclearance = 0xff\n[profiles.lab]\ncolour = 'cyan'\n")
    prod = load("prod", config_file=path, environ={}).settings
    assert (prod.read_only, prod.confirm, prod.colour, prod.clearance) == (True, "typed", "red", 255)
    lab = load("lab", config_file=path, environ={}).settings
    assert (lab.word, lab.confirm, lab.colour, lab.read_only) == ("LAB", "typed", "cyan", False)


def test_flags_of_their_own_are_an_origin_too(tmp_path: Path) -> None:
    loaded = load(read_only=True, log_file=tmp_path / "x.log", environ={"ATOM_READ_ONLY": "0"})
    assert loaded.settings.read_only
    assert origin(loaded, "read_only") == "flag --read-only"
    assert origin(loaded, "log_file") == f"flag --log-file {tmp_path / 'x.log'}"


@pytest.mark.parametrize(
    ("environ", "linger", "where"),
    [
        ({}, 0.0, "default"),
        ({"ATOM_KAFKA_PRESET": "latency"}, 0.0, "preset latency"),
        ({"ATOM_KAFKA_PRESET": "throughput"}, 5.0, "preset throughput"),
        ({"ATOM_KAFKA_PRESET": "throughput", "ATOM_KAFKA_LINGER_MS": "1.5"}, 1.5, "env ATOM_KAFKA_LINGER_MS"),
    ],
)
def test_a_preset_sets_the_linger_that_nobody_set(environ: dict[str, str], linger: float, where: str) -> None:
    loaded = load(environ=environ)
    assert (loaded.settings.kafka.linger_ms, origin(loaded, "kafka.linger_ms")) == (linger, where)


def test_tls_material_means_tls_unless_said_otherwise() -> None:
    derived = load(environ={"ATOM_KAFKA_SSL_CA_LOCATION": "/ca.pem", "ATOM_FLIGHT_CA": "/ca.pem"})
    assert derived.settings.kafka.security_protocol == "ssl"
    assert origin(derived, "kafka.security_protocol") == "derived from kafka.ssl_ca_location"
    assert derived.settings.flight.uri == "grpc+tls://localhost:50051"
    sasl = load(environ={"ATOM_KAFKA_SASL_MECHANISM": "PLAIN"})
    assert sasl.settings.kafka.security_protocol == "sasl_ssl"
    said = load(environ={"ATOM_KAFKA_CERTIFICATE": "c", "ATOM_KAFKA_SECURITY_PROTOCOL": "PLAINTEXT"})
    assert said.settings.kafka.security_protocol == "plaintext"


def test_editing_follows_the_profile(toml: Toml) -> None:
    path = toml("[profiles.dev]\nallow_edit = true\n")
    loaded = load(config_file=path, environ={})
    assert loaded.settings.dlq.allow_edit
    assert origin(loaded, "dlq.allow_edit") == "derived from allow_edit"
    assert not load(config_file=path, environ={"ATOM_DLQ_ALLOW_EDIT": "0"}).settings.dlq.allow_edit
    assert not load("prod", config_file=path, environ={}).settings.dlq.allow_edit


def test_properties_pass_through_one_by_one(toml: Toml) -> None:
    path = toml('[kafka.properties]\n"client.rack" = "a"\nsocket.keepalive.enable = true\n')
    loaded = load(
        config_file=path,
        environ={"ATOM_KAFKA_PROPERTIES": "client.rack=b, debug=broker"},
        overrides=["kafka.properties.client.dns.lookup=use_all_dns_ips"],
    )
    assert loaded.settings.kafka.properties == {
        "client.rack": "b",
        "debug": "broker",
        "socket.keepalive.enable": "true",
        "client.dns.lookup": "use_all_dns_ips",
    }
    assert origin(loaded, "kafka.properties.client.rack") == "env ATOM_KAFKA_PROPERTIES"
    assert origin(loaded, "kafka.properties.socket.keepalive.enable") == f"file {path}:3"
    json_form = load(environ={"ATOM_KAFKA_PROPERTIES": '{"a.b": 5, "c": "x,y=z"}'})
    assert json_form.settings.kafka.properties == {"a.b": "5", "c": "x,y=z"}


def test_a_property_with_a_key_of_its_own_is_refused() -> None:
    (fault,) = faults_of(environ={"ATOM_KAFKA_PROPERTIES": "linger.ms=5"})
    assert "kafka.linger_ms" in fault


@pytest.mark.parametrize(
    ("key", "bad", "allowed"),
    [
        ("kafka.linger_ms", "-3", "a number from 0 to 900000"),
        ("kafka.linger_ms", "nan", "a number from 0 to 900000"),
        ("kafka.batch_size", "0", "a whole number from 1 to 2147483647"),
        ("kafka.batch_num_messages", "ten", "a whole number from 1 to 1000000"),
        ("kafka.compression", "brotli", "one of none, snappy, lz4, zstd, gzip"),
        ("kafka.compression_level", "13", "a whole number from -1 to 12"),
        ("kafka.acks", "2", "one of all, 0, 1"),
        ("kafka.idempotence", "maybe", "true or false"),
        ("kafka.bootstrap_servers", "host:0", "HOST:PORT"),
        ("kafka.bootstrap_servers", "a b", "HOST:PORT"),
        ("kafka.topic", "a/b", "a topic name"),
        ("kafka.preset", "fast", "one of latency, throughput"),
        ("kafka.properties", "novalue", "name=value pairs"),
        ("dlq.mode", "sync", "one of async, durable"),
        ("dlq.max_bytes", "-1", "a size such as 512MiB"),
        ("dlq.breaker_ratio", "0", "a number above 0 to 1"),
        ("dlq.topics", "ok,not ok", "topic names"),
        ("flight.uri", "http://x", "grpc://HOST:PORT"),
        ("ui.refresh_s", "0.2", "0, or from 0.5 to 3600"),
        ("profile", "../x", "dev, prod, stage"),
        ("clearance", "0xfg", "hexadecimal"),
        ("read_only", "nope", "true or false"),
    ],
)
def test_a_bad_value_names_its_place_the_value_and_what_is_allowed(
    key: str, bad: str, allowed: str, toml: Toml
) -> None:
    (from_env,) = faults_of(environ={env_name(key): bad})
    assert from_env.startswith(f"{env_name(key)}: ")
    assert allowed in from_env
    (from_flag,) = faults_of(overrides=[f"{key}={bad}"])
    assert from_flag.startswith("--set ")
    assert key in from_flag
    assert allowed in from_flag
    section, _, name = key.rpartition(".")
    path = toml(f"# a comment\n{f'[{section}]' if section else ''}\n{name} = '{bad}'\n")
    (from_file,) = faults_of(config_file=path)
    assert from_file.startswith(f"{path}:3: {key}: ")
    assert allowed in from_file
    if key not in {"kafka.properties", "dlq.topics"}:
        assert all(bad in text for text in (from_env, from_flag, from_file))


@pytest.mark.parametrize(
    ("environ", "words"),
    [
        ({"ATOM_KAFKA_ACKS": "1"}, ("ATOM_KAFKA_ACKS", "kafka.idempotence = false")),
        ({"ATOM_KAFKA_MESSAGE_TIMEOUT_MS": "4", "ATOM_KAFKA_PRESET": "throughput"}, ("preset throughput", "below")),
        ({"ATOM_KAFKA_COMPRESSION": "gzip", "ATOM_KAFKA_COMPRESSION_LEVEL": "12"}, ("0 to 9",)),
    ],
)
def test_values_that_do_not_fit_together(environ: dict[str, str], words: tuple[str, ...]) -> None:
    (fault,) = faults_of(environ=environ)
    assert all(word in fault for word in words)


def test_every_fault_is_told_at_once_each_once(toml: Toml) -> None:
    path = toml(
        "[kafka]\ncompresion = 'zstd'\nlinger_ms = 'x'\n[dlq]\nrate = -1\n[profiles.prod.kafka]\nakcs = 'all'\n"
    )
    faults = faults_of(
        profile="prdo",
        config_file=path,
        environ={"ATOM_KAKFA_TOPIC": "t", "ATOM_UI_REFRESH_S": "0.1"},
        overrides=["dlq.rat=3", "nonsense"],
    )
    assert len(faults) == len(set(faults)) == 9
    told = "\n".join(faults)
    for part in (
        "--set dlq.rat=3: no such key; did you mean dlq.rate?",
        "--set nonsense: not KEY=VALUE",
        "ATOM_KAKFA_TOPIC: no such variable; did you mean ATOM_KAFKA_TOPIC?",
        "ATOM_UI_REFRESH_S",
        "no profile 'prdo'; did you mean prod?",
        f"{path}:2: kafka.compresion: no such key; did you mean kafka.compression?",
        f"{path}:3: kafka.linger_ms: 'x'",
        f"{path}:5: dlq.rate: '-1'",
        f"{path}:7: kafka.akcs: no such key; did you mean kafka.acks?",
    ):
        assert part in told


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("linger_ms", "kafka.linger_ms"),
        ("kafka.linger.ms", "kafka.linger_ms"),
        ("kafka.enable.idempotence", "kafka.idempotence"),
        ("KAFKA.TOPIC", "kafka.topic"),
        ("flight.keepalive_ms", "flight.keepalive_time_ms"),
        ("readonly", "read_only"),
    ],
)
def test_the_nearest_key_is_suggested(wrong: str, right: str) -> None:
    (fault,) = faults_of(overrides=[f"{wrong}=1"])
    assert fault.endswith(f"did you mean {right}?")


def test_variables_of_other_programs_are_only_a_warning() -> None:
    loaded = load(environ={"ATOM_HOME": "/home/x/.atom", "ATOM_TEST_REQUIRE_KAFKA": "1", "ATOM_KAFKA_TOPIC": ""})
    assert [text.split()[0] for text in loaded.warnings] == ["ATOM_HOME"]
    assert loaded.settings.kafka.topic == "atom.write.raw", "an empty variable counts as not set"


def test_secrets_are_never_shown(toml: Toml) -> None:
    environ = {
        "ATOM_KAFKA_SASL_PASSWORD": "geheim-1",
        "ATOM_PKI_PASSPHRASE": "geheim-2",
        "ATOM_KAFKA_PROPERTIES": "sasl.oauthbearer.client.secret=geheim-3",
    }
    loaded = load(environ=environ)
    assert loaded.settings.kafka.sasl_password is not None
    assert loaded.settings.kafka.sasl_password.get_secret_value() == "geheim-1"
    assert "geheim" not in repr(loaded) + str(loaded.settings)
    assert is_secret("kafka.properties.sasl.oauthbearer.client.secret")
    told = faults_of(
        environ=environ | {"ATOM_KAFKA_LINGER_MS": "x"},
        config_file=toml("[kafka]\nssl_key_password = 98765\n"),
        overrides=[
            "kafka.sasl_password=geheim-4",
            "kafka.properties.sasl.jaas.config=geheim-5",
            "kafka.properties=ssl.key.pem=geheim-6",
            "sasl_password=geheim-7",
            "pki.passphrase:geheim-8",
        ],
    )
    assert len(told) == 7
    assert not any(secret in text for secret in ("geheim", "98765") for text in told)
    assert sum("never given on the command line" in text for text in told) == 3


def test_a_readable_file_with_a_secret_is_a_warning(toml: Toml) -> None:
    path = toml("[kafka]\nsasl_password = 'x'\n")
    assert load(config_file=path, environ={}).warnings == ()
    path.chmod(0o640)
    (warning,) = load(config_file=path, environ={}).warnings
    assert f"chmod 600 {path}" in warning
    harmless = toml("[kafka]\ntopic = 'x'\n")
    harmless.chmod(0o644)
    assert load(config_file=harmless, environ={}).warnings == ()


def test_files_that_cannot_be_read(toml: Toml, tmp_path: Path) -> None:
    assert faults_of(config_file=tmp_path / "none.toml") == [
        f"{tmp_path / 'none.toml'}: cannot be read: No such file or directory"
    ]
    assert faults_of(environ={"ATOM_CONFIG": str(tmp_path)})[0].endswith("cannot be read: Is a directory")
    (fault,) = faults_of(config_file=toml("[kafka]\nlinger_ms = = 3\n"))
    assert fault.startswith(f"{tmp_path / 'atom.toml'}:2: not TOML")
    (fault,) = faults_of(config_file=toml("[kafka]\n\nx = '''abc\n"))
    assert "not TOML" in fault
    broken = tmp_path / "latin.toml"
    broken.write_bytes(b"[kafka]\ntopic = '\xe4'\n")
    assert faults_of(config_file=broken) == [f"{broken}:2: not UTF-8"]


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("kafka = 3\n", 1, "must be a table"),
        ("\nprofiles = 3\n", 2, "must be tables"),
        ("[profiles]\nprod = 3\n", 2, "must be a table"),
        ("[profiles.prod]\nprofile = 'dev'\n", 2, "top of the file"),
        ("[kafak]\ntopic = 't'\n", 1, "did you mean kafka?"),
        ("[kafka.topic]\nname = 't'\n", 1, "not a topic name"),
    ],
)
def test_tables_in_the_wrong_place(toml: Toml, text: str, line: int, words: str) -> None:
    path = toml(text)
    told = faults_of(config_file=path)
    assert any(fault.startswith(f"{path}:{line}: ") and words in fault for fault in told), told


def test_the_usual_file_is_read_when_it_is_there() -> None:
    usual = paths.config_file()
    usual.parent.mkdir(parents=True)
    usual.write_text("[ui]\nmouse = true\n")
    loaded = load(environ={})
    assert loaded.settings.ui.mouse
    assert loaded.config_file == usual


def test_check_looks_into_every_profile(toml: Toml) -> None:
    path = toml("[profiles.stage.kafka]\nlinger_ms = -1\n[profiles.lab.dlq]\nmode = 'x'\n")
    load(config_file=path, environ={})
    faults, warnings = check(config_file=path, environ={"ATOM_HOME": "x"})
    assert [fault.origin.detail for fault in faults] == [f"{path}:2", f"{path}:4"]
    assert len(warnings) == 1


def test_an_empty_value_clears_what_may_be_absent(toml: Toml) -> None:
    path = toml("log_file = '/x'\n[kafka]\ncertificate = 'c'\n")
    loaded = load(config_file=path, environ={}, overrides=["kafka.certificate=", "log_file="])
    assert loaded.settings.kafka.certificate is None
    assert loaded.settings.log_file is None


def test_every_variable_is_the_one_that_pydantic_settings_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    values = {
        "ATOM_KAFKA_LINGER_MS": "7",
        "ATOM_DLQ_TOPICS": "a,b",
        "ATOM_DLQ_MAX_BYTES": "2GiB",
        "ATOM_READ_ONLY": "1",
        "ATOM_FLIGHT_HTTP2_PING_TIMEOUT_MS": "9",
    }
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    assert Settings() == load(environ=values).settings.model_copy(update={"word": "DEV"})


def test_load_reads_the_environment_it_is_given_and_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATOM_KAFKA_TOPIC", "of-the-process")
    assert load(environ={}).settings.kafka.topic == "atom.write.raw"
    assert load().settings.kafka.topic == "of-the-process"


def test_settings_are_frozen() -> None:
    settings = load(environ={}).settings
    with pytest.raises(ValueError, match="frozen"):
        settings.kafka.linger_ms = 3.0


def test_importing_the_room_costs_no_pydantic() -> None:
    code = "import sys; from atom_console.config import load; sys.exit('pydantic' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_every_key_says_what_it_means_and_allows() -> None:
    for key in keys().values():
        assert key.meaning, key.name
        assert key.allowed, key.name
        assert "  " not in key.allowed
