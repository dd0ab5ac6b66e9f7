"""What if the budget, the target, a price or the service level were another: the answer and
its interval for any value, by hand or by sliders.

Each question is prepared once from a shop (the fit, the forecast, the demand it rests on) and
then answers at once. What a chapter's parameter asks of a whole run, a question asks of one
figure.
"""
