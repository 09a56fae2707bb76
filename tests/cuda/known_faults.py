"""The faults that are known and being mended; when all are, this file goes, with its two uses."""

from tests.cuda.watcher import BLOCKING_COPY, HOST_READ

# (what, file) -> number of times at most, in one training step.
KNOWN_FAULTS = {
    (BLOCKING_COPY, "components/encoders/video_encoder.py"): 2,  # mean and deviation in `normalize`
    (
        BLOCKING_COPY,
        "components/teachers/teacher.py",
    ): 4,  # the same of the teacher, and the order of clips of different lengths
    (BLOCKING_COPY, "lightning_modules/video_language.py"): 1,  # the number of frames in `training_losses`
    (HOST_READ, "site-packages/transformers/masking_utils.py"): 2,  # whether the mask of a batch leaves anything out
}


def unknown(found):
    """Return what is not known of (what, file) -> number of times."""
    return {key: number for key, number in found.items() if number > KNOWN_FAULTS.get(key, 0)}
