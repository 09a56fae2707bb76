"""What a training step still reads or waits for, and nobody of this project can mend without private calls."""

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
