"""`twinrack listen`: tests that tell what people hear, and what their answers show."""

from __future__ import annotations

import signal
import threading
from itertools import combinations
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from ..checks import check_number, visible
from .extras import need_listen_extra, need_train_extra
from .sounds import read_like, read_sound

app = typer.Typer(help="Listening tests: pages for listeners, and statistics of their answers.", no_args_is_help=True)
REFERENCE_FILE = "reference"


@app.command()
def make(
    output: Annotated[Path, typer.Option("--out", help="HTML page to write; its plan goes beside it.")],
    kind: Annotated[
        str, typer.Option(help="abx (is it heard?), ab (which is preferred?), mushra (how near?), bs1116 (small impairments).")
    ] = "abx",
    pair: Annotated[
        list[str] | None, typer.Option(help="NAME=A.wav,B.wav: two sounds (abx, ab, bs1116: A is the reference).")
    ] = None,
    stimuli: Annotated[
        Path | None, typer.Option(help="Folder with a folder for each item: reference.wav, and CONDITION.wav for the others.")
    ] = None,
    rack: Annotated[
        list[str] | None, typer.Option(help="[NAME=]PATCH to hear: --audio through it; any number of times.")
    ] = None,
    against: Annotated[Path | None, typer.Option(help="Patch that is the reference; the sound itself without it.")] = None,
    audio: Annotated[list[Path] | None, typer.Option(help="Recording for --rack; any number of times.")] = None,
    target: Annotated[
        list[Path] | None, typer.Option(help="The reference for each --audio, in their order, instead of --against.")
    ] = None,
    seconds: Annotated[float | None, typer.Option(help="Of each --audio, from where it is loudest; 8 without it.")] = None,
    title: Annotated[str, typer.Option(help="Shown above the test.")] = "Listening test",
    question: Annotated[str, typer.Option(help="Asked each time; without it, the usual one.")] = "",
    trials: Annotated[
        int | None, typer.Option(help="Of each pair: abx 5 to 200, 16 without it; ab 1 to 200, 1 without it.")
    ] = None,
    listeners: Annotated[int, typer.Option(help="How many are planned.")] = 20,
    hypothesis: Annotated[
        list[str] | None, typer.Option(help="'A > B', names of conditions: what the test shall show (ab, mushra).")
    ] = None,
    alpha: Annotated[float, typer.Option(help="How often chance alone may seem to be a difference.")] = 0.05,
    match: Annotated[bool, typer.Option(help="Give all sounds of an item the same loudness.")] = True,
) -> None:
    """Write the page of a test, and its plan: what it shall show, by whom, and whose answers will not count."""
    need_train_extra()
    from ..listening.page import write_test
    from ..system.disk import check_writable

    check_writable(output)
    if sum(x is not None for x in (pair, stimuli, rack)) != 1 or (audio is None) != (rack is None):
        raise ValueError(
            "give pairs of files (--pair NAME=A.wav,B.wav), a folder of items (--stimuli), or patches and recordings for them "
            "(--rack, --audio)"
        )
    if (target is not None or against is not None) and rack is None:
        raise ValueError("--target and --against belong to --rack")
    if seconds is not None and rack is None:
        raise ValueError("--seconds belongs to --rack and --audio; files are taken whole")
    if trials is not None and kind not in ("abx", "ab"):
        raise ValueError(f"--trials belongs to abx and ab; {kind} asks once for each item")
    digests: dict[str, str] = {}
    if pair is not None:
        items, rate = _of_pairs(pair, kind)
    elif stimuli is not None:
        items, rate = _of_folder(stimuli, kind)
    else:
        length = 8.0 if seconds is None else check_number(seconds, "seconds", 0.5, 60.0)
        named = _named(rack or [])
        digests = {name: _digest_of(path) for name, path in named.items()}
        items, rate = _of_racks(named, against, audio or [], target, length, kind)
    plan = write_test(
        items, rate, output, kind=kind,  # type: ignore[arg-type]
        title=title, question=question, alpha=alpha, racks=digests,
        trials=(16 if kind == "abx" else 1) if trials is None else trials,
        listeners=listeners, hypotheses=hypothesis or (), match=match,
    )  # fmt: skip
    from ..listening.plan import plan_path

    print(f"{output}: {len(plan.items)} items, conditions {', '.join(plan.conditions)}. {plan.power}".rstrip())
    print(f"Its plan is {plan_path(output)}: keep it; the answers are compared with it.")
    print(f"Send the page to the listeners, or: twinrack listen serve {output}. Then: twinrack listen analyse FILES")


def _digest_of(patch: Path) -> str:
    """SHA-256 of all that a patch says but its trail."""
    from ..rack.patch import read_json
    from ..rack.trail import content_of, digest

    return digest(content_of(read_json(patch)))


def _of_pairs(pairs: list[str], kind: str) -> tuple[list[Any], int]:
    from ..listening.stimuli import Item

    items, rate = [], 0
    for words in pairs:
        name, equals, rest = words.partition("=")
        first, comma, second = rest.partition(",")
        if not (equals and comma):
            raise ValueError(f"--pair {words} is not NAME=A.wav,B.wav")
        a, own = read_sound(Path(first))
        rate = _same_rate(rate, own, first)
        b = read_like(Path(second), a, rate)
        names = [Path(first).stem, Path(second).stem]
        if names[0] == names[1]:
            names = [first, second]
        items.append(Item(name, {names[0]: a, names[1]: b}) if kind == "ab" else Item(name, {names[1]: b}, a))
    return items, rate


def _of_folder(folder: Path, kind: str) -> tuple[list[Any], int]:
    if not folder.is_dir():
        raise FileNotFoundError(f"there is no folder {folder}")
    items, rate = [], 0
    for own_folder in sorted(path for path in folder.iterdir() if path.is_dir()):
        paths = sorted(path for path in own_folder.iterdir() if path.suffix.lower() in (".wav", ".flac", ".aif", ".aiff"))
        sounds: dict[str, Any] = {}
        for path in paths:
            x, own = read_sound(path)
            rate = _same_rate(rate, own, path)
            sounds[path.stem] = x
        reference = sounds.pop(REFERENCE_FILE, None)
        items += _compared(own_folder.name, sounds, reference, kind)
    if not items:
        raise ValueError(
            f"{folder} has no folders with sounds in them; make one for each item: ITEM/reference.wav, ITEM/NAME.wav"
        )
    return items, rate


def _named(racks: list[str]) -> dict[str, Path]:
    """The patches of --rack by the names of their conditions."""
    named: dict[str, Path] = {}
    for words in racks:
        name, equals, place = words.partition("=")
        if not equals:
            name, place = Path(words).name.removesuffix(".json").removesuffix(".rack"), words
        if name in named:
            raise ValueError(f"two racks have the name {name!r}; give names: --rack NAME={place}")
        named[name] = Path(place)
    return named


def _of_racks(
    named: dict[str, Path], against: Path | None, audio: list[Path], target: list[Path] | None, seconds: float, kind: str
) -> tuple[list[Any], int]:
    from ..explain.overview import loudest_part
    from ..rack.patch import load

    if target is not None and len(target) != len(audio):
        raise ValueError(f"{len(audio)} times --audio and {len(target)} times --target; give one for each, in the same order")
    if target is not None and against is not None:
        raise ValueError("give --target or --against, not both")
    loaded = {name: load(path) for name, path in named.items()}
    old = None if against is None else load(against)
    items, rate = [], 0
    for n, path in enumerate(audio):
        x, own = read_sound(path)
        rate = _same_rate(rate, own, path)
        if target is None:
            x = loudest_part(x, round(seconds * rate))
            reference = x if old is None else np.asarray(old(x, rate))
        else:
            both = np.concatenate([x, read_like(target[n], x, rate)])
            part = loudest_part(both, round(seconds * rate))
            x, reference = part[: x.shape[0]], part[x.shape[0] :]
        sounds = {name: np.asarray(one(x, rate)) for name, one in loaded.items()}
        called = "target" if target else "before" if old is not None else ""
        items += _compared(path.name, sounds, reference, kind, called)
    return items, rate


def _compared(name: str, sounds: dict[str, Any], reference: Any, kind: str, called: str = "reference") -> list[Any]:
    """The items that a recording gives for a kind of test.

    Args:
        called: the name of the reference where it is compared like any other; empty for the dry sound, which is compared only
            with a single condition.
    """
    from ..listening.stimuli import Item

    if kind == "mushra":
        return [Item(name, sounds, reference)]
    if kind == "ab":
        if reference is not None and (called or len(sounds) == 1):
            sounds = {called or "dry": reference, **sounds}
        pairs = list(combinations(sounds, 2))
        return [Item(name if len(pairs) == 1 else f"{name}: {a}, {b}", {a: sounds[a], b: sounds[b]}) for a, b in pairs]
    return [Item(name if len(sounds) == 1 else f"{name}: {c}", {c: x}, reference) for c, x in sounds.items()]


def _same_rate(before: int, rate: int, name: str | Path) -> int:
    if before not in (0, rate):
        raise ValueError(f"{name} has {rate:g} Hz, and the sounds before it {before:g} Hz; convert one: twinrack render --rate")
    return rate


@app.command()
def serve(
    page: Annotated[Path, typer.Argument(help="Page of the test; its plan stands beside it.")],
    answers: Annotated[Path | None, typer.Option(help="Folder for answers; without it NAME.answers beside the page.")] = None,
    port: Annotated[int, typer.Option(help="Where it listens; 0 takes any that is free.")] = 8472,
    host: Annotated[str, typer.Option(help="0.0.0.0 lets the whole network in, if it knows the address.")] = "127.0.0.1",
    token: Annotated[str | None, typer.Option(help="Part of the address, so that a test can be served again.")] = None,
) -> None:
    """Serve a test to many listeners; each answer is on disk before it is confirmed. Ctrl-C ends it, and nothing is lost."""
    from ..listening.plan import plan_path, read_plan
    from ..listening.server import ListeningServer

    folder = answers or page.with_name(f"{page.stem}.answers")
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())

    def changed(listeners: int, complete: int) -> None:
        print(f"\r{listeners} listeners, {complete} finished ", end="", flush=True)

    server = ListeningServer(
        page, read_plan(plan_path(page)), folder, port=port, host=host, token=token, on_change=changed
    )  # fmt: skip
    print(f"Listeners open {server.url}\nAnswers go to {folder}. Ctrl-C ends it.", flush=True)
    while not ended.wait(0.2):
        pass
    server.close()
    listeners, complete = server.counts
    print(f"\n{listeners} listeners, {complete} finished. Next: twinrack listen analyse {folder}/*.json")


@app.command()
def analyse(
    answers: Annotated[list[Path], typer.Argument(help="Files that listeners saved or the server wrote, or folders of them.")],
    plan: Annotated[Path | None, typer.Option(help="NAME.plan.json, written with the page: compared with what came.")] = None,
    report: Annotated[Path | None, typer.Option(help="HTML page of the outcome to write.")] = None,
    into: Annotated[Path | None, typer.Option(help="Patch in whose trail the outcome is kept.")] = None,
    by: Annotated[str, typer.Option(help="Who keeps it there.")] = "",
) -> None:
    """Say what the listeners of a test heard, preferred or rated, whose answers do not count, and whether the plan was kept."""
    need_listen_extra()
    from ..listening.answers import read_answers
    from ..listening.outcome import outcome, write_report
    from ..listening.plan import read_plan

    if into is not None and not (by and plan is not None):
        raise ValueError("--into keeps the outcome under somebody's name, with its plan: give --by NAME and --plan FILE")
    files = [path for given in answers for path in (sorted(given.glob("*.json")) if given.is_dir() else [given])]
    everybody = {path: read_answers(path) for path in files}
    people: dict[str, Path] = {}
    for path, one in everybody.items():
        if one.complete and people.setdefault(one.person, path) != path:
            raise ValueError(f"{one.listener!r} answered twice, in {people[one.person]} and {path}; leave one of them out")
    planned = None if plan is None else read_plan(plan)
    if into is not None and planned is not None and planned.racks and _digest_of(into) not in planned.racks.values():
        raise ValueError(f"{into} is not one of the patches that this test played, or was changed since")
    result = outcome(list(everybody.values()), planned)
    print(visible(str(result)))
    if report is not None:
        write_report(result, report)
        print(f"The report is {report}")
    if into is not None:
        from ..review.signing import add_entry

        add_entry(into, "listened", by, result.summary, result.details)
        print(f"{into} says so in its trail.")
