"""08 Customer journey: funnel, tests, service."""
