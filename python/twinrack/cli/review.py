"""`twinrack review`: a page for the person who must answer for a rack, and what they say of it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from ..checks import visible
from .extras import need_train_extra
from .sounds import read_like, read_sound

app = typer.Typer(help="Let people hear, question and sign a rack: a page, verdicts, policies.", no_args_is_help=True)

Patch = Annotated[Path, typer.Argument(help="A .rack.json file.")]
PolicyOption = Annotated[
    Path | None, typer.Option(help="Who must accept it, questions, allowed values; without it review.toml beside the patch.")
]
REVIEW_HELP = "Refuse a patch that its reviewers have not accepted, as review.toml beside it asks (twinrack review check)."
MISSING = 3  # exit code of `check` where something is missing


@app.command()
def make(
    patch: Patch,
    audio: Annotated[list[Path], typer.Option(help="Recording that the rack is for; may be repeated, the first is explained.")],
    output: Annotated[Path, typer.Option("--out", help="HTML page to write.")],
    policy: PolicyOption = None,
    recordings: Annotated[
        Path | None, typer.Option(help="Folder of recordings that it was trained on or is for: what do they cover?")
    ] = None,
    wet: Annotated[Path | None, typer.Option(help="Folder of the real thing's outputs for them, by the same names.")] = None,
    sidechain: Annotated[
        list[Path] | None, typer.Option(help="For each --audio, in their order: what the rack's sidechain inputs hear.")
    ] = None,
    table: Annotated[Path | None, typer.Option(help="CSV with a column file and columns of groups.")] = None,
    validate: Annotated[bool, typer.Option(help="Measure where it fails, on the first recording (half a minute).")] = True,
) -> None:
    """Write the page for a reviewer: one file, in which the rack plays, its story and figures, and a form for the verdict."""
    need_train_extra()
    from ..rack.patch import load
    from ..review.page import Recording, write_review
    from ..review.policy import read_policy
    from ..system.disk import check_writable

    check_writable(output)
    for option, given in (("--wet", wet), ("--table", table)):
        if given is not None and recordings is None:
            raise ValueError(f"{option} belongs to the recordings; give their folder with --recordings")
    if recordings is not None and not validate:
        raise ValueError("--recordings belongs to the validation; leave out --no-validate")
    if sidechain is not None and len(sidechain) != len(audio):
        raise ValueError(
            f"{len(audio)} times --audio and {len(sidechain)} times --sidechain; give one for each, in the same order"
        )
    sounds = []
    for n, path in enumerate(audio):
        x, rate = read_sound(path)
        sounds.append(Recording(path.name, x, rate, None if sidechain is None else read_like(sidechain[n], x, rate)))
    asked = read_policy(policy, patch)
    validation = None
    if validate:
        from ..validation.recordings import read_folder
        from ..validation.validate import validate as check

        first = sounds[0]
        own = [] if recordings is None else read_folder(recordings, first.sample_rate, wet=wet, table=table)
        validation = check(load(patch), first.sound, first.sample_rate, recordings=own, sidechain=first.sidechain)
    path = write_review(patch, sounds, asked, output, validation)
    print(f"{path}: send it to the reviewers; what they send back goes into the patch with: twinrack review add {patch} FILE")


@app.command()
def add(patch: Patch, verdict: Annotated[list[Path], typer.Argument(help="File that the page saved.")]) -> None:
    """Keep verdicts in the trail of the patch that they are about."""
    from ..review.verdict import add_verdict, summary

    for path in verdict:
        print(visible(f"{patch}: {summary(add_verdict(patch, path))}", lines=False))


@app.command()
def sign(
    verdict: Annotated[Path, typer.Argument(help="File that the page saved.")],
    key: Annotated[Path, typer.Option(help="Private Ed25519 key in OpenSSH's form, such as ~/.ssh/id_ed25519.")],
) -> None:
    """Sign a verdict with a key of one's own, where the browser could not."""
    from ..review.signing import read_key
    from ..review.verdict import sign_verdict

    private = read_key(key.expanduser(), lambda: typer.prompt("passphrase", hide_input=True).encode())
    print(f"{verdict}: signed, {sign_verdict(verdict, private)}")


@app.command()
def check(patch: Patch, policy: PolicyOption = None) -> None:
    """Say whether a patch may be used; exit code 3 where its policy asks for more."""
    from ..review.policy import read_policy, status
    from ..review.verdict import summary

    now = status(patch, read_policy(policy, patch))
    for read in now.verdicts:
        print(f"  {visible(summary(read), lines=False)}")
    for words in now.missing:
        print(f"  MISSING: {visible(words, lines=False)}")
    if not now.holds:
        print(f"{patch} may not be used yet")
        sys.stdout.flush()
        sys.exit(MISSING)
    print(f"{patch} may be used")


@app.command()
def lessons(
    patches: Annotated[list[Path], typer.Argument(help="Patches, or folders of them.")],
) -> None:
    """List what reviewers refused or asked for, in Markdown, so that the next rack begins with it."""
    from ..review.verdict import WORDS, verdicts_of

    files = [f for path in patches for f in (sorted(path.rglob("*.rack.json")) if path.is_dir() else [path])]
    print("# What reviewers refused or asked for\n")
    any_lesson = False
    for file in files:
        for read in verdicts_of(file):
            v = read.verdict
            lines = [v.conditions] if v.decision != "accept" else []
            lines += [f"{a.question} No. {a.note}".strip() for a in v.answers if a.answer == "no"]
            lines += [f"{c.block or 'the whole'}{f' at {c.at_s} s' if c.at_s else ''}: {c.text}" for c in v.comments]
            if lines:
                any_lesson = True
                print(visible(f"- **{v.rack}**, {WORDS[v.decision]} on {v.date} by {v.name}", lines=False))
                for words in lines:
                    print(visible(f"  - {words}", lines=False))
    if not any_lesson:
        print("Nothing was refused or asked for.")
