"""The kinds of listening tests, and whose answers each leaves out."""

from __future__ import annotations

from typing import Literal, get_args

Kind = Literal["abx", "ab", "mushra", "bs1116"]
MOST_ITEMS, MOST_TRIALS, MOST_CONDITIONS = 20, 200, 12
# Whose answers are left out, by kind of test.
KINDS: dict[str, str] = {
    "abx": "Nobody who finished is left out.",
    "ab": "Nobody who finished is left out.",
    "mushra": (
        "Whoever gives the hidden reference less than 90, or the 7 kHz anchor more than 90, in more than 15 % of the items is "
        "left out (ITU-R BS.1534-3, 4.1.2); of the anchor only items count in which at most a quarter of listeners do so."
    ),
    "bs1116": (
        "Of medians and means, whoever does not grade the hidden reference above the object over all of 5 or more items, by a "
        "one-sided t-test at 5 %, is left out (ITU-R BS.1116-3); whether a difference is heard is asked of all who finished."
    ),
}
assert set(KINDS) == set(get_args(Kind))
