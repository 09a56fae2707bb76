"""What a training step still reads or waits for, and nobody of this project can mend without private calls."""

from tests.cuda.watcher import HOST_READ

# (what, file) -> number of times at most, in one training step.
KNOWN_FAULTS = {
    # Llama and others number the positions themselves, and then look for packed sequences among them.
    (HOST_READ, "site-packages/transformers/masking_utils.py"): 1,
}


def unknown(found):
    """Return what is not known of (what, file) -> number of times."""
    return {key: number for key, number in found.items() if number > KNOWN_FAULTS.get(key, 0)}
