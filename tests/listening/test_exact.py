"""ABX and AB tests: exact statistics, checked by simulated listeners."""

from __future__ import annotations

import math

import numpy as np
import pytest

from twinrack.listening.exact import (
    analyse_abx,
    analyse_preference,
    holm,
    needed,
    plan_of_abx,
    plan_of_preference,
    power,
    questions_of,
    right_by_chance,
    two_sided,
)
from twinrack.listening.simulated import ab_listener, abx_listener

TRIALS = 16


def test_known_values():
    assert right_by_chance(12, 16) == pytest.approx(2517 / 65536)
    assert (needed(16, 0.05), needed(10, 0.05), needed(5, 0.01)) == (12, 9, 6)
    assert power(16, 0.05, 0.5) == pytest.approx(right_by_chance(12, 16))
    assert power(16, 0.05, 0.9) == pytest.approx(sum(math.comb(16, k) * 0.9**k * 0.1 ** (16 - k) for k in range(12, 17)))
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert "nothing can be shown" in plan_of_abx(5, 0.01)
    assert plan_of_abx(16, 0.05).startswith("12 of 16 right answers show a difference")


def test_simulated_listeners_are_found_as_often_as_the_plan_says():
    random, runs = np.random.default_rng(1), 2000
    for share in (0.5, 0.7, 0.9):
        heard = sum(analyse_abx([abx_listener("a", share, random)]).together[0].heard(0.05) for _ in range(runs))
        expected = power(TRIALS, 0.05, share)
        assert abs(heard / runs - expected) < 4 * math.sqrt(expected * (1 - expected) / runs) + 0.002
    # Of five items that nobody hears, any is said to be heard in at most 5 % of tests.
    wrong = sum(
        any(o.heard(0.05) for o in analyse_abx([abx_listener("a", 0.5, random, items=5)]).together) for _ in range(runs)
    )
    assert wrong / runs < 0.05 + 3 * math.sqrt(0.05 * 0.95 / runs)


def test_together_and_alone():
    random = np.random.default_rng(2)
    result = analyse_abx([abx_listener("good", 1.0, random), abx_listener("deaf", 0.5, random)])
    assert [o.listener for o in result.alone] == ["good", "deaf"]
    assert result.together[0].trials == 2 * TRIALS
    assert result.alone[0].heard(0.05)
    assert "which does not show that it is not" in str(analyse_abx([abx_listener("deaf", 0.3, random)]))
    with pytest.raises(ValueError, match="'good' answered twice"):
        analyse_abx([abx_listener("good", 1.0, random), abx_listener("good", 1.0, random)])
    with pytest.raises(ValueError, match="are to another test than those of 'good'"):
        analyse_abx([abx_listener("good", 1.0, random), abx_listener("x", 1.0, random).model_copy(update={"test": "1" * 64})])
    with pytest.raises(ValueError, match="give the files"):
        analyse_abx([])
    with pytest.raises(ValueError, match="nobody has finished"):
        analyse_abx([abx_listener("a", 1.0, random).model_copy(update={"complete": False})])


def test_preferences():
    assert two_sided(5, 5) == 1.0
    assert two_sided(15, 5) == pytest.approx(0.04139, abs=1e-5)
    assert plan_of_preference(20, 0.05).startswith("15 of 20 listeners must prefer the same")
    assert "nothing can be shown" in plan_of_preference(5, 0.05)
    random, runs = np.random.default_rng(3), 1000
    for share in (0.5, 0.8):
        expected = sum(math.comb(20, k) * share**k * (1 - share) ** (20 - k) for k in (*range(6), *range(15, 21)))
        shown = 0
        for _ in range(runs):
            result = analyse_preference([ab_listener(str(n), share, random) for n in range(20)])
            shown += result.preferences[0].adjusted <= 0.05
        assert abs(shown / runs - expected) < 4 * math.sqrt(expected * (1 - expected) / runs)
    # Repeated answers of a listener are one vote, and "all" is over every item with the same two.
    result = analyse_preference([ab_listener(str(n), 1.0, random, items=3, trials=4) for n in range(10)])
    assert [p.item for p in result.preferences] == ["item 0", "item 1", "item 2", ""]
    assert {(p.for_a, p.for_b, p.neither) for p in result.preferences} == {(10, 0, 0)}
    assert result.shows("new", "old") is True
    assert result.shows("old", "new") is False
    assert result.shows("new", "other") is None
    assert "over all items: new 10, old 0" in str(result)
    # The power that is said is that of what the analysis does.
    assert questions_of([["a", "b"], ["b", "a"], ["a", "c"]]) == 4
    assert plan_of_preference(20, 0.05, 3).startswith("16 of 20 listeners must prefer the same for it to be shown in any")
    assert two_sided(16, 4) <= 0.05 / 3 < two_sided(15, 5)
    assert plan_of_abx(16, 0.05, 4).startswith("13 of 16 right answers show a difference in any one of 4 items")
    # Two conditions in either order are the same question.
    turned = [ab_listener(str(n), 0.5, random, items=2) for n in range(10)]
    for a in turned:
        a.items[1].conditions.reverse()
    assert [(p.item, p.a, p.b) for p in analyse_preference(turned).preferences][-1] == ("", "new", "old")
