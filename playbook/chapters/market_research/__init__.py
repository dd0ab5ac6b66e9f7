"""01 Market research: categories, prices, people, competitors."""
