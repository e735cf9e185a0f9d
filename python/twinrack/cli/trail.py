"""`twinrack trail`: the history of a patch, checked, signed and added to."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from ..checks import visible

app = typer.Typer(help="The history of a patch: show it, verify it, sign it, add to it.", no_args_is_help=True)

Patch = Annotated[Path, typer.Argument(help="A .rack.json file.")]
FAULTY = 3  # exit code of `verify` where something is wrong


@app.command()
def show(patch: Patch) -> None:
    """Print what happened to a patch, one entry after the other."""
    from ..rack.patch import read_json
    from ..rack.trail import describe, trail_of

    entries = trail_of(read_json(patch))
    if not entries:
        print(f"{patch} has no trail; saving it with this twinrack begins one")
        return
    print("\n".join(describe(entries)))


@app.command()
def verify(
    patch: Patch,
    trust: Annotated[
        list[Path] | None, typer.Option(help="File of public keys that you trust (.pub, authorized_keys); may be repeated.")
    ] = None,
) -> None:
    """Check every byte of a patch against its trail, and all signatures; exit code 3 where anything is wrong."""
    from ..rack.patch import load
    from ..rack.trail import verify as check
    from ..review.signing import signatures

    result = check(patch)
    faults = list(result.faults)
    if not faults:
        try:
            load(patch)
        except (ValueError, OSError) as error:
            faults.append(str(error))
    print(f"{patch}: {len(result.entries)} entries")
    signed = [e for e in result.entries if e.get("signatures")]
    checked = signatures(result.entries, trust or []) if signed or trust else []
    for signature in checked:
        print(f"  {visible(str(signature), lines=False)}")
        if not signature.holds or signature.trusted is False:
            faults.append(f"entry {signature.entry}: the signature is wrong or of a key that is not trusted")
    if trust and result.entries and not any(s.entry == len(result.entries) and s.holds and s.trusted for s in checked):
        faults.append("the last entry is not signed by a key that you trust")
    unsigned = [str(e.get("number")) for e in result.entries if not e.get("signatures")]
    if unsigned:
        print(f"  unsigned: {', '.join(unsigned)}" + ("" if signed else " (nobody vouches for this patch)"))
    for fault in faults:
        print(f"  WRONG: {visible(fault, lines=False)}")
    if faults:
        sys.stdout.flush()
        sys.exit(FAULTY)
    print("  the trail holds: nothing was changed behind its back")


@app.command()
def key(
    path: Annotated[Path, typer.Argument(help="File to write; the public key is written beside it, with .pub.")],
    passphrase: Annotated[bool, typer.Option(help="Ask for a passphrase that protects the key.")] = True,
) -> None:
    """Make a key to sign with. A key of ssh-keygen -t ed25519 does as well. Give the .pub file to those who verify."""
    from ..review.signing import new_key

    words = typer.prompt("passphrase", hide_input=True, confirmation_prompt=True, default="") if passphrase else ""
    print(f"{path}: {new_key(path, words.encode() or None)}")


@app.command()
def sign(
    patch: Patch,
    key: Annotated[Path, typer.Option(help="Private Ed25519 key in OpenSSH's form, such as ~/.ssh/id_ed25519.")],
    name: Annotated[str, typer.Option(help="Who signs, as it is to be read.")],
) -> None:
    """Sign the last entry of a patch's trail, and with it all that the patch says and all entries before."""
    from ..review.signing import read_key
    from ..review.signing import sign as put

    private = read_key(key.expanduser(), lambda: typer.prompt("passphrase", hide_input=True).encode())
    print(f"{patch}: signed by {name}, {put(patch, private, name)}")


@app.command()
def add(
    patch: Patch,
    what: Annotated[str, typer.Argument(help="validated, listened, reviewed, rendered or exported.")],
    by: Annotated[str, typer.Option(help="Who did it.")],
    note: Annotated[str, typer.Option(help="What is to be known about it.")] = "",
) -> None:
    """Add an entry to the trail of a patch, such as a review; its sound stays as it is."""
    from ..review.signing import add_entry

    add_entry(patch, what, by, note)
    print(f"{patch}: {what} by {by}")
