"""One way of saying that a setting must be a positive number."""

import math


def check_positive(where: str, **numbers: float) -> None:
    """Refuse settings that are zero, negative, infinite or no number.

    Args:
        where: what stands before the name of a setting in a configuration, such as `data.init_args.sampler.init_args`.
        numbers: name -> value.

    Raises:
        ValueError: one is not positive.
    """
    for name, value in numbers.items():
        if not 0 < value < math.inf:
            raise ValueError(f"{where}.{name} is {value}; it must be a positive number")
