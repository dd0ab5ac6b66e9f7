"""00 Start here: may the month be used."""
