"""Orders, renewals, fleets, rotation, revocation, audit and inventory."""

from __future__ import annotations

import datetime as dt
import json
import os
import shutil
from pathlib import Path

import pytest
from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st

from atom_console.errors import AtomError
from atom_console.pki import fleet, issuing, revocation, rotation
from atom_console.pki.errors import (
    AlreadyExistsError,
    FaultError,
    GuardError,
    PassphraseError,
    ProfileError,
    RequestError,
    StoreLockedError,
    StoreWriteError,
    UnknownCertificateError,
)
from atom_console.pki.inventory import Status, utc_now
from atom_console.pki.issuing import Order
from atom_console.pki.names import inventory_name, matches_host, parse_san
from atom_console.pki.passphrase import Passphrase, PassphraseSource, choose, fixed, no_passphrase
from atom_console.pki.pem import parse
from atom_console.pki.profiles import Kind, load_profiles
from atom_console.pki.store import Store
from atom_console.pki.verify import pair_of, verify

DAY = dt.timedelta(days=1)


def leaf(store: Store, name: str) -> x509.Certificate:
    return parse(store.find(name).chain.read_bytes(), name)[0]


# Profiles and names


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("x = 1", "is not a field"),
        ('description = "d"', "kind"),
        ('description="d"\nkind="leaf"\ndays=1', "extended_key_usage"),
        ('description="d"\nkind="leaf"\ndays=0\nextended_key_usage=["client_auth"]', "between 1"),
        ('description="d"\nkind="root"\ndays=9\nkey_type="ed25519"', "ed25519"),
        ('description="d"\nkind="leaf"\ndays=9\nmax_days=3\nextended_key_usage=["client_auth"]', "max_days"),
        ('description="d"\nkind="leaf"\ndays=9\nextended_key_usage=["mail"]', "not one of"),
        ('description="d"\nkind="leaf"\ndays=9\nextended_key_usage=["server_auth"]\nsan_types=["URI"]', "DNS or IP"),
        ('description="d"\nkind="leaf"\ndays=9\nextended_key_usage=["client_auth"]\ncrl_urls=["https://x"]', "http://"),
        ('description="d"\nkind="intermediate"\ndays=9\n[name_constraints]\npermitted=["IP:x"]', "name_constraints"),
        ("not toml", "cannot be read"),
    ],
)
def test_a_bad_profile_names_file_and_field(tmp_path: Path, text: str, why: str) -> None:
    (tmp_path / "mine.toml").write_text(text)
    with pytest.raises(ProfileError, match=why) as caught:
        load_profiles(tmp_path)
    assert "mine.toml" in caught.value.what


def test_the_users_own_profile_is_used_and_wins(pki: Store, ca_passphrase: PassphraseSource) -> None:
    own = pki.root / "profiles"
    own.mkdir()
    (own / "sidecar.toml").write_text(
        'description="d"\nkind="leaf"\ndays=7\nextended_key_usage=["client_auth"]\norganization="Atom"\n'
        'san_types=["URI"]\ncrl_urls=["http://crl.internal/ca.der"]\n'
    )
    order = Order("side", "sidecar", ("URI:spiffe://atom.internal/side",))
    (made,) = issuing.issue(pki, ca_passphrase, [order])
    assert made.entry.subject == "O=Atom,CN=side"
    points = leaf(pki, "side").extensions.get_extension_for_class(x509.CRLDistributionPoints).value
    assert points[0].full_name is not None
    assert points[0].full_name[0].value == "http://crl.internal/ca.der"


@pytest.mark.parametrize(
    "bad",
    ["x", "DNS:", "DNS:10.0.0.1", "DNS:a.b.", "DNS:ä.eu", "DNS:*.eu", "DNS:a_b.eu", "IP:host", "IP:fe80::1%eth0",
     "URI:noscheme", "URI:spiffe://a:9/x", "URI:spiffe://a/x?y", "EMAIL:nobody", "TXT:a", "DNS:a b", "EMAIL:a@b@c_d"],
)  # fmt: skip
def test_a_name_that_no_peer_would_match_is_refused(bad: str) -> None:
    with pytest.raises(RequestError):
        parse_san(bad)


@given(st.text(max_size=40))
def test_no_text_makes_the_parser_of_names_fail_otherwise(text: str) -> None:
    for candidate in (text, f"DNS:{text}", f"IP:{text}", f"URI:{text}", f"EMAIL:{text}"):
        try:
            san = parse_san(candidate)
        except RequestError:
            continue
        assert parse_san(str(san)) == san


@given(st.text(max_size=80))
def test_an_inventory_name_is_one_directory(text: str) -> None:
    try:
        name = inventory_name(text)
    except RequestError:
        return
    assert "/" not in name
    assert not name.startswith(".")
    assert len(name.encode()) <= 63


@pytest.mark.parametrize(
    ("sans", "host", "is_match"),
    [
        (["DNS:a.eu"], "A.EU", True),
        (["DNS:*.a.eu"], "x.a.eu", True),
        (["DNS:*.a.eu"], "x.y.a.eu", False),
        (["DNS:*.a.eu"], "a.eu", False),
        (["IP:::1"], "0:0:0:0:0:0:0:1", True),
        (["DNS:a.eu"], "a.eu.", False),
        (["IP:10.0.0.1"], "10.0.0.10", False),
    ],
)
def test_how_a_dialled_name_is_matched(sans: list[str], host: str, is_match: bool) -> None:
    assert matches_host([parse_san(text) for text in sans], host) is is_match


# Issuing


@pytest.mark.parametrize(
    ("order", "why"),
    [
        (Order("x", "client"), "at least one SAN"),
        (Order("x", "flight-server", ("URI:a://b",)), "does not allow"),
        (Order("x", "root", ()), "not the profile of a leaf"),
        (Order("x", "none", ()), "not the profile of a leaf"),
        (Order("x", "client", ("DNS:x.eu",), life=399 * DAY), "outside profile"),
        (Order("x", "client", ("DNS:x.eu",), life=0 * DAY - DAY), "outside profile"),
        (Order("x", "client", ("DNS:x.eu",), key_type="rsa1024"), "does not allow key type"),
        (Order("x", "client", ("DNS:*.x.eu",)), "wildcard"),
        (Order("x", "client", ("DNS:x.eu",), subject="nonsense"), "RFC 4514"),
        (Order("../x", "client", ("DNS:x.eu",)), "cannot name"),
        (Order("current", "client", ("DNS:x.eu",)), "cannot name"),
    ],
)
def test_an_order_that_cannot_be_is_refused_and_changes_nothing(
    pki: Store, ca_passphrase: PassphraseSource, order: Order, why: str
) -> None:
    before = [e.fingerprint for e in pki.entries()]
    good = Order("fine", "client", ("DNS:fine.eu",))
    with pytest.raises(RequestError, match=why) as caught:
        issuing.issue(pki, ca_passphrase, [good, order])
    assert caught.value.next_step
    assert [e.fingerprint for e in pki.scan()] == before


def test_a_taken_name_is_refused_unless_replacing(pki: Store, ca_passphrase: PassphraseSource) -> None:
    order = Order("broker-1", "broker", ("DNS:b.eu",))
    with pytest.raises(AlreadyExistsError):
        issuing.issue(pki, ca_passphrase, [order])
    old = pki.find("broker-1")
    (made,) = issuing.issue(pki, ca_passphrase, [order], replace_existing=True)
    assert pki.find("broker-1").serial == made.entry.serial
    assert pki.find(old.serial).status is Status.SUPERSEDED


def test_every_certificate_is_backdated_with_a_long_random_serial(pki: Store) -> None:
    serials = {e.serial for e in pki.entries()}
    assert len(serials) == len(pki.entries())
    for entry in pki.entries():
        assert int(entry.serial, 16).bit_length() > 100
        lag = dt.datetime.fromtimestamp(entry.not_before_ms / 1000, tz=dt.UTC) - utc_now()
        assert dt.timedelta(minutes=-6) < lag <= dt.timedelta(minutes=-5)


def test_name_constraints_are_held_when_issuing(tmp_path: Path, ca_passphrase: PassphraseSource) -> None:
    store = Store(tmp_path / "pki")
    own = store.root / "profiles"
    own.mkdir(parents=True)
    text = (Path("certs") / "intermediate.toml").read_text()
    text = text.replace("permitted = []", 'permitted = ["DNS:eu.internal", "IP:10.0.0.0/8"]')
    (own / "intermediate.toml").write_text(text.replace("excluded = []", 'excluded = ["DNS:secret.eu.internal"]'))
    issuing.init(store, ca_passphrase)
    (good,) = issuing.issue(store, ca_passphrase, [Order("a", "broker", ("DNS:a.eu.internal", "IP:10.1.1.1"))])
    assert verify(pair_of(store, good.entry.name), host="a.eu.internal").ok
    for san in ("DNS:a.us.internal", "IP:192.168.0.1", "DNS:x.secret.eu.internal"):
        with pytest.raises(RequestError, match="may not sign"):
            issuing.issue(store, ca_passphrase, [Order("b", "broker", (san,))])


def test_ca_keys_are_encrypted_and_a_wrong_passphrase_changes_nothing(pki: Store) -> None:
    for entry in pki.entries():
        assert entry.key is not None
        assert (b"ENCRYPTED" in entry.key.read_bytes()) is (entry.kind is not Kind.LEAF)
    with pytest.raises(FaultError, match="does not open"):
        issuing.renew(pki, fixed(Passphrase("not the right one")), ["broker-1"])
    with pytest.raises(PassphraseError):
        issuing.renew(pki, no_passphrase, ["broker-1"])


def test_a_short_passphrase_makes_no_ca(tmp_path: Path) -> None:
    store = Store(tmp_path / "pki")
    with pytest.raises(PassphraseError, match="at least 12"):
        issuing.init(store, fixed(Passphrase("short")))
    assert store.scan() == []


def test_a_group_readable_ca_key_is_refused(pki: Store, ca_passphrase: PassphraseSource) -> None:
    ca = pki.current(Kind.INTERMEDIATE)
    assert ca is not None
    assert ca.key is not None
    ca.key.chmod(0o640)
    with pytest.raises(FaultError, match="0640"):
        issuing.renew(pki, ca_passphrase, ["broker-1"])


def test_an_offline_root_signs_nothing_and_says_where_it_belongs(pki: Store, ca_passphrase: PassphraseSource) -> None:
    root = pki.current(Kind.ROOT)
    assert root is not None
    assert root.key is not None
    root.key.rename(root.key.with_name("gone"))
    assert issuing.renew(pki, ca_passphrase, ["broker-1"])
    with pytest.raises(GuardError, match="not on this host"):
        rotation.prepare(pki, ca_passphrase, keep_root=True)
    lists = revocation.make_lists(pki, ca_passphrase)
    assert any("not on this host" in notice for notice in lists.notices)


# Renewal


def test_needs_renewal_answers_timers(pki: Store) -> None:
    entry = pki.find("ops-alice")
    start = dt.datetime.fromtimestamp(entry.not_before_ms / 1000, tz=dt.UTC)
    life = dt.timedelta(milliseconds=entry.not_after_ms - entry.not_before_ms)
    for share, code in ((0.5, 0), (0.66, 0), (0.67, 10), (0.99, 10), (1.0, 20), (2, 20)):
        assert issuing.needs_renewal(pki, ["ops-alice"], now=start + life * share)[0] == code
    with pytest.raises(UnknownCertificateError):
        issuing.needs_renewal(pki, ["nobody"])


def test_renewing_keeps_the_request_and_changes_the_key(pki: Store, ca_passphrase: PassphraseSource) -> None:
    order = Order("x", "client", ("DNS:x.eu", "EMAIL:x@eu.eu"), life=3 * DAY, key_type="ec-p384", subject="CN=x,O=Y")
    issuing.issue(pki, ca_passphrase, [order])
    old = pki.find("x")
    issuing.renew(pki, ca_passphrase, ["x"])
    new = pki.find("x")
    assert (new.sans, new.subject, new.key_type, new.profile) == (old.sans, old.subject, old.key_type, old.profile)
    assert new.subject_id != old.subject_id
    assert abs((new.not_after_ms - new.not_before_ms) - (old.not_after_ms - old.not_before_ms)) <= 1000
    assert [e.name for e in issuing.renew(pki, ca_passphrase, None)] == []
    later = utc_now() + 2.5 * DAY
    assert [made.entry.name for made in issuing.renew(pki, ca_passphrase, None, now=later)] == ["x"]


# Fleet


FLEET = """
[defaults]
profile = "client"
days = 20
[[cert]]
name = "svc-a"
sans = ["DNS:a.eu"]
[[cert]]
name = "svc-b"
profile = "broker"
sans = ["DNS:b.eu", "IP:10.0.0.2"]
"""


def test_a_fleet_is_idempotent(pki: Store, ca_passphrase: PassphraseSource) -> None:
    orders = fleet.read_orders(FLEET, "fleet.toml")
    assert [o.action for o in fleet.apply(pki, no_passphrase, orders, dry_run=True)] == ["issued", "issued"]
    assert [o.action for o in fleet.apply(pki, ca_passphrase, orders)] == ["issued", "issued"]
    before = [e.fingerprint for e in pki.entries()]
    # Nothing to do asks for no passphrase.
    assert [o.action for o in fleet.apply(pki, no_passphrase, orders)] == ["kept", "kept"]
    assert [e.fingerprint for e in pki.entries()] == before
    changed = fleet.read_orders(FLEET.replace("DNS:a.eu", "DNS:aa.eu"), "fleet.toml")
    assert [o.action for o in fleet.apply(pki, ca_passphrase, changed)] == ["changed", "kept"]
    later = utc_now() + 15 * DAY
    assert [o.action for o in fleet.apply(pki, ca_passphrase, changed, now=later)] == ["renewed", "renewed"]
    revocation.revoke(pki, ca_passphrase, ["svc-b"])
    assert [o.why for o in fleet.apply(pki, no_passphrase, changed, dry_run=True)][1] == "the last one was revoked"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", r"no \[\[cert\]\]"),
        ("x=", "not TOML"),
        ("[other]", "other is not known"),
        ("[[cert]]\nname=1", r"cert\[0\]\.name must be"),
        ('[[cert]]\nname="a"\nprofile="client"\nsan=["x"]', r"cert\[0\]\.san is not known"),
        ('[[cert]]\nname="a"\nprofile="client"\nsans="x"', r"cert\[0\]\.sans"),
        ('[[cert]]\nname="a"\nprofile="client"\ndays=true', r"cert\[0\]\.days"),
        ('[[cert]]\nname="a"\nprofile="client"\n[[cert]]\nname="a"\nprofile="client"', "occurs twice"),
    ],
)
def test_a_bad_fleet_file_names_the_field(text: str, why: str) -> None:
    with pytest.raises(RequestError, match=why):
        fleet.read_orders(text, "fleet.toml")


# Rotation


def test_a_rotation_in_three_guarded_steps(pki: Store, ca_passphrase: PassphraseSource) -> None:
    old_bundle = pki.bundle.read_bytes()
    old_chain = pki.find("broker-1").chain.read_bytes()
    with pytest.raises(GuardError):
        rotation.switch(pki, ca_passphrase, distributed=True)
    with pytest.raises(GuardError):
        rotation.retire(pki)
    assert rotation.plan(pki).step == 1
    rotation.prepare(pki, ca_passphrase)
    both = pki.bundle.read_bytes()
    assert old_bundle.strip() in both
    assert both.count(b"BEGIN CERTIFICATE") == 2
    # Until the switch everything is still issued by the old CA.
    assert issuing.renew(pki, ca_passphrase, ["ops-alice"])[0].entry.issuer == pki.find("broker-1").issuer
    with pytest.raises(GuardError, match="under way"):
        rotation.prepare(pki, ca_passphrase)
    with pytest.raises(GuardError, match="must trust the new root"):
        rotation.switch(pki, ca_passphrase, distributed=False)
    done = rotation.switch(pki, ca_passphrase, distributed=True)
    assert {made.entry.name for made in done.issued} == {"broker-1", "flight-1", "ops-alice"}
    # The overlap: old and new leaves are good under the one bundle.
    trusted = x509.load_pem_x509_certificates(pki.bundle.read_bytes())
    for chain in (old_chain, pki.find("broker-1").chain.read_bytes()):
        cert, above = x509.load_pem_x509_certificates(chain)
        cert.verify_directly_issued_by(above)
        assert any(above.issuer == root.subject for root in trusted)
    assert all(verify(pair_of(pki, name)).ok for name in ("broker-1", "flight-1", "ops-alice"))
    with pytest.raises(GuardError, match="still needed"):
        rotation.retire(pki)
    assert rotation.plan(pki).blocked_by
    done = rotation.retire(pki, peers_switched=True)
    assert len(done.retired) == 2
    assert pki.bundle.read_bytes().count(b"BEGIN CERTIFICATE") == 1
    assert verify(pair_of(pki, "broker-1")).ok
    assert rotation.plan(pki).step == 1
    assert pki.entries() == pki.scan()


def test_retiring_is_refused_while_a_foreign_leaf_is_in_use(pki: Store, ca_passphrase: PassphraseSource) -> None:
    from atom_console.pki import csr

    company = csr.make_request(pki, Order("theirs", "client", ("DNS:t.eu",)))
    data = company.csr.read_bytes()
    shutil.rmtree(company.csr.parent)
    csr.sign_csr(pki, ca_passphrase, "theirs", "client", data)
    rotation.prepare(pki, ca_passphrase, keep_root=True)
    done = rotation.switch(pki, ca_passphrase, distributed=False)
    assert done.foreign == ("theirs",)
    with pytest.raises(GuardError, match="theirs"):
        rotation.retire(pki, peers_switched=True)
    csr.sign_csr(pki, ca_passphrase, "theirs", "client", data)
    rotation.retire(pki, peers_switched=True)


# Revocation


def test_a_revoked_certificate_is_on_the_list_and_named(pki: Store, ca_passphrase: PassphraseSource) -> None:
    issuing.renew(pki, ca_passphrase, ["broker-1"])
    revoked, lists = revocation.revoke(pki, ca_passphrase, ["broker-1"], "key-compromise")
    assert len(revoked) == 2
    assert {f.id for f in verify(pair_of(pki, "broker-1")).findings} == {"revoked"}
    assert verify(pair_of(pki, "flight-1")).ok
    assert lists.bundle.read_bytes().count(b"BEGIN X509 CRL") == 2
    assert all(path.with_suffix(".der").exists() for path in lists.made)
    before = pki.revocations().crl_number
    revocation.make_lists(pki, ca_passphrase)
    assert pki.revocations().crl_number == before + 1
    with pytest.raises(RequestError, match="no reason"):
        revocation.revoke(pki, ca_passphrase, ["flight-1"], "because")
    ca = pki.current(Kind.INTERMEDIATE)
    assert ca is not None
    with pytest.raises(RequestError, match="CA in use"):
        revocation.revoke(pki, ca_passphrase, [ca.name])
    assert issuing.renew(pki, ca_passphrase, ["broker-1"])
    assert verify(pair_of(pki, "broker-1")).ok


# Inventory, lock, audit


def test_the_inventory_is_rebuilt_from_the_files(pki: Store, ca_passphrase: PassphraseSource) -> None:
    revocation.revoke(pki, ca_passphrase, ["ops-alice"])
    entries = pki.entries()
    (pki.root / "inventory.json").unlink()
    assert pki.entries() == entries
    (pki.root / "inventory.json").write_text("{broken")
    assert pki.entries() == entries
    with pki.exclusive():
        pass
    assert json.loads((pki.root / "inventory.json").read_text())["format"] == 1
    moved = pki.root.with_name("moved")
    pki.root.rename(moved)
    assert [e.fingerprint for e in Store(moved).entries()] == [e.fingerprint for e in entries]


def test_two_processes_do_not_change_at_once(pki: Store) -> None:
    with pki.exclusive():
        with pytest.raises(StoreLockedError, match=str(os.getpid())):
            with pki.exclusive(wait_s=0.05):
                pass


def test_the_audit_tells_a_change_a_cut_and_a_torn_tail(pki: Store, ca_passphrase: PassphraseSource) -> None:
    head = pki.audit.head()
    assert head is not None
    assert head.who["user"]
    path = pki.root / "audit.jsonl"
    rows = path.read_bytes().splitlines(keepends=True)
    assert pki.audit.verify(head.hash).ok
    path.write_bytes(rows[0].replace(b'"init"', b'"inot"') + b"".join(rows[1:]))
    assert pki.audit.verify().first_bad == 1
    path.write_bytes(b"".join(rows[:-1]))
    assert pki.audit.verify().ok
    assert not pki.audit.verify(head.hash).ok
    path.write_bytes(b"".join([rows[0], *rows[2:]]))
    assert pki.audit.verify().first_bad == 2
    path.write_bytes(b"".join(rows) + b'{"seq": 99, "at"')
    issuing.renew(pki, ca_passphrase, ["broker-1"])
    assert pki.audit.verify().ok
    assert "repair" in [row.action for row in pki.audit.rows()]


def test_a_full_disk_leaves_everything_as_it_was(
    pki: Store, ca_passphrase: PassphraseSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = pki.scan()
    real, calls = os.fsync, 0

    def full(descriptor: int) -> None:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise OSError(28, "No space left on device")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreWriteError, match="No space"):
        issuing.renew(pki, ca_passphrase, ["broker-1"])
    assert pki.scan() == before
    assert not list(pki.root.rglob(".new-*"))


# Passphrases


def test_where_a_passphrase_comes_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "pass"
    path.write_text("from a file\nand more")
    path.chmod(0o600)
    assert choose(file=path)("x").reveal() == b"from a file"
    path.chmod(0o640)
    with pytest.raises(PassphraseError, match="readable by others"):
        choose(file=path)("x")
    read, write = os.pipe()
    os.write(write, b"from a descriptor\n")
    os.close(write)
    assert choose(descriptor=read)("x").reveal() == b"from a descriptor"
    os.close(read)
    assert choose(value="from the environment")("x").reveal() == b"from the environment"
    with pytest.raises(PassphraseError, match="none was given"):
        choose()("the CA key")
    with pytest.raises(PassphraseError, match="cannot be read"):
        choose(descriptor=9999)("x")
    assert "secret" not in repr(Passphrase("secret")) + str([Passphrase("secret")])


def test_every_error_has_a_next_step(pki: Store, ca_passphrase: PassphraseSource) -> None:
    with pytest.raises(AtomError) as caught:
        pki.find("nobody")
    assert caught.value.next_step
