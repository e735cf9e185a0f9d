"""The page on which a reviewer hears a rack, questions it, and gives a verdict: one file, which needs nothing else."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from ..audio import Audio
from ..explain.overview import explanation
from ..explain.overview_page import drawn_blocks
from ..explain.plots import as_json, packed_plotly, player, templates
from ..pages.player import Scene, cannot_play, player_html
from ..rack.patch import load, read_json
from ..rack.rack import Rack
from ..rack.trail import content_of, digest, trail_of, verify
from ..system import disk
from ..system.disk import atomic
from ..version import __version__
from .policy import Policy, note

PLAYED_S = 30.0  # of each recording
MOST_RECORDINGS = 8


@dataclass(frozen=True)
class Recording:
    """A sound that the rack is for."""

    name: str
    sound: Audio
    sample_rate: float


def write_review(patch: Path, recordings: Sequence[Recording], policy: Policy, path: str | os.PathLike[str]) -> Path:
    """Write the page of a patch; it appears complete or not at all.

    Args:
        patch: whose trail must hold, so that a verdict belongs to it.
        recordings: at least one; the first is explained.
        policy: its purpose and questions are on the page.

    Raises:
        FileNotFoundError: there is no patch.
        ValueError: the patch was changed behind its trail or meanwhile, or there is no recording, or there are too many.
    """
    before = disk.path_of(patch).read_bytes()
    checked = verify(disk.path_of(patch))
    if not checked.holds:
        raise ValueError(f"{patch} cannot be reviewed: {checked.faults[0]}; load and save it first, which adds it to its trail")
    if not 1 <= len(recordings) <= MOST_RECORDINGS:
        raise ValueError(f"a review needs 1 to {MOST_RECORDINGS} recordings to hear the rack on, not {len(recordings)}")
    page, out = _page(patch, load(patch), recordings, policy), disk.path_of(path)
    if disk.path_of(patch).read_bytes() != before:
        raise ValueError(f"{patch} was changed while the page was made; make it again")
    with atomic(out) as beside:
        beside.write_text(page, encoding="utf-8", errors="backslashreplace")
    return out


def _page(patch: Path, rack: Rack, recordings: Sequence[Recording], policy: Policy) -> str:
    data = read_json(patch)
    first = recordings[0]
    scenes = [_scene(rack, r) for r in recordings]
    reason = next((words for words in map(cannot_play, scenes) if words), "")
    explained = explanation(rack, first.sound, first.sample_rate, seconds=PLAYED_S)
    plots, blocks = drawn_blocks(explained)
    form = {
        "patch": digest(content_of(data)),
        "rack": rack.name,
        "questions": list(policy.checklist),
        "blocks": list(rack.addresses()),
    }
    return (
        templates("twinrack.review")
        .get_template("review.html")
        .render(
            rack=rack,
            version=__version__,
            policy=policy,
            until_now=note(patch),
            hash=form["patch"],
            explained=explained,
            seconds=explained.sound.shape[1] / explained.sample_rate,
            cannot_play=reason,
            player="" if reason else player_html(*scenes),
            sounds=[
                (r.name, player(s.dry, s.sample_rate), player(np.asarray(rack.copy()(s.dry, s.sample_rate)), s.sample_rate))
                for r, s in zip(recordings, scenes, strict=True)
            ]
            if reason
            else [],
            blocks=blocks,
            validated=[_validated(e) for e in trail_of(data) if e["what"] == "validated"][-1:],
            learned_from=_learned_from(data),
            form=as_json(form),
            script=(files(__package__) / "static" / "review.js").read_text(encoding="utf-8"),
            plots=as_json(plots),
            plotly=packed_plotly() if plots else "",
        )
    )


def _scene(rack: Rack, r: Recording) -> Scene:
    return Scene({"Rack": rack}, r.sound[:, : round(PLAYED_S * r.sample_rate)], r.sample_rate, None, r.name)


def _validated(entry: Mapping[str, Any]) -> dict[str, Any]:
    details = entry["details"]
    failed = details.get("claims_failed")
    failures = details.get("first_failures")
    return {
        "date": entry["date"],
        "by": entry["by"],
        "claims": details.get("claims"),
        "failed": [str(f) for f in failed] if isinstance(failed, list) else [],
        "edges": [_edge(f) for f in (failures if isinstance(failures, list) else []) if isinstance(f, Mapping)],
    }


def _edge(f: Mapping[str, Any]) -> str:
    by = f.get("block") or "no block alone"
    return f"fails at {f.get('rung')}: {f.get('measure')} {f.get('value')} {f.get('unit')}, by {by}"


def _learned_from(data: Mapping[str, Any]) -> list[str]:
    provenance = data.get("provenance")
    recordings = provenance.get("recordings") if isinstance(provenance, Mapping) else None
    return [str(r.get("name")) for r in recordings or [] if isinstance(r, Mapping)]
