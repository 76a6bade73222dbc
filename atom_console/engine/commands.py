"""What an operator can ask of the engine, as values, and what it answers, in the past tense.

A command carries frozen record numbers (`RecordRow.seq`) or a plan's id, never "what is on the screen": the list may
change under the hand.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

if TYPE_CHECKING:
    from atom_console.dlq.edit import Edit
    from atom_console.pki.issuing import Order
    from atom_console.pki.passphrase import Passphrase


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """Base of all commands. `changes` is False for those that a read-only profile may give."""

    changes: ClassVar[bool] = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Refresh(Command):
    """Read cluster, store and certificates now instead of at the next tick."""

    changes: ClassVar[bool] = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishEvent(Command):
    """Send one event, given as the mapping that `events.encode_mapping` takes."""

    event: Mapping[str, Any]
    topic: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StartWorkload(Command):
    """Feed a file (JSON Lines) through the producer; `rate_per_s` None = as fast as it goes."""

    path: Path
    rate_per_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PaceWorkload(Command):
    """Pause, resume or stop the running workload, or set its rate (events a second)."""

    action: Literal["pause", "resume", "stop", "rate"]
    rate_per_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetterCommand(Command):
    """Base of what is done with dead letters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportRecords(DeadLetterCommand):
    """Write dead letters to a file; it is masked as the screen is, unless the profile's clearance allows more."""

    changes: ClassVar[bool] = False
    seqs: Sequence[int]
    path: Path
    format: Literal["jsonl", "parquet", "spill"] = "jsonl"


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeState(DeadLetterCommand):
    """Release, quarantine, discard or restore dead letters by their frozen numbers, with the reason for the audit."""

    action: Literal["release", "quarantine", "discard", "restore"]
    seqs: Sequence[int]
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EditRecord(DeadLetterCommand):
    """Store a new revision of one dead letter, as `dlq.edit.prepare` worked it out and the operator saw it."""

    edit: Edit
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanReplay(DeadLetterCommand):
    """Make the dry run for these records; nothing is sent. None = as the profile, or the plan before, says.

    Attributes:
        seqs: the frozen numbers of the records.
        rate_per_s: 0 = as fast as it goes.
        instead_of: the plan that this one is made in place of; it is cancelled.
        part_of: plan the records of this stored plan again; `seqs` is empty then.
        first: of those only the first so many that it would send.
    """

    seqs: Sequence[int] = ()
    rate_per_s: float | None = None
    canary: int | None = None
    order: Literal["strict", "partition"] | None = None
    timestamps: Literal["now", "preserve"] | None = None
    instead_of: str | None = None
    part_of: str | None = None
    first: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ShowPlan(DeadLetterCommand):
    """A stored plan; with `held` the records that it holds back, too."""

    changes: ClassVar[bool] = False
    run_id: str
    held: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class StartReplay(DeadLetterCommand):
    """Run a stored plan; `confirmed` is the number of events that the operator typed or agreed to.

    `take_over` puts a living holder of the lease aside whose heartbeat is stale.
    """

    run_id: str
    confirmed: int
    take_over: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlReplay(DeadLetterCommand):
    """Pause, resume or cancel a run; what was sent stays sent."""

    run_id: str
    action: Literal["pause", "resume", "cancel"]
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckUnknown(DeadLetterCommand):
    """Look on the broker for every record whose outcome is not known; nothing is sent again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestTopics(DeadLetterCommand):
    """Read dead letters that others left on these topics into the store."""

    topics: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateCommand(Command):
    """What is asked of the certificate authority; a passphrase None is that of the settings."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadProfiles(CertificateCommand):
    """The certificate profiles by name, for a form that checks while one types."""

    changes: ClassVar[bool] = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ShowCertificate(CertificateCommand):
    """Everything about one certificate, with all its versions."""

    changes: ClassVar[bool] = False
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyCertificate(CertificateCommand):
    """Every fault by name; with `against` (`host:port`) of the peer, too, which is then asked."""

    changes: ClassVar[bool] = False
    name: str
    against: str | None = None
    transport: Literal["kafka", "flight"] = "kafka"
    passphrase: Passphrase | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ShowSnippet(CertificateCommand):
    """Ready configuration for one who uses a certificate: `form` is one of `pki.snippets.FORMS`."""

    changes: ClassVar[bool] = False
    name: str
    form: str


@dataclass(frozen=True, slots=True, kw_only=True)
class IssueCertificate(CertificateCommand):
    """Issue one leaf."""

    order: Order
    passphrase: Passphrase | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RenewCertificates(CertificateCommand):
    """Issue successors with new keys; the old pairs stay valid."""

    names: Sequence[str]
    passphrase: Passphrase | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanRotation(CertificateCommand):
    """What the next step of replacing the CA would do, and whether it may."""

    changes: ClassVar[bool] = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RotateCa(CertificateCommand):
    """Do the step whose plan was shown; refused where another step is next by now. The flags are `pki.rotation`'s."""

    step: int
    keep_root: bool = False
    distributed: bool = False
    peers_switched: bool = False
    passphrase: Passphrase | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportCertificate(CertificateCommand):
    """Write PEM files, or PKCS#12 stores under `password`; files that are there are kept unless `replace`."""

    name: str
    form: Literal["pem", "pkcs12"]
    directory: Path
    with_key: bool = False
    password: Passphrase | None = None
    replace: bool = False
    passphrase: Passphrase | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FlightCommand(Command):
    """What is asked of a Flight server; nothing on the server changes, so a read-only profile may."""

    changes: ClassVar[bool] = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ListFlights(FlightCommand):
    """Ask for the plans; `uri` (`host:port`, `grpc+tls://…`) makes another server the present one."""

    uri: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchSchema(FlightCommand):
    """Ask for the schema of a plan; one named by hand joins the list."""

    plan_id: str
    by_hand: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class StartTransfer(FlightCommand):
    """Fetch a plan: to nowhere (`bench` measures a raw socket first), as a preview, or to a new file.

    `accept_schema` takes the stream's own schema though it is not the promised one.
    """

    plan_id: str
    to: Literal["discard", "preview", "file", "bench"] = "discard"
    path: Path | None = None
    accept_schema: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelTransfer(FlightCommand):
    """Cancel what is being fetched; of a file nothing stays."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ping(FlightCommand):
    """Call the server now, instead of in ten seconds."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of a command: `text` is one past-tense sentence (`Wrote 58 records to poison.jsonl.`).

    Attributes:
        ok: False where it was refused or failed; then `next_step` says what to do.
        at_ms: Unix milliseconds.
        value: what the command made (a run id, a count), for a room that goes on with it.
    """

    text: str
    at_ms: int
    ok: bool = True
    next_step: str | None = None
    value: Any = None

    @classmethod
    def now(cls, text: str, *, ok: bool = True, next_step: str | None = None, value: Any = None) -> Receipt:
        """A receipt of this moment."""
        return cls(text, time.time_ns() // 1_000_000, ok, next_step, value)
