"""From generated answers to scores with confidence intervals."""
