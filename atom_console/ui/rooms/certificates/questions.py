"""The forms of this room: which fields, and what their answers mean. Pure functions; `form.Form` draws them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Final

from atom_console.engine.commands import ExportCertificate, IssueCertificate, RenewCertificates, RotateCa, ShowSnippet
from atom_console.engine.snapshot import CertificateRow
from atom_console.errors import AtomError
from atom_console.pki.issuing import Order, check_order
from atom_console.pki.names import SanKind, inventory_name, parse_san
from atom_console.pki.passphrase import MIN_CA_LENGTH
from atom_console.pki.profiles import Profile
from atom_console.pki.rotation import Plan
from atom_console.pki.snippets import FORMS
from atom_console.ui.drawing import Line, Span, foreign, line, wrap
from atom_console.ui.rooms.certificates.form import Answers, Checked, Field

PASSPHRASE: Final = "passphrase"  # noqa: S105 - the name of a field
_FILES: Final = ("pem", "pkcs12")
_KEYS: Final = Span("   ctrl+s goes on, esc leaves", "dim")
_MIN_STORE_PASSWORD: Final = 6
_TEXT_WIDTH: Final = 70


def passphrase_field(passphrase_set: bool) -> Field:
    """Where the passphrase of the CA's key is typed; empty means: from where the settings say."""
    return Field(
        PASSPHRASE, "empty: as the settings say" if passphrase_set else "of the CA's key; not shown", secret=True
    )


def _yes_or_no(answers: Answers, *names: str) -> dict[str, str]:
    """Half a word must not stand for an answer."""
    known = {"", "y", "yes", "n", "no"}
    return {name: "yes or no" for name in names if answers.texts.get(name, "").lower() not in known}


def _needs_passphrase(answers: Answers, passphrase_set: bool) -> dict[str, str]:
    if passphrase_set or PASSPHRASE in answers.secrets:
        return {}
    return {PASSPHRASE: "opens the CA's key; the settings name none"}


# Issue


def issue_heading() -> list[Line]:
    """Above the fields."""
    return [line(Span("Issue one certificate", "strong"), _KEYS)]


def issue_fields(profiles: Mapping[str, Profile], passphrase_set: bool) -> list[Field]:
    """Name, profile, names, life, key."""
    leaves = sorted(profile.name for profile in profiles.values() if not profile.is_ca)
    return [
        Field("name", "in the inventory: broker-2"),
        Field("profile", " or ".join(leaves)),
        Field("names", "DNS:… IP:… URI:… EMAIL:…, with spaces between"),
        Field("days", "empty: the profile's own"),
        Field("key type", "empty: the profile's own"),
        passphrase_field(passphrase_set),
    ]


def issue_check(
    profiles: Mapping[str, Profile], taken: frozenset[str], passphrase_set: bool
) -> Callable[[Answers], Checked[IssueCertificate]]:
    """The order of the answers, checked by the rules that the CA itself applies."""

    def check(answers: Answers) -> Checked[IssueCertificate]:
        texts = answers.texts
        wrong = _wrong_name(texts["name"], taken)
        profile = profiles.get(texts["profile"])
        if profile is None or profile.is_ca:
            leaves = sorted(one.name for one in profiles.values() if not one.is_ca)
            wrong["profile"] = f"expected {' or '.join(leaves)}"
            profile = None
        sans, wrong_names = _names(texts["names"], profile)
        life, wrong_days = _life(texts["days"], profile)
        wrong |= wrong_names | wrong_days
        key_type = texts["key type"] or None
        if profile is not None and key_type is not None and key_type not in profile.key_types:
            wrong["key type"] = f"expected {', '.join(profile.key_types)}"
        wrong |= _needs_passphrase(answers, passphrase_set)
        notes = [] if profile is None else _issue_notes(profile, life, key_type)
        if wrong or profile is None:
            return Checked(None, wrong, notes)
        order = Order(texts["name"], profile.name, sans, life, key_type)
        try:
            check_order(order, dict(profiles))
        except AtomError as error:
            return Checked(None, {"names": error.what}, notes)
        return Checked(IssueCertificate(order=order, passphrase=answers.secrets.get(PASSPHRASE)), {}, notes)

    return check


def _wrong_name(name: str, taken: frozenset[str]) -> dict[str, str]:
    if not name:
        return {"name": "is missing"}
    try:
        inventory_name(name)
    except AtomError as error:
        return {"name": f"{error.what}: {error.next_step}"}
    return {"name": f"{name} is there already; r renews it"} if name in taken else {}


def _names(text: str, profile: Profile | None) -> tuple[tuple[str, ...], dict[str, str]]:
    """SANs from a text; commas and spaces part them."""
    found: list[str] = []
    for part in text.replace(",", " ").split():
        try:
            san = parse_san(part, wildcards=profile.wildcards if profile else True)
        except AtomError as error:
            return (), {"names": f"{error.what}: {error.next_step}"}
        if profile is not None and san.kind not in profile.san_types:
            return (), {"names": f"{san}: profile {profile.name} allows {', '.join(profile.san_types)}"}
        found.append(str(san))
    dialled = {SanKind.DNS, SanKind.IP}
    if not found:
        return (), {"names": "at least one: clients do not read the common name"}
    if profile is not None and profile.serves and not any(SanKind(one.partition(":")[0]) in dialled for one in found):
        return (), {"names": f"profile {profile.name} serves: clients match DNS or IP names only"}
    return tuple(found), {}


def _life(text: str, profile: Profile | None) -> tuple[timedelta | None, dict[str, str]]:
    if not text:
        return None, {}
    try:
        days = float(text)
    except ValueError:
        return None, {"days": "expected a number of days"}
    most = profile.max_days if profile else 36_500
    if not 0 < days <= most:
        return None, {"days": f"expected more than 0 and at most {most}" + (f" ({profile.name})" if profile else "")}
    return timedelta(days=days), {}


def _issue_notes(profile: Profile, life: timedelta | None, key_type: str | None) -> list[Line]:
    days = profile.days if life is None else life.total_seconds() / 86_400
    usages = " and ".join(usage.replace("_auth", "") for usage in profile.extended_key_usage)
    kind = key_type or profile.key_type
    notes = [line(Span(f"→ {usages}, {kind}, {days:g} days; ends before its issuer does", "info"))]
    if kind == "ed25519":
        notes.append(line(Span("! ed25519: JVM brokers before Java 15 and some proxies refuse it", "warn")))
    return notes


# Renew


def renew_heading(rows: Sequence[CertificateRow]) -> list[Line]:
    """Which ones, and what becomes of the old ones."""
    names = wrap(", ".join(row.name for row in rows), _TEXT_WIDTH)
    return [
        line(Span(f"Renew {len(rows)} certificate{'s' if len(rows) > 1 else ''}", "strong"), _KEYS),
        *(line("  ", text) for text in names),
        line(Span("  New keys; the old pairs stay valid until their end.", "dim")),
    ]


def renew_check(names: Sequence[str], passphrase_set: bool) -> Callable[[Answers], Checked[RenewCertificates]]:
    """The command."""

    def check(answers: Answers) -> Checked[RenewCertificates]:
        wrong = _needs_passphrase(answers, passphrase_set)
        command = RenewCertificates(names=tuple(names), passphrase=answers.secrets.get(PASSPHRASE))
        return Checked(None if wrong else command, wrong)

    return check


# Rotate

STEPS: Final = {1: "prepare", 2: "switch", 3: "retire"}
_ROTATE_FIELDS: Final = {
    1: Field("keep root", "yes: replace the issuing CA alone", "no"),
    2: Field("distributed", "yes, when every peer has the trust bundle"),
    3: Field("peers switched", "yes, when no peer uses a replaced pair any more"),
}


def rotate_heading(plan: Plan) -> list[Line]:
    """One screen a step: what it will do before it does it, and what holds it up."""
    rows = [
        line(Span(f"Replace the CA · step {plan.step} of 3: {STEPS[plan.step]}", "strong"), _KEYS),
        line("It will:"),
    ]
    for sentence in plan.does:
        rows += _bullet(sentence, "· ")
    lists = (
        ("concerns", plan.leaves, ""),
        ("new CSRs are needed of", plan.foreign, "warn"),
        ("holds it up", plan.blocked_by, "error"),
    )
    for label, names, role in lists:
        if names:
            texts = wrap(f"{label}: {', '.join(names)}", _TEXT_WIDTH, 3)
            rows += [line("  ", Span(text, "warn" if role == "warn" else "error" if role else "")) for text in texts]
    return rows


def _bullet(sentence: str, mark: str) -> list[Line]:
    texts = wrap(sentence, _TEXT_WIDTH - 2, 3)
    return [line("  ", mark if number == 0 else "  ", foreign(text, 200)) for number, text in enumerate(texts)]


def rotate_fields(plan: Plan, passphrase_set: bool) -> list[Field]:
    """What only the operator knows; the last step needs no key."""
    own = _ROTATE_FIELDS[plan.step]
    return [own] if plan.step == 3 else [own, passphrase_field(passphrase_set)]


def rotate_check(plan: Plan, passphrase_set: bool) -> Callable[[Answers], Checked[RotateCa]]:
    """The command, where the operator has said what the step needs to know."""

    def check(answers: Answers) -> Checked[RotateCa]:
        wrong = {} if plan.step == 3 else _needs_passphrase(answers, passphrase_set)
        typed = answers.secrets.get(PASSPHRASE)
        if plan.step == 1 and typed is not None and len(typed) < MIN_CA_LENGTH:
            wrong[PASSPHRASE] = f"at least {MIN_CA_LENGTH} bytes: it will protect the new CA keys"
        own = _ROTATE_FIELDS[plan.step].name
        wrong |= _yes_or_no(answers, own)
        if plan.step == 2 and not answers.yes(own):
            wrong[own] = "type yes when every peer has the trust bundle: the first new leaf cuts off those who do not"
        if plan.step == 3 and plan.blocked_by and not answers.yes(own):
            wrong[own] = "type yes when no peer uses a replaced pair any more"
        said = answers.yes(own)
        command = RotateCa(
            step=plan.step,
            keep_root=said and plan.step == 1,
            distributed=said and plan.step == 2,
            peers_switched=said and plan.step == 3,
            passphrase=typed,
        )
        return Checked(None if wrong else command, wrong)

    return check


# Export


def export_heading(name: str) -> list[Line]:
    """Above the fields."""
    return [line(Span("Export ", "strong"), foreign(name, 60, "strong"), _KEYS)]


def export_fields() -> list[Field]:
    """Files or a snippet."""
    return [
        Field("format", "pem or pkcs12, or a snippet"),
        Field("directory", "for pem and pkcs12"),
        Field("key", "yes: with pem, the private key too"),
        Field("replace", "yes: over files that are there"),
        Field("store password", "for pkcs12; not shown", secret=True),
        Field("key passphrase", "where the key is encrypted; not shown", secret=True),
    ]


def export_check(name: str) -> Callable[[Answers], Checked[ExportCertificate | ShowSnippet]]:
    """Write files, or show a snippet."""

    def check(answers: Answers) -> Checked[ExportCertificate | ShowSnippet]:
        texts, form = answers.texts, answers.texts["format"]
        if form in FORMS:
            return Checked(ShowSnippet(name=name, form=form), {}, [line(Span("→ shown; Y there saves it", "info"))])
        if form not in _FILES:
            return Checked(None, {"format": f"expected {', '.join((*_FILES, *FORMS))}"})
        wrong = _yes_or_no(answers, "key", "replace")
        if not texts["directory"]:
            wrong["directory"] = "where the files go"
        password = answers.secrets.get("store password")
        if form == "pkcs12" and (password is None or len(password) < _MIN_STORE_PASSWORD):
            wrong["store password"] = f"at least {_MIN_STORE_PASSWORD} characters: keytool refuses fewer"
        command = ExportCertificate(
            name=name,
            form="pem" if form == "pem" else "pkcs12",
            directory=Path(texts["directory"]).expanduser(),
            with_key=answers.yes("key"),
            password=password,
            replace=answers.yes("replace"),
            passphrase=answers.secrets.get("key passphrase"),
        )
        return Checked(None if wrong else command, wrong, [line(Span("→ files are 0600", "info"))])

    return check
