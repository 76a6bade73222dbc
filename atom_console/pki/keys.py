"""Private keys: the types we make, reading and writing PEM without ever showing or asking."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa

from atom_console.pki.errors import FaultError
from atom_console.pki.findings import finding
from atom_console.pki.passphrase import Passphrase, SecretBytes

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey
PublicKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey | ed25519.Ed25519PublicKey

MIN_RSA_BITS: Final = 2048
MIN_EC_BITS: Final = 256
_MAX_KEY_FILE = 64 * 1024


class KeyType(StrEnum):
    """The key types that can be made."""

    EC_P256 = "ec-p256"
    EC_P384 = "ec-p384"
    RSA3072 = "rsa3072"
    RSA4096 = "rsa4096"
    ED25519 = "ed25519"


CA_KEY_TYPES: Final = frozenset(KeyType) - {KeyType.ED25519}


def generate(kind: KeyType) -> PrivateKey:
    """A new private key."""
    match kind:
        case KeyType.EC_P256:
            return ec.generate_private_key(ec.SECP256R1())
        case KeyType.EC_P384:
            return ec.generate_private_key(ec.SECP384R1())
        case KeyType.RSA3072:
            return rsa.generate_private_key(public_exponent=65537, key_size=3072)
        case KeyType.RSA4096:
            return rsa.generate_private_key(public_exponent=65537, key_size=4096)
        case KeyType.ED25519:
            return ed25519.Ed25519PrivateKey.generate()


def describe(public: object) -> str:
    """`ec-p256`, `rsa1024`, `ed25519`, or the class's name for what we do not make."""
    match public:
        case ec.EllipticCurvePublicKey():
            curves = {"secp256r1": "ec-p256", "secp384r1": "ec-p384", "secp521r1": "ec-p521"}
            return curves.get(public.curve.name, f"ec-{public.curve.name}")
        case rsa.RSAPublicKey():
            return f"rsa{public.key_size}"
        case ed25519.Ed25519PublicKey():
            return "ed25519"
        case ed448.Ed448PublicKey():
            return "ed448"
        case dsa.DSAPublicKey():
            return f"dsa{public.key_size}"
        case _:
            return type(public).__name__


def weakness(public: object) -> str | None:
    """Why a key is too weak, or None (NIST SP 800-131A, OpenSSL level 2: RSA from 2048 bits; here EC from 256)."""
    match public:
        case rsa.RSAPublicKey() if public.key_size < MIN_RSA_BITS:
            return f"RSA with {public.key_size} bits; at least {MIN_RSA_BITS} are needed"
        case ec.EllipticCurvePublicKey() if public.key_size < MIN_EC_BITS:
            return f"a curve of {public.key_size} bits; at least {MIN_EC_BITS} are needed"
        case dsa.DSAPublicKey():
            return "DSA, which TLS 1.3 does not know"
        case _:
            return None


def digest_for(key: PrivateKey) -> hashes.SHA256 | hashes.SHA384 | None:
    """The digest that this key signs certificates with (Ed25519 has its own)."""
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return None
    if isinstance(key, ec.EllipticCurvePrivateKey) and key.key_size > MIN_EC_BITS:
        return hashes.SHA384()
    return hashes.SHA256()


def to_pem(key: PrivateKey, passphrase: Passphrase | None = None) -> SecretBytes:
    """PKCS#8 PEM, encrypted (PBES2, AES-256) where a passphrase is given."""
    encryption: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if passphrase is not None:
        encryption = serialization.BestAvailableEncryption(passphrase.reveal())
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)
    return SecretBytes(pem)


def load_pem(data: bytes, subject: str, passphrase: Passphrase | None = None) -> PrivateKey:
    """The private key of a PEM file: PKCS#8, PKCS#1 or SEC1; a passphrase that is not needed is not used.

    Args:
        data: the file's bytes.
        subject: how a fault names the file.
        passphrase: opens it where it is encrypted.

    Raises:
        FaultError: `key-unparsable`, `key-encrypted`, `key-passphrase-wrong`.
    """
    if len(data) > _MAX_KEY_FILE or b"PRIVATE KEY-----" not in data:
        raise FaultError(finding("key-unparsable", subject, "the file holds no PEM private key"))
    if not is_encrypted(data):
        passphrase = None
    elif passphrase is None:
        raise FaultError(finding("key-encrypted", subject, "the private key is encrypted and no passphrase was given"))
    try:
        key = serialization.load_pem_private_key(data, passphrase.reveal() if passphrase else None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        if passphrase is not None and ("password" in str(error).lower() or _opens_with_some_passphrase(data)):
            raise FaultError(
                finding("key-passphrase-wrong", subject, "the passphrase does not open the private key")
            ) from None
        raise FaultError(
            finding("key-unparsable", subject, "the private key cannot be parsed: damaged or of an unknown kind")
        ) from None
    if not isinstance(key, PrivateKey):
        raise FaultError(
            finding("key-unparsable", subject, f"a {describe(key.public_key())} key: TLS here uses EC, RSA or Ed25519")
        )
    return key


def _opens_with_some_passphrase(data: bytes) -> bool:
    """Whether the encrypted file is sound. One wrong passphrase in 256 leaves a valid padding around garbage, which
    then reads as damage; another one of the same file says what it is."""
    for other in (b"1", b"2", b"3"):
        try:
            serialization.load_pem_private_key(data, other)
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            if "password" in str(error).lower():
                return True
    return False


def is_encrypted(data: bytes) -> bool:
    """Whether a PEM private key is encrypted (PKCS#8 `ENCRYPTED`, or the older `Proc-Type`)."""
    return b"BEGIN ENCRYPTED PRIVATE KEY" in data or b"ENCRYPTED" in data.split(b"\n\n", 1)[0]


def public_bytes(public: object) -> bytes:
    """The DER SubjectPublicKeyInfo, to compare keys by."""
    encode = public.public_bytes  # type: ignore[attr-defined] # every public key class has it; their union is not named
    der: bytes = encode(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return der
