"""The emoji that stand for the emotions."""

from __future__ import annotations

import numpy as np
import pytest

from gudi.constants import EMOTIONS
from gudi.outputs.drawing.emoji import load_emoji


@pytest.mark.parametrize("size", [60, 250])
def test_every_emotion_has_an_emoji_of_its_own(size):
    drawn = [load_emoji(emotion, size) for emotion in EMOTIONS]
    for number, emoji in enumerate(drawn):
        assert (emoji.shape, emoji.dtype) == ((size, size, 4), np.uint8)
        alpha = emoji[..., 3]
        assert (alpha[0, 0], alpha[size // 2, size // 2]) == (0, 255)
        assert ((alpha > 0) & (alpha < 255)).any(), "the edge is not smooth"
        for other in drawn[:number]:
            assert np.abs(emoji.astype(int) - other).max() > 100


def test_unknown_emotion_has_no_emoji():
    assert load_emoji("bored", 60) is None


def test_emoji_may_have_any_size():
    assert load_emoji("happy", 1).shape == (1, 1, 4)
