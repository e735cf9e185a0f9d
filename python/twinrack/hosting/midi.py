"""MIDI for plugins that hear it: messages, and the messages of a recording, a list or a MIDI file, by their times."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from ..checks import brief

Message = bytes | Sequence[int] | str | Any  # bytes of a channel message, or one of mido
Score = tuple[tuple[float, str], ...]  # seconds, and three bytes in hexadecimal; ascending
PAIRS_IN_REQUEST = 4000
LONGEST_S = 1e6
TWO_BYTES = (0xC0, 0xD0)


def message_text(message: Message) -> str:
    """A channel message as six hexadecimal digits.

    Args:
        message: its bytes, such as (0x90, 60, 100), a message of mido, or such digits.

    Raises:
        ValueError: it is not a message of a channel.
    """
    data = b""
    with suppress(TypeError, ValueError):
        if isinstance(message, str):
            data = bytes.fromhex(message)
            if len(data) == 3 and data[0] & 0xF0 in TWO_BYTES and data[2] == 0:  # as this function gives it
                data = data[:2]
        elif not isinstance(message, int):  # of which `bytes` would make as many zeros
            data = bytes(getattr(message, "bytes", lambda: message)())
    length = 2 if data and data[0] & 0xF0 in TWO_BYTES else 3
    if len(data) != length or not 0x80 <= data[0] < 0xF0 or max(data[1:]) > 127:
        raise ValueError(
            f"{brief(message)} is not a MIDI message of a channel; give its bytes: (0x90, 60, 100) is a key that is hit"
        )
    return data.hex().ljust(6, "0")


def score_of(midi: str | os.PathLike[str] | Iterable[tuple[float, Message]] | None) -> Score:
    """Messages in the order of time.

    Args:
        midi: pairs of seconds and a message; None for none; the path of a MIDI file, of which tempo and tracks are followed.

    Raises:
        ValueError: a time or message is none, or the file is damaged.
        FileNotFoundError: there is no such file.
        RuntimeError: mido is missing, which reads the file.
    """
    if isinstance(midi, str | os.PathLike):
        return _from_file(Path(midi).expanduser())
    pairs = []
    for i, pair in enumerate(midi if midi is not None else ()):
        try:
            seconds, message = pair
            at = float(seconds)
        except (TypeError, ValueError):
            raise ValueError(f"midi[{i}] = {brief(pair)} is not a pair of seconds and a message") from None
        if not math.isfinite(at) or not 0.0 <= at <= LONGEST_S:
            raise ValueError(f"midi[{i}] is at {brief(seconds)} s; give 0 to {LONGEST_S:g} s")
        pairs.append((at, message_text(message)))
    return tuple(sorted(pairs, key=lambda pair: pair[0]))


def _from_file(path: Path) -> Score:
    try:
        import mido
    except ImportError:
        raise RuntimeError("MIDI files need mido: pip install 'twinrack[live]'") from None
    if not path.is_file():
        raise FileNotFoundError(f"there is no MIDI file {path}")
    pairs, seconds = [], 0.0
    try:
        file = mido.MidiFile(path)
        if file.ticks_per_beat <= 0:
            raise ValueError("its times are frames of film, not beats")
        for message in file:
            seconds += message.time
            if not message.is_meta and 0x80 <= message.bytes()[0] < 0xF0:
                pairs.append((seconds, message_text(message)))
    except Exception as error:  # of many kinds, whatever the file holds
        raise ValueError(f"{path.name} is not a MIDI file that can be read: {error or type(error).__name__}") from None
    if seconds > LONGEST_S:
        raise ValueError(f"{path.name} is longer than {LONGEST_S:g} s")
    return tuple(sorted(pairs, key=lambda pair: pair[0]))


def requests_of(score: Score, sample_rate: float, late: float) -> list[list[object]]:
    """The words of the requests that tell a host program a score.

    Args:
        score: of the timeline.
        sample_rate: Hz.
        late: frames by which the sound is late where the plugin stands.
    """
    requests = []
    for start in range(0, len(score), PAIRS_IN_REQUEST):
        part = score[start : start + PAIRS_IN_REQUEST]
        words: list[object] = []
        for at, text in part:
            words += [round(at * sample_rate + late), text]
        requests.append(words)
    return requests
