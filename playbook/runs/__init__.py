"""What a run leaves behind: results, months, reports, the track record."""
