"""Presets read line by line, with the scopes that Equalizer APO has: Device, Stage, Channel, If, Include, Copy.

What a scope excludes is never played; what stands under something that is not known here is left out with a sentence.
"""

from __future__ import annotations

import codecs
import itertools
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path, PureWindowsPath

import numpy as np

from ..resources.response import LONGEST_S
from .apo_expression import UNKNOWN, Value, evaluate, truth, written
from .apo_line import LeftOutError, coefficients_of, delay_of, filter_of, level_of, nodes_of, plain_number
from .apo_routes import MOST_ROUTES, QUIETEST_DB, Curve, Delay, Response, Route, Routes, Step, added, scaled
from .curve import recursion

LARGEST = 1 << 20  # bytes of a preset
STAGES = ("post-mix", "pre-mix", "capture")
MOST_LINES = 50_000  # of a preset and all that it includes
DEEPEST = 20  # presets included within one another
MOST_SENTENCES = 200
MOST_STEPS = 50_000  # filters and preamps, on each route of each channel
MOST_CHANNELS = 64
MOST_CONDITIONS = 100  # within one another
SIDES = {"1": "L", "2": "R", "FL": "L", "FR": "R"}
ACTING = ("preamp", "graphiceq", "convolution", "multiconvolution", "delay", "copy", "vstplugin", "loudnesscorrection")
_BOMS = {
    codecs.BOM_UTF8: "utf-8", codecs.BOM_UTF32_LE: "utf-32-le", codecs.BOM_UTF32_BE: "utf-32-be",
    codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be",
}  # fmt: skip
_FACTOR = re.compile(r"([-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:E[-+]?\d+)?)(DB)?")


def text_lines(path: Path) -> list[str]:
    """The lines of a preset in any encoding that such files have: UTF-8, UTF-16 or UTF-32, with or without a mark, or latin-1.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not a text file, or larger than any preset.
    """
    if not path.exists():
        raise FileNotFoundError(f"there is no file {path}")
    if not path.is_file() or path.stat().st_size > LARGEST:
        raise ValueError(f"{path} is a folder, or larger than any preset; give a text file such as ParametricEQ.txt")
    data = path.read_bytes()
    mark = next((m for m in sorted(_BOMS, key=len, reverse=True) if data.startswith(m)), b"")
    encoding, data = _BOMS.get(mark, ""), data[len(mark) :]
    if not mark and data[:200].count(b"\0") * 3 > len(data[:200]):  # every second byte of plain text in UTF-16
        encoding = "utf-16-le" if data[1:200:2].count(b"\0") >= data[:200:2].count(b"\0") else "utf-16-be"
    if encoding.startswith(("utf-16", "utf-32")):
        return re.split(r"\r\n|\n|\r", data.decode(encoding, "replace"))
    return [_decoded(line) for line in re.split(rb"\r\n|\n|\r", data)]


def _decoded(line: bytes) -> str:
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError:
        return line.decode("latin-1")


@dataclass
class Excluded:
    """Why lines are not played; counts those that would have been."""

    reason: str
    first: str = ""
    lines: int = 0

    def sentence(self) -> str:
        return f"{self.first}: {self.lines} {'line is' if self.lines == 1 else 'lines are'} left out: {self.reason}"


@dataclass
class Branch:
    """An If: whether its lines are played now, and whether one of its branches has been; None where that is not known."""

    within: bool
    live: bool
    taken: bool | None
    excluded: Excluded


@dataclass
class Scope:
    """The settings that a file makes for the lines after them; the file that includes it gets its own back."""

    channels: list[str] | None
    stage: Excluded | None
    branches: list[Branch] = field(default_factory=list)


class Reader:
    """Reads a preset into the routes that make its two outputs.

    Args:
        sample_rate: Hz; what a preset may ask for, and at which bandwidths, curves and delays are exact.
        device: words of the device that is played on, as Device lines match them; empty where none is known.
        stage: which Stage the lines are read for.
    """

    def __init__(self, sample_rate: float, device: str, stage: str) -> None:
        self.sample_rate, self.device, self.stage = sample_rate, device.lower(), stage
        self.channels: dict[str, Routes] = {"L": [Route(0)], "R": [Route(1)]}
        self.used = False
        self._order: dict[int, int] = {}
        self._lost: list[str | Excluded] = []
        self._scope = Scope(["L", "R"], None if stage != "pre-mix" else Excluded("only for the stage 'post-mix'"))
        self._off: Excluded | None = None  # the device
        self._beyond = Excluded("")  # channels that are neither left nor right
        self._steps = 0
        self._lines = 0
        self._files: list[Path] = []
        known: dict[str, Value] = {
            "sampleRate": sample_rate,
            "stage": stage,
            "inputChannelCount": 2.0,
            "outputChannelCount": 2.0,
        }
        self._variables = known | dict.fromkeys(("deviceName", "connectionName", "deviceGuid"), UNKNOWN)

    @property
    def lost(self) -> list[str]:
        """Sentences about the lines that are not played."""
        sentences = [item if isinstance(item, str) else item.sentence() for item in self._lost]
        if len(sentences) > MOST_SENTENCES:
            sentences[MOST_SENTENCES:] = [f"{self._files[0]}: {len(sentences) - MOST_SENTENCES} more lines are left out"]
        return sentences

    def order(self, step: Step) -> int:
        return self._order[id(step)]

    def read(self, path: Path, lines: Sequence[str], *, as_written: bool = True) -> None:
        """Read the lines of a file, and the files that they include.

        Args:
            as_written: whether the lines have the file's numbers.

        Raises:
            ValueError: there are too many.
        """
        outer = self._scope
        self._scope = Scope(outer.channels, outer.stage)
        self._files.append(path)
        self._lines += len(lines)
        if self._lines > MOST_LINES:
            raise ValueError(f"{self._files[0]} and what it includes have more than {MOST_LINES} lines")
        for n, line in enumerate(lines, 1):
            key, colon, value = line.partition(":")
            if colon:
                self._line(" ".join(key.split()), value, f"{path}, line {n}" if as_written else str(path))
        if len(self._files) > 1:
            self._files.pop()
        self._scope, self._off = outer, None

    def _line(self, key: str, value: str, where: str) -> None:
        command = key.lower()
        filtering = re.fullmatch(r"filter( ?\d+)?", command) is not None or (
            command.startswith("filter") and re.match(r"\s*on\b", value, re.IGNORECASE) is not None
        )
        acting = command in ACTING or filtering
        missed = (acting and not (filtering and re.match(r"\s*off\b", value, re.IGNORECASE))) or command == "include"
        if command == "device":
            self._off = self._device_excludes(value)
        if self._off:
            if missed:
                self._leave(self._off, where)
            return
        if command in ("if", "elseif", "else", "endif"):
            self._condition(command, value.strip(), where)
            return
        dead = next((b for b in self._scope.branches if not b.live), None)
        if dead:
            if missed:
                self._leave(dead.excluded, where)
            if any(b.taken is None for b in self._scope.branches):
                self._not_known(command, value)
            return
        if "`" in value and not key.startswith("#"):
            filled = self._filled(value)
            if filled is None:
                if missed or command in ("channel", "stage"):
                    self._lost.append(f"{where}: 1 line is left out: what stands between its backquotes is not known here")
                self._not_known(command, value)
                return
            value = filled
        if command == "eval":
            evaluate(value.strip(), self._variables)
        elif command == "include":
            self._include(value.strip(), where)
        elif command == "stage":
            self._scope.stage = (
                None if self.stage in value.lower().split() else Excluded(f"only for the stage {value.strip()[:60]!r}")
            )
        elif self._scope.stage:
            if missed:
                self._leave(self._scope.stage, where)
        elif command == "channel":
            self._channel(value, where)
        elif acting:
            try:
                self._act("filter" if filtering else command, value, where)
            except LeftOutError as reason:
                self._lost.append(f"{where}: {(key + ':' + value).strip()[:60]!r} is left out: {reason}")

    def _leave(self, excluded: Excluded, where: str) -> None:
        if not excluded.lines:
            excluded.first = where
            self._lost.append(excluded)
        excluded.lines += 1

    def _not_known(self, command: str, value: str) -> None:
        """A line that may or may not hold: what it would set is not known from here on."""
        if command == "channel":
            self._scope.channels = None
        elif command == "stage":
            self._scope.stage = Excluded("it is not known here which Stage holds")
        elif command == "eval":
            assigned = re.match(r"\s*([A-Za-z_]\w*)\s*[-+*/]?=(?!=)", value)
            if assigned:
                self._variables[assigned[1]] = UNKNOWN

    def _device_excludes(self, pattern: str) -> Excluded | None:
        """Whether the device matches: one of the patterns between semicolons has only words that its name has."""
        for words in (part.lower().split() for part in pattern.split(";")):
            if words == ["all"] or (words and self.device and all(word in self.device for word in words)):
                return None
        cure = "" if self.device else "; where it is the one played on, give its name as device (--device)"
        return Excluded(f"only for the device {pattern.strip()[:60]!r}{cure}")

    def _condition(self, command: str, expression: str, where: str) -> None:
        branches = self._scope.branches
        if command == "if":
            if len(branches) >= MOST_CONDITIONS:
                raise ValueError(f"{where}: more than {MOST_CONDITIONS} If are open")
            within = all(b.live for b in branches)
            holds = truth(evaluate(expression, self._variables)) if within else True
            branches.append(Branch(within, bool(holds) and within, holds, _condition_excludes(expression, holds)))
            return
        if not branches:
            return
        branch = branches[-1]
        if command == "endif":
            branches.pop()
        elif branch.within and branch.taken is False:
            holds = truth(evaluate(expression, self._variables)) if command == "elseif" else True
            branch.live, branch.taken = bool(holds), holds
            branch.excluded = _condition_excludes(expression, holds)
        elif branch.within:
            branch.live = False
            if branch.taken:
                branch.excluded = Excluded("an earlier branch of the If holds")

    def _filled(self, value: str) -> str | None:
        """The line with what stands between backquotes computed; None where that is not known."""
        parts = re.split(r"(?<!\\)`", value)
        for i in range(1, len(parts), 2):
            result = evaluate(parts[i].replace("\\`", "`"), self._variables)
            if not isinstance(result, float | bool | str):
                return None
            parts[i] = written(result)
        return "".join(parts).replace("\\`", "`")

    def _include(self, name: str, where: str) -> None:
        try:
            path = self._beside(name)
            lines = text_lines(path)
            again = any(path.samefile(f) for f in self._files)
        except (OSError, ValueError, RuntimeError):
            self._lost.append(f"{where}: {name[:60]!r} is left out: there is no such preset that can be read")
            return
        if again or len(self._files) >= DEEPEST:
            self._lost.append(f"{where}: {name[:60]!r} is left out: it includes itself or is included too deeply")
            return
        self.read(path, lines)

    def _beside(self, name: str) -> Path:
        """The path of a file that is named as on Windows or as here, from the folder of the file that names it."""
        folder = self._files[-1].parent
        path = folder / name
        if not path.exists() and "\\" in name:
            path = folder / Path(*PureWindowsPath(name).parts)
        return path

    def _channel(self, value: str, where: str) -> None:
        words = value.upper().split()
        chosen = list(self.channels) if "ALL" in words else []
        beyond = []
        for word in words:
            name = SIDES.get(word, word)
            if name in self.channels:
                chosen.append(name)
            elif word != "ALL":
                beyond.append(word)
        self._scope.channels = [name for name in self.channels if name in chosen]
        beyond = list(itertools.takewhile(lambda word: not word.startswith("#"), beyond))
        if beyond and chosen:
            names = ", ".join(beyond)[:60]
            self._lost.append(f"{where}: the channels {names!r} are left out: a rack has left and right")
        elif not chosen:
            self._beyond = Excluded(f"only for the channels {value.strip()[:60]!r}, and a rack has left and right")

    def _act(self, command: str, value: str, where: str) -> None:
        """A line that changes sound on the channels that are chosen now."""
        if command == "copy":
            self._copy(value, where)
            return
        if self._scope.channels is None:
            raise LeftOutError("it is not known here which Channel holds")
        if command in ("vstplugin", "loudnesscorrection", "multiconvolution"):
            raise LeftOutError("a rack has no effect that does the same")
        steps: dict[str, Step] = {}
        factor = 1.0
        chosen = self._scope.channels
        if command == "filter":
            notes: list[str] = []
            iir = coefficients_of(value)
            band = self._recursion(*iir) if iir else filter_of(value, self.sample_rate, notes)
            if band is None:
                self.used = True
                return
            self._lost += [f"{where}: {note}" for note in notes if chosen]
            steps = dict.fromkeys(chosen, band)
        elif command == "preamp":
            level = level_of(value)
            if not -QUIETEST_DB >= level >= QUIETEST_DB:
                self._lost.append(f"{where}: {level:g} dB is played as {math.copysign(QUIETEST_DB, level):g} dB")
            factor = 10.0 ** (max(QUIETEST_DB, min(level, -QUIETEST_DB)) / 20.0)
        elif command == "graphiceq":
            steps = dict.fromkeys(chosen, Curve(nodes_of(value)))
        elif command == "delay":
            frames = delay_of(value, self.sample_rate)
            if frames >= LONGEST_S * self.sample_rate:
                raise LeftOutError(f"delays up to {LONGEST_S:g} s are possible")
            steps = dict.fromkeys(chosen, Delay(frames)) if frames else {}
        else:
            steps = self._convolution(value.strip(), chosen)
        if not chosen:
            self._leave(self._beyond, where)
            return
        self.used = True
        self._count([self.channels[name] for name in chosen])
        for name in chosen:
            if name in steps:
                self._order.setdefault(id(steps[name]), len(self._order))
            more = (steps[name],) if name in steps else ()
            self.channels[name] = [Route(r.source, r.factor * factor, r.steps + more) for r in self.channels[name]]

    def _recursion(self, numerator: list[float], denominator: list[float]) -> Response:
        try:
            return Response(recursion(numerator, denominator), self.sample_rate, object())
        except ValueError as error:
            raise LeftOutError(str(error)) from None

    def _convolution(self, name: str, chosen: list[str]) -> dict[str, Step]:
        """A response for each channel that is chosen: those of the file in turn."""
        from ..resources.response import Response as Impulse

        try:
            path = self._beside(name)
            if not path.is_file():
                raise LeftOutError("there is no such file")
            impulse = Impulse.read(path)
        except (OSError, ValueError, RuntimeError) as error:
            raise LeftOutError(str(error)) from None
        channels = [Response(np.array(c), impulse.sample_rate, impulse) for c in impulse.samples]
        return {channel: channels[i % len(channels)] for i, channel in enumerate(chosen)}

    def _count(self, touched: Sequence[Routes], each: int = 0) -> None:
        """Keep the work of a hostile file within bounds.

        Raises:
            ValueError: it asks for too much.
        """
        self._steps += sum(1 + each * len(route.steps) for routes in touched for route in routes)
        if self._steps > MOST_STEPS:
            raise ValueError(f"{self._files[0]} has more filters and preamps than a rack can have")

    def _copy(self, value: str, where: str) -> None:
        """Assignments such as L=0.5*L+0.5*R, all from what the channels were before the line."""
        before = dict(self.channels)
        for word in value.upper().split():
            try:
                target, equals, terms = word.partition("=")
                if not target or not equals or not terms:
                    raise LeftOutError('an assignment is written as "L=0.5*L+0.5*R"')
                summands = terms.split("+")
                if len(summands) > MOST_ROUTES:
                    raise LeftOutError(f"a sum has at most {MOST_ROUTES} terms")
                if len(self.channels) >= MOST_CHANNELS and SIDES.get(target, target) not in self.channels:
                    raise LeftOutError(f"up to {MOST_CHANNELS} channels are possible")
                routes = added([route for term in summands for route in _term(term, before)])
            except LeftOutError as reason:
                self._lost.append(f"{where}: {word[:60]!r} is left out: {reason}")
                continue
            self._count([routes], 1)
            self.channels[SIDES.get(target, target)] = routes
            self.used = True


def _term(text: str, channels: dict[str, Routes]) -> Routes:
    """A summand of an assignment: a channel, a factor and a channel, or 0."""
    factor, times, channel = text.rpartition("*")
    number = _FACTOR.fullmatch(factor.replace(",", ".")) if times else None
    if (times and not number) or (not times and not channel):
        raise LeftOutError('an assignment is written as "L=0.5*L+0.5*R"')
    name = SIDES.get(channel, channel)
    if name in channels:
        if number is None:
            return channels[name]
        size = plain_number(number[1])
        return scaled(channels[name], 10.0 ** (max(QUIETEST_DB, min(size, -QUIETEST_DB)) / 20.0) if number[2] else size)
    constant = _FACTOR.fullmatch(channel.replace(",", "."))
    if not times and constant and ("." in channel or float(constant[1]) == 0.0):
        if float(constant[1]) == 0.0 and not constant[2]:
            return []
        raise LeftOutError("a rack adds no constant to a sound")
    raise LeftOutError(f"there is no channel {channel[:20]!r}")


def _condition_excludes(expression: str, holds: bool | None) -> Excluded:
    if holds is None:
        return Excluded(f"it is not known here whether {expression[:60]!r} holds")
    return Excluded(f"the condition {expression[:60]!r} does not hold")
