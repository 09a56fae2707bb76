"""From answers to scores with their intervals; here, what figures are called."""

MEAN = "exact_match/mean"
LIKELIHOOD = "log_likelihood"


def is_headline(figure: str) -> bool:
    """Whether a figure, by its name in `FamilyScores.figures`, is what is looked at first."""
    return figure == MEAN or figure.startswith("accuracy/")
