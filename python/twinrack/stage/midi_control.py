"""Controls of a MIDI controller, and how their values are read: absolute, in two bytes, relative, or a button's press.

Encoders without ends send steps in one of three codes (values of +1 and -1): two's complement 1 and 127, offset 65 and 63,
sign and magnitude 1 and 65. None of them says which it is. "auto" finds out: the same small step comes again and again, which
an absolute control never sends, and the codes differ in what they send to the left.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field

CONTROL, NOTE, NRPN = "control", "note", "nrpn"
ABSOLUTE, FINE, AUTO = "absolute", "absolute_14", "auto"
TWOS, OFFSET, SIGN = "relative_twos", "relative_offset", "relative_sign"
TOGGLE, MOMENTARY, TRIGGER, VELOCITY = "toggle", "momentary", "trigger", "velocity"
RELATIVE = (TWOS, OFFSET, SIGN)
MODES = {
    CONTROL: (AUTO, ABSOLUTE, FINE, *RELATIVE, TOGGLE, MOMENTARY),
    NOTE: (TOGGLE, MOMENTARY, TRIGGER, VELOCITY),
    NRPN: (ABSOLUTE,),
}
HIGHEST = {CONTROL: 127, NOTE: 127, NRPN: 16383}
ON = 64  # from this value on a button counts as pressed
WIDEST_STEP = 16  # of an encoder that is turned fast
REPEATS = 3  # equal steps in a row that only an encoder sends
PRESS_S = 0.5  # a button that is released within this time is not a latching switch
PAIR_S = 0.02  # between the two halves of a value of 14 bits


def steps_of(value: int, mode: str) -> int:
    """How far a relative control was turned, in steps; to the left is negative."""
    if mode == TWOS:
        return value if value < ON else value - 128
    if mode == OFFSET:
        return value - ON
    return value if value < ON else ON - value


@dataclass
class Control:
    """A control and what it moves.

    Attributes:
        kind: "control" (a controller number), "note" or "nrpn".
        channel: 0 to 15.
        number: of the controller or note, 0 to 127; of an NRPN, 0 to 16383.
        address: what it moves.
        mode: how its values are read; see `MODES`.
    """

    kind: str
    channel: int
    number: int
    address: str
    mode: str
    last: int | None = None
    holds: bool = False
    mode_known: bool = True  # how its values are read was found out, or given
    _first_at: float = 0.0
    _run: int = 0
    _seen: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        if self.kind not in MODES:
            raise ValueError(f"kind = {self.kind!r} is none of {', '.join(MODES)}")
        if self.mode not in MODES[self.kind]:
            raise ValueError(f"mode = {self.mode!r} of a {self.kind} is none of {', '.join(MODES[self.kind])}")
        whole = all(isinstance(n, int) and not isinstance(n, bool) for n in (self.channel, self.number))
        highest = 31 if self.mode == FINE else HIGHEST[self.kind]
        if not whole or not (0 <= self.channel <= 15 and 0 <= self.number <= highest):
            raise ValueError(
                f"channel {self.channel}, {self.kind} {self.number}: channels are 0 to 15, a {self.kind} "
                f"{'in 14 bits ' if self.mode == FINE else ''}is 0 to {highest}"
            )

    def __str__(self) -> str:
        what = {CONTROL: "CC", NOTE: "note", NRPN: "NRPN"}[self.kind]
        return f"{what} {self.number}, channel {self.channel + 1}"

    def look(self, value: int, is_button: bool) -> None:
        """Find out what "auto" is from a value that comes; `is_button`: it moves a switch or a choice."""
        now = time.monotonic()
        if not self._seen:
            self._first_at = now
        self._run = self._run + 1 if value == self.last else 1
        self._seen.add(value)
        if is_button and self._seen <= {0, 127}:
            if self._seen == {0, 127}:  # pressed and released, or a latching switch
                self.mode = TOGGLE if now - self._first_at < PRESS_S else ABSOLUTE
            elif self._run > 1:
                self.mode = TOGGLE  # it sends nothing when it is released
            return
        near_0 = all(1 <= v <= WIDEST_STEP or v >= 128 - WIDEST_STEP for v in self._seen)
        near_64 = all(abs(v - ON) <= WIDEST_STEP for v in self._seen)
        if self._run >= REPEATS and (near_0 or near_64) and value != ON:
            # To the right 1 is a step of two codes alike; which of them, the first step to the left says.
            self.mode = OFFSET if near_64 else TWOS
        elif not (near_0 or near_64) or len(self._seen) > WIDEST_STEP:
            self.mode = ABSOLUTE

    def steps(self, value: int) -> int:
        """The steps of a relative control; its code becomes known with the first step to the left."""
        if self.mode == TWOS and self._seen and all(v <= WIDEST_STEP for v in self._seen) and ON < value <= ON + WIDEST_STEP:
            self.mode = SIGN
        self._seen.add(value)
        return steps_of(value, self.mode)
