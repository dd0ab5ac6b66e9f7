"""The chapters: one room each, named like its notebook."""
