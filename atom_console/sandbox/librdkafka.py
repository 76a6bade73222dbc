"""The mock cluster of librdkafka, reached through ctypes in the library that the confluent-kafka wheel brings.

librdkafka calls this API experimental (rdkafka_mock.h), so the version is checked and every symbol is looked up before
anything starts: an unsuitable library is one sentence, not a crash.
"""

from __future__ import annotations

import ctypes
from ctypes import POINTER, c_char_p, c_int, c_int16, c_int32, c_int64, c_size_t, c_void_p
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from atom_console.errors import AtomError

VERSION: Final = "2.16."
"""The librdkafka whose mock cluster was measured."""

_SIGNATURES: Final[dict[str, tuple[Any, list[Any]]]] = {
    "rd_kafka_conf_new": (c_void_p, []),
    "rd_kafka_conf_set": (c_int, [c_void_p, c_char_p, c_char_p, c_char_p, c_size_t]),
    "rd_kafka_new": (c_void_p, [c_int, c_void_p, c_char_p, c_size_t]),
    "rd_kafka_destroy": (None, [c_void_p]),
    "rd_kafka_version_str": (c_char_p, []),
    "rd_kafka_mock_cluster_new": (c_void_p, [c_void_p, c_int]),
    "rd_kafka_mock_cluster_destroy": (None, [c_void_p]),
    "rd_kafka_mock_cluster_bootstraps": (c_char_p, [c_void_p]),
    "rd_kafka_mock_topic_create": (c_int, [c_void_p, c_char_p, c_int, c_int]),
    "rd_kafka_mock_topic_set_error": (None, [c_void_p, c_char_p, c_int]),
    "rd_kafka_mock_push_request_errors_array": (None, [c_void_p, c_int16, c_size_t, POINTER(c_int)]),
    "rd_kafka_mock_clear_request_errors": (None, [c_void_p, c_int16]),
    "rd_kafka_mock_broker_set_down": (c_int, [c_void_p, c_int32]),
    "rd_kafka_mock_broker_set_up": (c_int, [c_void_p, c_int32]),
    "rd_kafka_mock_broker_set_rtt": (c_int, [c_void_p, c_int32, c_int]),
    "rd_kafka_mock_partition_set_leader": (c_int, [c_void_p, c_char_p, c_int32, c_int32]),
    "rd_kafka_mock_group_initial_rebalance_delay_ms": (None, [c_void_p, c_int32]),
    "rd_kafka_mock_start_request_tracking": (None, [c_void_p]),
    "rd_kafka_mock_clear_requests": (None, [c_void_p]),
    "rd_kafka_mock_get_requests": (POINTER(c_void_p), [c_void_p, POINTER(c_size_t)]),
    "rd_kafka_mock_request_api_key": (c_int16, [c_void_p]),
    "rd_kafka_mock_request_timestamp": (c_int64, [c_void_p]),
    "rd_kafka_mock_request_destroy_array": (None, [POINTER(c_void_p), c_size_t]),
}


class MockUnavailableError(AtomError):
    """The embedded mock cluster cannot run with the installed librdkafka."""


def library_path() -> Path:
    """The librdkafka that the installed confluent-kafka wheel brings, so that client and cluster are the same build.

    Raises:
        MockUnavailableError: confluent-kafka is not installed, or was built against a librdkafka of the system.
    """
    spec = find_spec("confluent_kafka")
    if spec is None or spec.origin is None:
        raise MockUnavailableError("confluent-kafka is not installed", next_step="install atom-console again")
    package = Path(spec.origin).parent
    places = ((package.parent / "confluent_kafka.libs", "librdkafka*.so*"), (package / ".dylibs", "librdkafka*.dylib"))
    for folder, pattern in places:
        for found in sorted(folder.glob(pattern)):
            return found
    raise MockUnavailableError(
        "this confluent-kafka brings no librdkafka of its own, and the embedded mock cluster lives in that library",
        next_step="install the wheel of confluent-kafka 2.16, or point --set kafka.bootstrap_servers at a real broker",
    )


def load(path: Path | None = None, version: str = VERSION) -> ctypes.CDLL:
    """The library, with every function typed.

    Args:
        path: the shared library; by default the wheel's own.
        version: what its version must begin with.

    Raises:
        MockUnavailableError: it does not load, is another version, or lacks a symbol; the sentence names which.
    """
    path = path or library_path()
    try:
        library = ctypes.CDLL(str(path))
    except OSError as error:
        what = f"{path.name} does not load: {error}"
        raise MockUnavailableError(what, next_step="install atom-console again") from None
    missing = [name for name in _SIGNATURES if not hasattr(library, name)]
    if missing:
        raise MockUnavailableError(
            f"{path.name} lacks {missing[0]}" + (f" and {len(missing) - 1} more symbols" if missing[1:] else ""),
            next_step=f"the mock cluster needs librdkafka {version}x: install the confluent-kafka that is pinned",
        )
    for name, (result, arguments) in _SIGNATURES.items():
        function = getattr(library, name)
        function.restype = result
        function.argtypes = arguments
    found = library.rd_kafka_version_str().decode()
    if not found.startswith(version):
        raise MockUnavailableError(
            f"librdkafka {found} is installed and the mock cluster is proved with {version}x only",
            next_step="install the confluent-kafka that is pinned in requirements/runtime.txt",
        )
    return library
