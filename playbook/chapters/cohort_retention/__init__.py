"""04 Cohort retention: who comes back, and when."""
