"""The check that a setting is a positive number."""

import math


def check_positive(where: str, **numbers: float) -> None:
    """Refuse settings that are zero, negative, infinite or NaN.

    Args:
        where: YAML key above the settings, such as `data.init_args.sampler.init_args`.
        numbers: values of the settings, by name.

    Raises:
        ValueError: a value is not a positive number.
    """
    for name, value in numbers.items():
        if not 0 < value < math.inf:
            raise ValueError(f"{where}.{name} is {value}; it must be a positive number")
