"""Do the statistics of listening tests say as much as they should, and no more? Simulated listeners, whose truth is known.

    python benchmarks/listening_statistics.py [RUNS]

Coverage: how often a 95 % interval holds the truth. False positives: how often any of several equal conditions is said to
differ, at 5 %. Unreliable: listeners who rate by chance; how many of them are left out, and how many reliable ones.
"""

from __future__ import annotations

import sys

import numpy as np

from twinrack.listening.exact import analyse_abx, analyse_preference, power, tail, two_sided
from twinrack.listening.ratings import analyse_ratings, interval_of_median
from twinrack.listening.simulated import Truth, ab_listener, abx_listener, raters
from twinrack.listening.stimuli import LOW_ANCHOR, MID_ANCHOR, REFERENCE

EQUAL = {REFERENCE: 100.0, LOW_ANCHOR: 20.0, MID_ANCHOR: 45.0, "a": 70.0, "b": 70.0, "c": 70.0}
APART = EQUAL | {"b": 66.0, "c": 78.0}


def row(name: str, size: str, share: float, should: str) -> None:
    print(f"| {name} | {size} | {100 * share:.1f} % | {should} |", flush=True)


def heard_by_nobody(listeners: int, items: int, random: np.random.Generator) -> bool:
    """Whether a BS.1116 test shows a difference to listeners who guess which one is the hidden reference."""
    answers = raters(Truth({REFERENCE: 5.0, "codec": 4.5}), listeners, items, random, kind="bs1116")
    for item in (item for a in answers for item in a.items):
        pair = [5.0, float(random.uniform(3.0, 4.9))]
        random.shuffle(pair)
        item.scores.update(zip((REFERENCE, "codec"), pair, strict=True))
    try:
        return analyse_ratings(answers).compared[0].adjusted <= 0.05
    except ValueError:  # nobody is left
        return False


def main() -> None:
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 400
    random = np.random.default_rng(1)
    print("| statistics | listeners × items | is | should be |\n| --- | --- | ---: | ---: |", flush=True)
    for listeners, items in ((10, 6), (20, 8), (40, 12)):
        size = f"{listeners} × {items}"
        held = ahead = inside = differ = 0
        for _ in range(runs):
            result = analyse_ratings(raters(Truth(APART), listeners, items, random))
            of = {r.condition: r for r in result.rated}
            held += of["a"].mean_low <= APART["a"] <= of["a"].mean_high
            ahead += result.shows("c", "a") is True
            pair = next(c for c in result.compared if {c.a, c.b} == {"a", "c"})
            gap = (APART["a"] - APART["c"]) * (1 if pair.a == "a" else -1)
            inside += pair.low <= gap <= pair.high
            equal = analyse_ratings(raters(Truth(EQUAL), listeners, items, random))
            differ += any(c.adjusted <= 0.05 for c in equal.compared if {c.a, c.b} <= {"a", "b", "c"})
        row("MUSHRA: mean by the mixed model holds the truth", f"{size}", held / runs, "95 %")
        row("MUSHRA: median difference holds the truth", f"{size}", inside / runs, "95 %")
        print(
            f"| MUSHRA: any of 3 equal ones said to differ | {size} | {100 * differ / runs:.1f} % | at most 5 % |", flush=True
        )
        row("MUSHRA: 8 points apart, shown", f"{size}", ahead / runs, "")
    for listeners, items in ((20, 1), (60, 6), (100, 6)):
        shown = sum(heard_by_nobody(listeners, items, random) for _ in range(runs))
        row("BS.1116: a difference that nobody hears is shown", f"{listeners} × {items}", shown / runs, "at most 5 %")
    bad = good = 0
    for _ in range(runs):
        result = analyse_ratings(raters(Truth(APART), 20, 8, random, unreliable=5))
        out = {int(who.split()[1]) for who, _ in result.left_out}
        bad += len(out & set(range(15, 20)))
        good += len(out & set(range(15)))
    row("MUSHRA: unreliable listeners left out", "20 × 8", bad / (5 * runs), "100 %")
    row("MUSHRA: reliable listeners left out", "20 × 8", good / (15 * runs), "0 %")
    for count in (10, 20, 40):
        inside = sum(
            low <= 0.0 <= high
            for low, high in (interval_of_median(random.normal(0, 1, count), random) for _ in range(5 * runs))
        )
        row("median by bootstrap holds the truth", f"{count}", inside / (5 * runs), "95 %")
    for share in (0.5, 0.7, 0.9):
        heard = sum(analyse_abx([abx_listener("a", share, random)]).together[0].heard(0.05) for _ in range(5 * runs))
        expected = 100 * power(16, 0.05, share)
        print(
            f"| ABX: heard, right {100 * share:.0f} % of 16 | 1 | {100 * heard / (5 * runs):.1f} % | {expected:.1f} % |",
            flush=True,
        )
        shown = sum(
            analyse_preference([ab_listener(str(n), share, random) for n in range(20)]).preferences[0].adjusted <= 0.05
            for _ in range(5 * runs)
        )
        least = next(k for k in range(11, 21) if two_sided(k, 20 - k) <= 0.05)
        expected = 100 * (tail(least, 20, share) + tail(least, 20, 1 - share))
        print(
            f"| AB: preferred by {100 * share:.0f} % | 20 | {100 * shown / (5 * runs):.1f} % | {expected:.1f} % |", flush=True
        )


if __name__ == "__main__":
    main()
