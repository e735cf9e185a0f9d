"""Racks, effects and cards as HTML for notebooks: the flow of the signal, each effect with its curve and what was set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

import numpy as np
import numpy.typing as npt

from ..measure.curves import Curve, frequency_response
from ..rack.card import Card, Parameter
from ..rack.describe import describe, effect_lines, value_text
from ..rack.effect import Effect, without_key
from ..rack.external_effect import ExternalEffect
from ..rack.rack import Rack
from ..rack.tree import Chain, MidSide, Parallel, Split

RATE = 48000.0
WIDTH, HEIGHT = 132, 44  # of a curve, in pixels
GAIN_DB = (-24.0, 24.0)
LEVELS_DB = (-72.0, 12.0)
MOST_SHOWN = 4  # values in a box
LEAST_SPAN = 2.0  # of a figure, in its unit, so that a straight line is one
DECADES = (20.0, 50.0, 100.0, 200.0, 500.0, 1000.0, 2000.0, 5000.0, 10000.0, 20000.0)
STYLE = (
    "<style>.tr-flow{display:flex;align-items:center;gap:4px;flex-wrap:wrap;font:13px/1.35 system-ui,sans-serif}"
    ".tr-flow .tr-box{border:1px solid currentColor;border-radius:6px;padding:4px 8px;max-width:15em}"
    ".tr-flow .tr-off{opacity:.5;border-style:dashed}"
    ".tr-flow .tr-branches{display:flex;flex-direction:column;gap:4px;padding:0 6px}"
    ".tr-flow .tr-branches{border:solid currentColor;border-width:0 2px}"
    ".tr-flow small{display:block;opacity:.8}.tr-flow svg{display:block;margin-top:2px}</style>"
)


def rack_html(rack: Rack) -> str:
    """A rack: its flow, and all values in a fold."""
    addresses = {id(effect): address for address, effect in rack.addresses().items()}
    flow = _item(rack.root, addresses) or "<small>empty: the sound stays as it is</small>"
    head = f"<b>{escape(rack.name or 'rack')}</b>"
    text = escape(describe(rack))
    return f"{STYLE}{head}<div class='tr-flow'>{flow}</div><details><summary>All values</summary><pre>{text}</pre></details>"


def effect_html(effect: Effect) -> str:
    """An effect: its box, and all values in a fold."""
    name = effect.name or effect.card.id
    text = escape("\n".join(effect_lines(name, effect)))
    box = _box(effect, name)
    return f"{STYLE}<div class='tr-flow'>{box}</div><details><summary>All values</summary><pre>{text}</pre></details>"


def card_html(card: Card) -> str:
    """A card: purpose, rationale, and a table of its parameters with ranges, defaults and meaning."""
    rows = [_row(p, "") for p in card.parameters]
    rows += [_row(p, f"{group.id}1 … {group.id}{group.count}: ") for group in card.groups for p in group.parameters]
    head = "".join(f"<th style='text-align:left'>{name}</th>" for name in ("value", "range", "default", "what it is"))
    listed = "".join(f"<li>{escape(sentence)}</li>" for sentence in card.assumptions)
    return (
        f"<b>{escape(card.name)}</b> <code>{escape(card.id)}</code><p>{escape(card.purpose)} {escape(card.rationale)}</p>"
        f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
        f"<details><summary>What it assumes</summary><ul>{listed}</ul></details>"
    )


def curve_figure(
    curve: Curve, width: int = 460, height: int = 220, beside: Sequence[tuple[str, npt.NDArray[np.float64]]] = ()
) -> str:
    """A curve in a frame with its title, labels and numbers, as SVG; it takes the colour of the text around it.

    Args:
        beside: up to two other lines over the same `x`, with their names; drawn dashed and dotted.
    """
    left, bottom, top = 46, 34, 22
    x, y = np.asarray(curve.x, float), np.asarray(curve.y, float)
    place = np.log10(x) if curve.log_x else x
    low, high = (float(f([f(line) for line in (y, *(line for _, line in beside))])) for f in (np.min, np.max))
    if high - low < LEAST_SPAN:
        low, high = 0.5 * (low + high - LEAST_SPAN), 0.5 * (low + high + LEAST_SPAN)
    margin = 0.05 * (high - low)
    low, high = low - margin, high + margin

    def across(value: float) -> float:
        return left + (value - float(place[0])) / float(place[-1] - place[0]) * (width - left - 8)

    def down(value: float) -> float:
        return top + (high - value) / (high - low) * (height - top - bottom)

    marks = []
    for tick in _ticks(low, high):
        at = down(tick)
        marks.append(f"<line x1='{left}' y1='{at:.1f}' x2='{width - 8}' y2='{at:.1f}' stroke='currentColor' opacity='.2'/>")
        marks.append(f"<text x='{left - 4}' y='{at + 4:.1f}' text-anchor='end'>{tick:g}</text>")
    for tick in DECADES if curve.log_x else _ticks(float(x[0]), float(x[-1])):
        if x[0] <= tick <= x[-1]:
            at = across(float(np.log10(tick)) if curve.log_x else tick)
            marks.append(
                f"<line x1='{at:.1f}' y1='{top}' x2='{at:.1f}' y2='{height - bottom}' stroke='currentColor' opacity='.2'/>"
            )
            shown = f"{tick / 1000:g}k" if tick >= 1000 else f"{tick:g}"
            marks.append(f"<text x='{at:.1f}' y='{height - bottom + 13}' text-anchor='middle'>{shown}</text>")
    title = f"<tspan font-weight='bold'>{escape(curve.title)}, {escape(curve.y_label)}</tspan>"
    for line, dashes in zip((y, *(line for _, line in beside)), ("", "6 4", "1 3"), strict=False):
        points = " ".join(f"{across(a):.1f},{down(b):.1f}" for a, b in zip(place, line, strict=True))
        stroke = f"stroke-width='1.5' stroke-dasharray='{dashes}'" if dashes else "stroke-width='1.5'"
        marks.append(f"<polyline points='{points}' fill='none' stroke='currentColor' {stroke}/>")
    for (name, _), how in zip(beside, ("dashed", "dotted"), strict=False):
        title += f"<tspan>; {how}: {escape(name)}</tspan>"
    marks.append(f"<text x='{left}' y='14'>{title}</text>")
    marks.append(f"<text x='{width - 8}' y='{height - 4}' text-anchor='end'>{escape(curve.x_label)}</text>")
    label = escape(f"{curve.title}: {curve.y_label} over {curve.x_label}", quote=True)
    size = f"width='{width}' height='{height}' viewBox='0 0 {width} {height}'"
    style = "font:11px system-ui,sans-serif;fill:currentColor;max-width:100%"
    return f"<svg {size} role='img' aria-label=\"{label}\" style='{style}'>{''.join(marks)}</svg>"


def _ticks(low: float, high: float) -> list[float]:
    """About five round numbers between two."""
    rough = (high - low) / 5.0
    size = 10.0 ** np.floor(np.log10(rough))
    step = float(min((size * m for m in (1.0, 2.0, 5.0, 10.0)), key=lambda s: abs(s - rough)))
    return [round(step * i, 9) for i in range(int(np.ceil(low / step)), int(np.floor(high / step)) + 1)]


def _row(p: Parameter, prefix: str) -> str:
    cells = (f"{prefix}{p.id}", p.range_text(), value_text(p, p.default), p.doc)
    columns = "".join(f"<td style='text-align:left'>{escape(cell)}</td>" for cell in cells)
    return f"<tr>{columns}</tr>"


def _item(item: Effect | Chain | Parallel, addresses: Mapping[int, str]) -> str:
    if isinstance(item, Effect):
        return _box(item, addresses[id(item)])
    if isinstance(item, Chain):
        return "<span>→</span>".join(_item(child, addresses) for child in item.items)
    words = "in parallel, added"
    before = ""
    if isinstance(item, Split):
        words = "mid, side" if isinstance(item, MidSide) else "bands, the lowest first"
        before = _box(item.splitter, addresses[id(item.splitter)]) + "<span>⇉</span>"
    branches = [_item(branch, addresses) or "<small>dry</small>" for branch in item.branches]
    rows = "".join(f"<div class='tr-flow'>{branch}</div>" for branch in branches)
    return f"{before}<div class='tr-branches'><small>{words}</small>{rows}</div>"


def _box(effect: Effect, address: str) -> str:
    marks = [mark for mark in ("bypassed" if effect.bypass else "", f"listens to {effect.key}" if effect.key else "") if mark]
    title = escape(effect.card.purpose, quote=True)
    lines = [f"<b>{escape(address)}</b>", *(f"<small>{escape(mark)}</small>" for mark in marks)]
    lines += [f"<small>{escape(text)}</small>" for text in _shown(effect)]
    lines.append(_curve(effect))
    kind = "tr-box tr-off" if effect.bypass else "tr-box"
    return f"<div class='{kind}' title=\"{title}\">{''.join(lines)}</div>"


def _shown(effect: Effect) -> list[str]:
    """The values that were set, at most a few lines."""
    unused, card = effect.unused(), effect.card.addresses
    changed = [a for a, v in effect.values().items() if a not in unused and v != effect.default(a)]
    lines = [f"{a} {value_text(card[a], effect.get(a))}" for a in changed[:MOST_SHOWN]]
    return lines + ([f"and {len(changed) - MOST_SHOWN} more"] if len(changed) > MOST_SHOWN else [])


def _curve(effect: Effect) -> str:
    """The curve that says most about an effect, where it has one that is quick to measure."""
    kinds = effect.card.curves or (("response",) if effect.card.category == "linear" else ())
    if isinstance(effect, ExternalEffect) or not kinds or effect.card.channels == "stereo":
        return ""
    alone = without_key(effect)
    alone.bypass = False
    if kinds[0] == "response":
        return _svg(frequency_response(alone, RATE), GAIN_DB)
    if kinds[0] == "transfer":
        return _svg(_transfer(alone), LEVELS_DB)
    return ""


def _transfer(effect: Effect) -> Curve:
    """Level out over level in of a tone of 1 kHz, whose level rises in steps of 4 dB."""
    levels = np.arange(LEVELS_DB[0], 0.1, 4.0)
    frames = round(0.25 * RATE)
    t = np.arange(frames * levels.size) / RATE
    x = (10.0 ** (np.repeat(levels, frames) / 20.0) * np.sin(2 * np.pi * 1000 * t)).astype(np.float32)
    y = Rack([effect])(x, RATE)
    ends = y.reshape(levels.size, frames)[:, -frames // 4 :]
    out = 20 * np.log10(np.abs(ends).max(1).astype(np.float64) + 1e-9)
    return Curve("Transfer curve", "Level in, dBFS", "Level out, dBFS", levels, out)


def _svg(curve: Curve, limits: tuple[float, float]) -> str:
    """A curve as a line in a frame; the middle line is 0 dB of gain, or the level as it came in."""
    x = np.log(curve.x) if curve.log_x else curve.x
    across = (x - x[0]) / (x[-1] - x[0]) * WIDTH
    low, high = limits
    down = (1.0 - (np.clip(curve.y, low, high) - low) / (high - low)) * HEIGHT
    points = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(across, down, strict=True))
    first, last = (curve.x[0], curve.x[-1]) if limits == LEVELS_DB else (0.0, 0.0)
    ends = [(1.0 - (level - low) / (high - low)) * HEIGHT for level in (first, last)]
    unchanged = f"<line x1='0' y1='{ends[0]:.1f}' x2='{WIDTH}' y2='{ends[1]:.1f}' stroke='currentColor' opacity='.3'/>"
    label = escape(f"{curve.title}: {curve.y_label} over {curve.x_label}", quote=True)
    line = f"<polyline points='{points}' fill='none' stroke='currentColor' stroke-width='1.5'/>"
    return f"<svg width='{WIDTH}' height='{HEIGHT}' role='img' aria-label=\"{label}\">{unchanged}{line}</svg>"
