"""From values to codes to counts to scores."""
