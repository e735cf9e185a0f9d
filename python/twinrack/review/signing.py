"""Signatures over entries of a trail: Ed25519, with keys as OpenSSH keeps them.

What is signed is the entry's hash with the signer's name and the date, so that none of them can be exchanged; the hash covers
the whole patch and the trail before it (see `rack.trail`).
"""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..checks import brief
from ..rack.patch import read_json
from ..rack.trail import KEY, added, content_of, digest, trail_of, verify
from ..system import disk
from ..system.disk import atomic

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

FIELDS = {"name", "date", "key", "signature"}
PREFIX = b"twinrack trail signature 1\n"


def _library() -> Any:
    try:
        from cryptography.hazmat.primitives import serialization
    except ModuleNotFoundError:
        raise ValueError("signatures need cryptography; in the clone of twinrack: pip install '.[sign]'") from None
    return serialization


def need_library() -> None:
    """Raises ValueError with a sentence where signatures cannot be checked here."""
    _library()


def new_key(path: Path, passphrase: bytes | None = None) -> str:
    """Write a new private key, readable by its owner only, and the public one beside it (.pub); its fingerprint.

    Raises:
        FileExistsError: there is a file already; a key is never written over.
    """
    serialization = _library()
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    public_path = path.with_name(f"{path.name}.pub")
    for file in (path, public_path):
        if file.exists():
            raise FileExistsError(f"{file} exists; a key is never written over: give another name")
    key = Ed25519PrivateKey.generate()
    protection = serialization.NoEncryption() if not passphrase else serialization.BestAvailableEncryption(passphrase)
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, protection)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as owned:
        owned.write(private)
    public_path.write_bytes(_public_line(key.public_key()) + b"\n")
    return fingerprint_of(key.public_key())


def read_key(path: Path, ask: Callable[[], bytes] | None = None) -> Ed25519PrivateKey:
    """A private key from an OpenSSH file, such as ~/.ssh/id_ed25519.

    Args:
        ask: gives the passphrase where the key has one.

    Raises:
        ValueError: it is not an Ed25519 key, or the passphrase is wrong.
    """
    serialization = _library()
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    content = disk.read_whole(path, "key", 1 << 16)
    for attempt in range(2):
        try:
            key = serialization.load_ssh_private_key(content, ask() if attempt and ask is not None else None)
            break
        except UnsupportedAlgorithm as error:
            raise ValueError(f"{path} cannot be read: {error}; in the clone of twinrack: pip install '.[sign]'") from None
        except TypeError:
            if ask is None or attempt:
                raise ValueError(f"{path} is protected by a passphrase") from None
        except ValueError as error:
            text = "the passphrase is wrong" if attempt else f"{path} is not an OpenSSH private key"
            if not attempt and "password" in str(error).lower() and ask is not None:
                continue
            raise ValueError(f"{text}; make one with: twinrack trail key {path.name}") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise ValueError(f"{path} is not an Ed25519 key; make one with: twinrack trail key NAME, or ssh-keygen -t ed25519")
    return key


def _public_line(key: Ed25519PublicKey) -> bytes:
    serialization = _library()
    line: bytes = key.public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    return line


def fingerprint_of(key: Ed25519PublicKey) -> str:
    """As `ssh-keygen -l` prints it: SHA256 and base64."""
    blob = base64.b64decode(_public_line(key).split()[1])
    return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")


def _message(entry: Mapping[str, Any], name: str, date: str) -> bytes:
    return PREFIX + digest({"hash": entry.get("hash"), "name": name, "date": date}).encode()


@dataclass(frozen=True)
class Signature:
    """A checked signature: of which entry, by whom, with which key; `holds` says whether it is right, and `trusted` whether the
    key is among those that were given (None: none were)."""

    entry: int
    name: str
    date: str
    fingerprint: str
    holds: bool
    trusted: bool | None

    def __str__(self) -> str:
        if not self.holds:
            return f"entry {self.entry}: the signature of {brief(self.name)} is WRONG"
        trust = {None: "whose key nobody vouched for here (give --trust)", True: "trusted", False: "NOT a trusted key"}[
            self.trusted
        ]
        return f"entry {self.entry}: signed on {self.date} by a key that says {self.name!r}, {self.fingerprint}, {trust}"


def signatures(entries: Sequence[Mapping[str, Any]], trusted: Iterable[Path] = ()) -> list[Signature]:
    """All signatures of a trail, checked.

    Args:
        trusted: files of public keys, one a line, as OpenSSH writes them (.pub, authorized_keys). Lines with options, and those
            that are revoked or commented out, are not taken.
    """
    files = list(trusted)
    blobs = {blob for file in files for blob in _trusted_in(file)}
    checked = []
    for number, entry in enumerate(entries, start=1):
        for s in entry.get("signatures") or []:
            given = s if isinstance(s, Mapping) else {}
            name, date = str(given.get("name")), str(given.get("date"))
            line = str(given.get("key"))
            mark = check_signature(line, str(given.get("signature")), _message(entry, name, date))
            holds = mark is not None and set(given) == FIELDS
            blob = line.split()[1] if len(line.split()) > 1 else ""
            checked.append(Signature(number, name, date, mark or "unknown key", holds, blob in blobs if files else None))
    return checked


def check_signature(line: str, text: str, message: bytes) -> str | None:
    """The fingerprint of a key, given as a line of OpenSSH, whose signature of a message (base64) holds; None where not."""
    serialization = _library()
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        key = serialization.load_ssh_public_key(line.encode())
        if not isinstance(key, Ed25519PublicKey) or _public_line(key).decode() != line:
            return None
        signature = base64.b64decode(text, validate=True)
        key.verify(signature, message)
        return fingerprint_of(key) if base64.b64encode(signature).decode() == text else None
    except (ValueError, InvalidSignature, UnsupportedAlgorithm):  # also a key of a kind that does not exist
        return None


def sign_text(key: Ed25519PrivateKey, message: bytes) -> tuple[str, str, str]:
    """The public key as a line of OpenSSH, the signature of a message in base64, and the key's fingerprint."""
    signature = base64.b64encode(key.sign(message)).decode()
    return _public_line(key.public_key()).decode(), signature, fingerprint_of(key.public_key())


def _trusted_in(path: Path) -> Iterator[str]:
    """The keys of a file, without their comments."""
    for line in disk.read_whole(path, "keys", 1 << 20).decode("utf-8", "replace").splitlines():
        words = line.split()
        if len(words) >= 2 and words[0] == "ssh-ed25519":
            yield words[1]


def add_entry(path: Path, what: str, by: str, note: str = "", details: Mapping[str, Any] | None = None) -> None:
    """Add an entry to the trail of a patch, such as a review; its sound stays as it is.

    Raises:
        ValueError: the patch was changed behind its trail, or `what` is not a kind of entry.
    """
    if not by.strip():
        raise ValueError("say by whom: a name that people know")
    data = _sound(path)
    more = {**(details or {}), **({"note": note} if note else {})}
    _write(path, data, added(trail_of(data), what, by, content_of(data), more))


def sign(path: Path, key: Ed25519PrivateKey, name: str) -> str:
    """Sign the last entry of a patch's trail; the key's fingerprint.

    Args:
        name: of the person, as it is to be read.

    Raises:
        ValueError: the patch was changed behind its trail.
    """
    if not name.strip():
        raise ValueError("say who signs: a name that people know")
    data = _sound(path)
    entries = trail_of(data)
    date = datetime.now(UTC).isoformat(timespec="seconds")
    line, signature, fingerprint = sign_text(key, _message(entries[-1], name, date))
    own = {"name": name, "date": date, "key": line, "signature": signature}
    entries[-1]["signatures"] = [*(entries[-1].get("signatures") or []), own]
    _write(path, data, entries)
    return fingerprint


def _sound(path: Path) -> dict[str, Any]:
    checked = verify(disk.path_of(path))
    if not checked.holds:
        raise ValueError(
            f"{path} cannot be signed: {checked.faults[0]}; load and save it first, which adds what is new to its trail"
        )
    return read_json(path)


def _write(path: Path, data: dict[str, Any], entries: list[dict[str, Any]]) -> None:
    data["provenance"] = {**(data.get("provenance") or {}), KEY: entries}
    with atomic(path) as beside:
        beside.write_bytes(disk.json_bytes(data, path, "patch"))
