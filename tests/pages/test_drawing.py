"""Racks, effects and cards as a notebook shows them."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import numpy as np
import pytest

import twinrack as tr
from support import CARD_IDS, music
from twinrack.measure.curves import Curve
from twinrack.pages.drawing import curve_figure
from twinrack.rack.effect import CLASSES

RATE = 48000
VOID = {"line", "polyline"}


class Balanced(HTMLParser):
    """Reads HTML, and refuses elements that are not closed in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text: list[str] = []
        self.seen: set[str] = set()

    def handle_starttag(self, tag, attrs):
        self.seen.add(tag)
        self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        assert tag in VOID, tag

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def read(html: str) -> Balanced:
    parser = Balanced()
    parser.feed(html)
    parser.close()
    assert not parser.open
    return parser


def test_a_rack_shows_its_flow():
    """Every address in its order, branches and splits by their words, what was set, and nothing of a name as HTML."""
    rack = tr.Rack(
        [
            tr.ParametricEQ(bands=[tr.Band("bell", frequency_hz=1234, gain_db=5)]),
            tr.Parallel([[], [tr.Compressor(ratio=8, bypass=True)]]),
            tr.Bands([[tr.Saturation()], [tr.Gate(key="drums")]]),
            tr.MidSide(side=[tr.Gain()]),
        ],
        name="<b onclick=x>evil & more",
    )
    html = rack._repr_html_()
    text = " ".join(read(html).text)
    flow = text[: text.index("All values")]
    places = [re.search(rf"\b{address}\b", flow).start() for address in rack.addresses()]
    assert places == sorted(places)
    for words in ("in parallel, added", "bands, the lowest first", "mid, side", "dry", "bypassed", "listens to drums"):
        assert words in flow
    assert "band1.gain_db 5 dB" in flow
    assert "ratio 8:1" in flow
    assert "<script" not in html
    assert "<b onclick" not in html
    assert html.count("<svg") >= 4
    assert read(tr.Rack([])._repr_html_()).text


@pytest.mark.parametrize("card", CARD_IDS)
def test_every_effect_and_card_is_shown(card):
    effect = CLASSES[card]()
    assert card in " ".join(read(effect._repr_html_()).text)
    page = read(tr.CARDS[card]._repr_html_())
    text = " ".join(page.text)
    assert tr.CARDS[card].purpose in text
    for p in tr.CARDS[card].parameters:
        assert p.doc in text
    assert "table" in page.seen


def test_a_fit_is_shown_with_its_rack():
    x = music(2, RATE, RATE, 1)
    hidden = tr.Rack([tr.Gain(gain_db=-6)])
    result = tr.fit(tr.Rack([tr.Gain()], name="mine"), x, hidden(x, RATE), RATE, steps=20, progress=False)
    text = " ".join(read(result._repr_html_()).text)
    assert str(result).splitlines()[0] in text
    assert "mine" in text
    assert "gain_db -6 dB" in text


def test_a_curve_is_the_effects_own():
    """A bell of 12 dB at 1 kHz: the line is highest in its middle, a quarter of the frame above 0 dB."""
    html = tr.ParametricEQ(bands=[tr.Band("bell", frequency_hz=632.5, gain_db=12)])._repr_html_()
    points = html.partition("points='")[2].partition("'")[0].split()
    x, y = zip(*(map(float, point.split(",")) for point in points), strict=True)
    top = y.index(min(y))
    assert x[top] == pytest.approx(66, abs=2)
    assert min(y) == pytest.approx(11, abs=0.5)
    assert y[0] == pytest.approx(22, abs=0.5)


def test_a_figure_has_its_numbers():
    """Round numbers inside the range, in order, and the curve inside the frame."""
    x = np.geomspace(20, 20000, 200)
    html = curve_figure(Curve("Response & more", "Frequency in Hz", "Gain in dB", x, 9 * np.sin(np.log(x)), log_x=True))
    page = read(html)
    assert "Response & more, Gain in dB" in page.text
    assert [t for t in page.text if t in ("-10", "-5", "0", "5", "10")] == ["-5", "0", "5"]
    assert "10k" in page.text
    points = [tuple(map(float, p.split(","))) for p in html.partition("points='")[2].partition("'")[0].split()]
    assert min(p[0] for p in points) >= 46
    assert max(p[0] for p in points) <= 452
    assert 22 <= min(p[1] for p in points) < max(p[1] for p in points) <= 186
    flat = curve_figure(Curve("Flat", "x", "y", np.arange(3.0), np.zeros(3)))
    assert flat.count("points='") == 1
    assert "nan" not in flat
