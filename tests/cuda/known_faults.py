"""What a training step and an answer still read or wait for.

Transformers looks for packed sequences wherever it is given neither a mask nor a cache. An attention that is registered
without a function for masks would avoid that, but it is a setting of the whole network, and not of a call: text that is
padded on the left would lose its mask without an error, and only a private attribute tells which attention to go back
to. A cache that keeps nothing would avoid it too, but transformers warns of one where layers are computed again.
"""

from tests.cuda.watcher import HOST_READ

# (what, file) -> number of times at most, in one training step.
KNOWN_FAULTS = {
    # Llama and others number the positions themselves, and then look for packed sequences among them.
    (HOST_READ, "site-packages/transformers/masking_utils.py"): 1,
}


# The same for up to seven tokens of answers, all samples together.
READS_OF_ANSWERS = {
    # Whether the text needs a mask beside the causal one: once, before the first token.
    (HOST_READ, "site-packages/transformers/masking_utils.py"): 1,
    # Whether all answers have ended, after 1, 2 and 4 tokens, and the answers themselves.
    (HOST_READ, "components/language_models/greedy.py"): 4,
}


def unknown(found, known=KNOWN_FAULTS):
    """Return what is not known of (what, file) -> number of times."""
    return {key: number for key, number in found.items() if number > known.get(key, 0)}
