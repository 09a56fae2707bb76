"""How replies are compared with references."""

import pickle

import pytest

from datamodules.records import Choice, FreeAnswer

CHOICE = Choice(["a dog", "the cat", "vitamin C", "A man runs", "C, who cuts bread"])
REPLIES = {
    "A": ["A", "A.", "a", "(A)", "A) a dog", "a dog", "A dog.", "Answer: A", "The best answer is: (A)."],
    "B": ["B", "b.", " B\n", "(B) the cat", "B: the cat", "B\nthe cat", "The cat", "Option B", "b, as I said",
          "B. since a man was seen"],
    "C": ["C. vitamin C", "vitamin C.", "C. The vitamin is C."],
    "D": ["A man runs", "D. A man runs", "D, as A man was seen"],
    "E": ["C, who cuts bread", "E. C, who cuts bread"],
    None: ["", "F", "(F)", "A man", "cat", "B or C", "A, B", "(A) and (B)", "B. a dog", "A. or B.", "B. Because of (C)",
           "I think B", "B because", "1", "A B", "."],
}  # fmt: skip


@pytest.mark.parametrize(("letter", "reply"), [(letter, reply) for letter, group in REPLIES.items() for reply in group])
def test_the_letter_that_a_reply_chooses(letter, reply):
    assert CHOICE.chosen(reply) == letter
    assert CHOICE.verdict(reply, "B") is (None if letter is None else letter == "B")


def test_every_letter_and_every_text_chooses_its_option():
    for letter, option in zip("ABCDE", CHOICE.options, strict=True):
        for reply in (
            letter,
            letter.lower(),
            f"({letter})",
            f"{letter}.",
            option,
            option.upper(),
            f"{letter}. {option}",
        ):
            assert CHOICE.chosen(reply) == letter, reply


def test_options_that_differ_in_a_sign_or_a_vowel_are_told_apart_in_every_unicode_form():
    signs = Choice(["-5", "5", "C++", "C#", "10%", "कि", "की", "e\u0301"])
    for letter, option in zip("ABCDEFGH", signs.options, strict=True):
        assert signs.chosen(option) == signs.chosen(f"{letter}. {option}") == letter
    replies = ("\uff22", "\uff08\uff22\uff09", "\uff0d\uff15", "\xe9", "10", "C")  # most of them of full width
    assert [signs.chosen(reply) for reply in replies] == ["B", "B", "A", "H", None, "C"]


def test_a_text_that_two_options_have_chooses_none():
    twice = Choice(["Yes.", "yes", "no"])
    assert [twice.chosen(reply) for reply in ("yes", "no", "B", "A. yes")] == [None, "C", "B", "A"]


@pytest.mark.parametrize("count", [0, 1, 27])
def test_a_number_of_options_that_cannot_be(count):
    with pytest.raises(ValueError, match=f"{count} options"):
        Choice(["x"] * count)


def test_a_free_answer_is_always_one():
    assert [FreeAnswer().verdict(reply, "Red") for reply in ("red.", "blue", "")] == [True, False, False]


def test_a_kind_reaches_a_loader_process():
    assert pickle.loads(pickle.dumps(CHOICE)).options == CHOICE.options
