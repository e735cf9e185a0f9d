"""The words of the code and the docs: the field's terms, and none of the house words that once replaced them.

`python tests/test_words.py` prints every place, by folder.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PLACES = ("python", "cpp", "plugins", "docs", "README.md", "CONTRIBUTING.md")
ENDINGS = (".py", ".pyi", ".h", ".cc", ".md", ".toml", ".html", ".js")
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
    r"\bpresence\b": "wet_steps",
    r"\bOutside\b|\bplay_outside\b": "WorkerEffect",
    r"\bStateWalk\b|\bStateSeal\b|\bWay\b": "StateArchive, StateHeader, Mode; Route",
    r"\bin_order\b|\bin_order-inl\b|\bside_by_side\b|\bTogether\b": "scan_lanes, gather_lanes, StereoDetectorInput",
    r"\bhear_nothing\b|\bnothing_\b|\bwiden\b": "silence_response; NAM's rechannel",
    r"\blate_at\b|\bCrew\b|\bGive\b|\bPlaced\b|\bGuarded\b|\bclass End\b": "latency_before, Scheduler, Sink, ClipReader, …",
    r"\blevelled\b|\bSAID_BY_OTHERS\b|\bclass Kept\b|\b_come_to\b": "initial_mix, REDUNDANT, Snapshot, _restore",
    r"\bstruct Loudness\b": "BlockLevel: EBU R 128 alone is loudness",
    r"\btake_if_left\b|\bwatch_over\b|\blet_go\b|\bstands_still\b|\bhand(?:s|ed)? on\b": "a plain verb",
}


def lines() -> Iterator[tuple[str, int, str]]:
    tracked = subprocess.run(["git", "ls-files", *PLACES], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in tracked.splitlines():
        path = ROOT / name
        if path.suffix in ENDINGS and path.is_file() and name != "docs/glossary.md":
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


def main() -> None:
    folders: dict[str, list[str]] = defaultdict(list)
    for name, number, words, better in findings():
        parts = Path(name).parts
        folder = "/".join(parts[:3] if parts[0] == "python" else parts[:2]) if len(parts) > 2 else name
        folders[folder].append(f"  {name}:{number}: {words!r}: {better}")
    for folder, places in sorted(folders.items()):
        print(f"{folder}: {len(places)}", *places, "", sep="\n")


if __name__ == "__main__":
    sys.exit(main())
