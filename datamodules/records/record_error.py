"""The error of a file of records that cannot be used as it stands."""


class RecordError(ValueError):
    """Says which file, where in it, and what to change."""
