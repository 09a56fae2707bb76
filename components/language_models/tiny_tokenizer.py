"""A tokenizer for toy runs that needs no download and no training.

It knows the words of `tiny_vocabulary.txt`, those of the toy data that come with the project, so that they cost one
token each, and writes everything else byte by byte, so that it can read any text. Decoding gives back exactly the text
that was encoded: nothing is normalised and no token means "unknown".
"""

from __future__ import annotations

from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

VOCABULARY = Path(__file__).with_name("tiny_vocabulary.txt")


def build_tiny_tokenizer() -> PreTrainedTokenizerFast:
    """Build the tokenizer from its word list; two calls give the same ids.

    Every word is known after a space, and with a capital letter also at the start of a text.
    """
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False)
    as_byte_letters = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False).pre_tokenize_str
    words = VOCABULARY.read_text(encoding="utf-8").split()
    forms = [form for word in words for form in (f" {word}", f" {word.capitalize()}", word.capitalize())]
    pieces = dict.fromkeys([*sorted(byte_level.alphabet()), *(as_byte_letters(form)[0][0] for form in forms)])

    # Equal scores: the fewest pieces win.
    tokenizer = Tokenizer(models.Unigram([(piece, -1.0) for piece in pieces], unk_id=None, byte_fallback=False))
    tokenizer.pre_tokenizer = byte_level
    tokenizer.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", clean_up_tokenization_spaces=False
    )
