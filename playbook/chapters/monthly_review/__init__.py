"""11 Monthly review: what happened, and what to do."""
