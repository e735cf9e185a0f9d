"""The words of the code and the docs: the field's terms, and none of the house words that once replaced them.

`python tests/test_words.py` prints every place, by folder.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PLACES = ("python", "cpp", "plugins", "docs", "README.md", "CONTRIBUTING.md")
ENDINGS = (".py", ".pyi", ".h", ".cc", ".md", ".toml", ".html", ".js")
# Not written here, or about these words.
OTHERS = ("docs/effects/", "docs/schema/", "docs/glossary.md", "python/twinrack/plugins/", "python/twinrack/rack/effects.pyi")
VAGUE = r"(?:found|there|made|heard|told|said|kept)"

BANNED = {  # pattern: what to write instead
    r"\bnot finite\b|\bnon-finite\b|\bNon-finite\b": "NaN or infinity",
    r"\bwhole numbers?\b": "an integer; checks.check_integer makes the message",
    r"(?<![Tt]here )\b(?:is|are) no (?!longer\b|more\b|less\b|matter\b|need\b|part\b)[a-z]": "is not a …; must be …, got …",
    r'^\s*(?:r?"""|// )What ': "a noun phrase: what the thing is",
    rf"^\s*(?:const |auto |static )*(?:auto[*&]? )?\b{VAGUE}(?:: [^=]+)? = ": "a name for what the variable holds",
    rf"\bfor (?:const )?(?:auto[*&]* )?{VAGUE}\b(?:,| in\b| :)": "a name for what the variable holds",
    rf"^\s*(?:const )?(?:double|float|int|bool|Level|Loudness) {VAGUE}\b": "a name for what the variable holds",
    r"\bsettl(?:e|es|ed|ing)\b|\bSettled\b": "tail_ended, is_ramping, warm-up, hold: one word for each",
    r"\bFollowerTimes\b|\bfollower_share\b|\bshare_per_frame\b": "FollowerCoefficients, one_pole_coefficient",
    r"\bramp_share\b": "ramp_position",
    r"\bdoz(?:e|es|ing)\b|\bgo_on\b|\bmade_of\b": "try_sleep, advance_bypass, build_hash",
    r"\bpresence_\b": "wet_steps",
    r"\bOutside\b(?=[&*>(;{])|\b(?:class|struct) Outside\b|\bplay_outside\b": "WorkerEffect",
    r"\bStateWalk\b|\bStateSeal\b|\bWay\b": "StateArchive, StateHeader, Mode; Route",
    r"\bin_order\b|\bin_order-inl\b|\bside_by_side\b|\bTogether\b": "scan_lanes, gather_lanes, StereoDetectorInput",
    r"\bhear_nothing\b|\bnothing_\b|\bwiden\b": "silence_response; NAM's rechannel",
    r"\blate_at\b|\bCrew\b|\bclass Give\b|: Give\b|\bPlaced\b|\bGuarded\b|\bclass End\b": "latency_before, Scheduler, Sink, …",
    r"\blevelled\b|\bSAID_BY_OTHERS\b|\bclass Kept\b|\b_come_to\b": "initial_mix, REDUNDANT, Snapshot, _restore",
    r"\bstruct Loudness\b": "BlockLevel: EBU R 128 alone is loudness",
    r"\btake_if_left\b|\bwatch_over\b|\blet_go\b|\bstands_still\b|\bhand(?:s|ed)? on\b": "a plain verb",
}


def lines() -> Iterator[tuple[str, int, str]]:
    for place in PLACES:
        for path in sorted((ROOT / place).rglob("*")) if (ROOT / place).is_dir() else [ROOT / place]:
            name = path.relative_to(ROOT).as_posix()
            if path.suffix in ENDINGS and path.is_file() and not name.startswith(OTHERS):
                for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
                    yield name, number, line


def findings() -> list[tuple[str, int, str, str]]:
    """Path, line number, the words, and what to write instead."""
    patterns = [(re.compile(pattern), better) for pattern, better in BANNED.items()]
    return [
        (name, number, match[0].strip(), better)
        for name, number, line in lines()
        for pattern, better in patterns
        for match in pattern.finditer(line)
    ]


def folder_of(name: str) -> str:
    parts = Path(name).parts
    return name if len(parts) < 3 else "/".join(parts[:3] if parts[0] == "python" else parts[:2])


def by_folder() -> dict[str, list[str]]:
    folders: dict[str, list[str]] = defaultdict(list)
    for name, number, words, better in findings():
        folders[folder_of(name)].append(f"{name}:{number}: {words!r}: write {better}")
    return folders


def test_the_words_of_the_field():
    places = [place for own in by_folder().values() for place in own]
    assert not places, "\n".join(places)


def test_the_list_finds_what_it_bans():
    """A planted line for each kind."""
    for line in (
        "numbers that are not finite", "a whole number", "x is no text", '    """What a thing is."""', "found = 1",
        "for made in x:", "const double heard = 1;", "settle(3)", "struct Loudness {",
    ):  # fmt: skip
        assert any(re.search(pattern, line) for pattern in BANNED), line
    for line in (
        "there is no folder",
        "is no longer",
        "NaN or infinity",
        "an integer of at least 1",
        "profound = 1",
        "self.found = 1",
    ):
        assert not any(re.search(pattern, line) for pattern in BANNED), line


def test_glossary_names_real_places():
    text = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
    rows = [
        line.split("|")[-2] for line in text.partition("## Words that we do not use")[0].splitlines() if line.count("|") == 5
    ]
    places = [place for row in rows for place in re.findall(r"`([^`]*/[^`]*)`", row) if "<" not in place]
    assert len(places) > 30
    for place in places:
        assert any((root / place).exists() for root in (ROOT, ROOT / "python" / "twinrack")), place


def main() -> None:
    for folder, places in sorted(by_folder().items()):
        print(f"{folder}: {len(places)}", *(f"  {place}" for place in places), "", sep="\n")


if __name__ == "__main__":
    main()
