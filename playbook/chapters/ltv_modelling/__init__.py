"""05 Lifetime value: what a customer is worth."""
