"""02 Goal setting: targets, their chance, owners, business models."""
