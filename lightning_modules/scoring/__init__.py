"""From answers to scores with their intervals."""
