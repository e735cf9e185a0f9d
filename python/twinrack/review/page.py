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
from ..explain.counterfactuals import Counterfactual, counterfactual
from ..explain.overview import explanation, loudest_part
from ..explain.overview_page import drawn_blocks
from ..explain.plots import as_json, packed_plotly, player, templates
from ..measure.loudness import loudness
from ..pages.player import Scene, cannot_play, player_html
from ..rack.patch import load, read_json
from ..rack.rack import Rack
from ..rack.trail import content_of, digest, trail_of, verify
from ..system import disk
from ..system.disk import atomic
from ..validation.page import coverage_plots, map_heads, map_rows
from ..validation.validate import Validation
from ..version import __version__
from .policy import Policy, note

PLAYED_S = 30.0  # of each recording
MOST_RECORDINGS = 8
WISHED_S = 6.0  # of the first recording, for what would it take
LOUDER_LU = 3.0  # is asked for where the policy has no wishes
EDGE_S = 5.0  # of a sound at which the rack fails


@dataclass(frozen=True)
class Recording:
    """A sound that the rack is for."""

    name: str
    sound: Audio
    sample_rate: float
    sidechain: Audio | None = None  # what keyed effects listen to, as long as the sound


def write_review(
    patch: Path,
    recordings: Sequence[Recording],
    policy: Policy,
    path: str | os.PathLike[str],
    validation: Validation | None = None,
) -> Path:
    """Write the page of a patch; it appears complete or not at all.

    Args:
        patch: whose trail must hold, so that a verdict belongs to it.
        recordings: at least one; the first is explained.
        policy: its purpose and questions are on the page.
        validation: of this patch: its failure map, the sounds at which it fails, and what its recordings cover are on the page.

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
    page, out = _page(patch, load(patch), recordings, policy, validation), disk.path_of(path)
    if disk.path_of(patch).read_bytes() != before:
        raise ValueError(f"{patch} was changed while the page was made; make it again")
    with atomic(out) as beside:
        beside.write_text(page, encoding="utf-8", errors="backslashreplace")
    return out


def _page(patch: Path, rack: Rack, recordings: Sequence[Recording], policy: Policy, validation: Validation | None) -> str:
    data = read_json(patch)
    first = recordings[0]
    scenes = [_scene(rack, r) for r in recordings]
    edges = [] if validation is None else _edges(rack, validation)
    reason = next((words for words in map(cannot_play, scenes) if words), "")
    explained = explanation(rack, first.sound, first.sample_rate, seconds=PLAYED_S, sidechain=first.sidechain)
    plots, blocks = drawn_blocks(explained)
    plots |= {} if validation is None else coverage_plots(validation)
    form = {
        "patch": digest(content_of(data)),
        "rack": rack.name,
        "questions": list(policy.checklist),
        "blocks": list(rack.addresses()),
    }
    return (
        templates("twinrack.review", "twinrack.validation")
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
            player="" if reason else player_html(*scenes, folded=edges),
            edges=[] if reason else edges,
            wishes=[_asked(a) for a in _answers(rack, first, policy)],
            validation=validation,
            map_rows=map_rows(None if validation is None else validation.map),
            map_heads=map_heads(None if validation is None else validation.map),
            sounds=[(r.name, *_before_and_after(s)) for r, s in zip(recordings, scenes, strict=True)] if reason else [],
            blocks=blocks,
            recorded=[_validated(e) for e in trail_of(data) if e["what"] == "validated"][-1:],
            listened=[
                f"{e['date'][:10]}, {e['by']}: {e['details'].get('note', '')}"
                for e in trail_of(data)
                if e["what"] == "listened"
            ],
            learned_from=_learned_from(data),
            form=as_json(form),
            script=(files(__package__) / "static" / "review.js").read_text(encoding="utf-8"),
            plots=as_json(plots),
            plotly=packed_plotly() if plots else "",
        )
    )


def _before_and_after(scene: Scene) -> tuple[str, str]:
    """Sounds of a page that has no engine."""
    rack, rate = scene.racks["Rack"].copy(), scene.sample_rate
    return player(scene.dry, rate), player(np.asarray(rack(scene.dry, rate, sidechain=scene.sidechains)), rate)


def _edges(rack: Rack, validation: Validation) -> list[Scene]:
    """The first sound of each family at which the rack fails, to be heard through it."""
    if validation.map is None or rack.sidechains:  # the sound at which it fails has no sidechain of its own
        return []
    rate, words = validation.map.sample_rate, {c.rung.name: str(c) for c in validation.map.first_failures()}
    return [
        Scene({"Rack": rack}, x[:, : round(EDGE_S * rate)], rate, None, words.get(name, name), small=True)
        for name, x, _, _ in validation.map.sounds
    ]


def _answers(rack: Rack, first: Recording, policy: Policy) -> list[Counterfactual]:
    """Answers to “what would it take?”: the least change for each wish of the policy, or for a little more loudness."""
    x = loudest_part(first.sound, round(WISHED_S * first.sample_rate))
    if rack.sidechains:
        return []
    level = float(loudness(rack.copy()(x, first.sample_rate), first.sample_rate).integrated)
    wishes = policy.wishes or ((f"loudness={level + LOUDER_LU:.1f}",) if np.isfinite(level) else ())
    try:
        return [counterfactual(rack, x, first.sample_rate, wish)[0] for wish in wishes]
    except ValueError:  # no value of the rack may move, which only a policy's own wish is told
        if policy.wishes:
            raise
        return []


def _asked(answer: Counterfactual) -> dict[str, Any]:
    moved = {c.address: c.after for c in answer.changes}
    return {"wish": str(answer.wish), "words": str(answer), "met": answer.met, "values": moved}


def _scene(rack: Rack, r: Recording) -> Scene:
    frames = round(PLAYED_S * r.sample_rate)
    keys = None if r.sidechain is None else dict.fromkeys(rack.sidechains, r.sidechain[:, :frames])
    return Scene({"Rack": rack}, r.sound[:, :frames], r.sample_rate, None, r.name, sidechains=keys)


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
