"""03 Channel ROI: spend, response, budget."""
