"""09 Recommendations: what is shown beside what."""
