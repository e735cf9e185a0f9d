"""The page of an explanation: sentences first, then the sound after every block, blocks, and the evidence for each value."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..audio import Audio
from ..measure.curves import curves
from ..measure.window_levels import window_levels_db
from ..rack.describe import value_text
from ..rack.external_effect import ExternalEffect
from ..system.disk import atomic
from ..version import __version__
from .evidence_map import Evidence
from .overview import Block, Explanation, Sentence
from .plots import as_json, line, lines_plot, numbers, packed_plotly, player, templates
from .sound_change import SoundDifference, sound_difference
from .trust import Trust

MAP_FRAMES = 150
MAP_DB = 40


@dataclass(frozen=True)
class ShownStage:
    """A row of the table: sounds by their number, `before` and `after` the block."""

    address: str
    inside: str
    before: int
    after: int
    difference: SoundDifference


@dataclass(frozen=True)
class ShownValue:
    """A value in the list of evidence."""

    address: str
    text: str
    empty: bool
    heard: float
    start: float
    end: float
    share: float


@dataclass(frozen=True)
class Shown:
    """The part of an explanation that templates take: texts and numbers, sounds and maps as JSON."""

    sentences: tuple[Sentence, ...]
    warnings: tuple[str, ...]
    seconds: float
    stages: list[ShownStage]
    evidence: list[ShownValue]
    input: int
    output: int
    lowered_db: float
    sounds: str
    maps: str
    trust: Trust
    origin: str


def shown(e: Explanation) -> Shown:
    """The parts of an explanation that pages show."""
    sounds: list[Audio] = [e.sound]
    numbers_of = {id(e.sound): 0}

    def number(sound: Audio) -> int:
        if id(sound) not in numbers_of:
            numbers_of[id(sound)] = len(sounds)
            sounds.append(sound)
        return numbers_of[id(sound)]

    rows = [
        ShownStage(s.address, s.inside, number(s.before), number(s.after), sound_difference(s.before, s.after, e.sample_rate))
        for s in e.stages
    ]
    every = [(b, v) for b in e.blocks for v in b.evidence]
    values = []
    for block, v in every:
        start, end = v.strongest()
        p = block.effect.card.addresses[v.address.partition(".")[2]]
        share = v.share_within(start, end)
        values.append(ShownValue(v.address, value_text(p, v.value), v.is_empty, v.heard_jnds, start, end, share))
    maps = [
        {"map": _map(v), "words": str(v), "start": shown_value.start, "end": shown_value.end, "empty": v.is_empty}
        for (_, v), shown_value in zip(every, values, strict=True)
    ]
    output = number(e.output)
    loudest = max(float(np.max(np.abs(sound), initial=0.0)) for sound in sounds)
    scale = 1.0 if loudest <= 1.0 else 1.0 / loudest  # all alike, so that their differences are right
    return Shown(
        e.sentences,
        e.warnings,
        e.sound.shape[1] / e.sample_rate,
        rows,
        values,
        0,
        output,
        20.0 * float(np.log10(scale)),
        as_json([player(sound * np.float32(scale), e.sample_rate) for sound in sounds]),
        as_json(maps),
        e.trust,
        "" if e.origin is None else str(e.origin),
    )


def _map(v: Evidence) -> dict[str, Any]:
    """Bands over time in dB below the strongest, as small integers."""
    group = -(-v.power.shape[1] // MAP_FRAMES)
    padded = np.pad(v.power, ((0, 0), (0, -v.power.shape[1] % group)))
    power = padded.reshape(padded.shape[0], -1, group).mean(2)
    level = 10.0 * np.log10(power / max(float(power.max()), 1e-30) + 1e-12)
    times = v.times_s[::group]
    shown_level = np.clip(level, -MAP_DB, 0).round().astype(int) if v.power.any() else np.full(level.shape, -MAP_DB)
    return {"z": shown_level.tolist(), "x": numbers(times), "y": numbers(v.centres_hz)}


def write_page(e: Explanation, path: Path) -> Path:
    """Write the page; it appears complete or not at all."""
    plots: dict[str, Any] = {
        "spectrum": lines_plot(
            [line([hz for hz, _ in e.difference.bands_db], [db for _, db in e.difference.bands_db], "out")],
            "Frequency in Hz",
            "Level out minus level in, dB",
            log_x=True,
        ),
        "levels": lines_plot(
            [line(*_levels(sound, e.sample_rate), name) for sound, name in ((e.sound, "in"), (e.output, "out"))],
            "Time in s",
            "Level in dBFS",
        ),
    }
    if e.origin is not None:
        hundred = ((e.origin.shares, "input"), (e.origin.detector, "by way of gains"))
        plots["origin_plot"] = lines_plot(
            [line(e.origin.times_s, 100.0 * of, name) for of, name in hundred], "Time in s", "Share of the energy in %"
        )
    block_plots, blocks = drawn_blocks(e)
    plots |= block_plots
    page = (
        templates()
        .get_template("explanation.html")
        .render(
            rack=e.rack,
            version=__version__,
            shown=shown(e),
            blocks=blocks,
            rack_text=repr(e.rack),
            provenance=json.dumps(e.rack.provenance, indent=1, ensure_ascii=False),
            plots=as_json(plots),
            plotly=packed_plotly(),
        )
    )
    with atomic(path) as beside:
        beside.write_text(page, encoding="utf-8", errors="backslashreplace")
    return path


def drawn_blocks(e: Explanation) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The curves of every block by the names of their plots, and the blocks as templates take them."""
    plots: dict[str, Any] = {}
    blocks = []
    for which, block in enumerate(e.blocks):
        drawn = [] if isinstance(block.effect, ExternalEffect) else curves(block.effect, e.sample_rate)
        plots |= {
            f"effect{which}_{i}": lines_plot([line(c.x, c.y, "out")], c.x_label, c.y_label, c.log_x)
            for i, c in enumerate(drawn)
        }
        blocks.append(
            {
                "address": block.address,
                "card": block.effect.card,
                "bypass": block.effect.bypass,
                "lines": block.lines(),
                "plots": [(f"effect{which}_{i}", c.title) for i, c in enumerate(drawn)],
                "rows": _value_rows(block),
            }
        )
    return plots, blocks


def _value_rows(block: Block) -> list[dict[str, Any]]:
    rows = []
    for a in block.values:
        name = a.address.partition(".")[2]
        p = block.effect.card.addresses[name]
        texts = {key: value_text(p, value) for key, value in (("before", a.before), ("after", a.after)) if value is not None}
        rows.append({"name": name, **texts, "jnds": a.jnds, "error_db": a.distances.error_db, "loudness_lu": a.loudness_lu})
    return rows


def _levels(sound: Audio, rate: float) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    levels = window_levels_db(sound, int(0.1 * rate), 1e-10)
    return (np.arange(levels.size) + 0.5) * 0.1, levels
