"""`steer compute` says when a direction is hardly, or many times, what its pairs have in common."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.steering import Steer


@pytest.fixture
def ends(tmp_path: Path) -> str:
    """Give pairs that all differ in the same way."""
    path = tmp_path / "ends.jsonl"
    lines = (f'{{"positive": "{text}.", "negative": "{text},"}}\n' for text in ("I see", "So", "They left", "a tree"))
    path.write_text("".join(lines))
    return str(path)


def test_a_direction_that_misses_the_mean_difference_is_noted(steer: Steer, tiny: str, ends: str):
    done = steer("compute", "ends", "--model", tiny, "--layer", "1", "--data", ends, "--method", "pca_diff")
    assert done.code == 0
    assert "with the mean difference of the pairs: it is little of what they have in common" in done.err
    assert "compare with mean_difference or pca_center" in done.err


def test_a_direction_along_the_mean_difference_is_not(steer: Steer, tiny: str, ends: str):
    done = steer("compute", "ends", "--model", tiny, "--layer", "1", "--data", ends, "--method", "pca_center")
    assert done.code == 0
    assert "in common" not in done.err


def test_pairs_that_actadd_adds_up_are_noted_and_one_pair_is_not(steer: Steer, tiny: str, ends: str):
    words = ("compute", "ends", "--model", tiny, "--layer", "1")
    done = steer(*words, "--data", ends)
    assert "actadd adds up what its 4 pairs give; for what they have in common use mean_difference" in done.err
    assert "adds up" not in steer(*words, "--positive", "a", "--negative", "b").err
