"""A bidding model of your own: at which price to take a lot whose price falls by the clock.

Name it in the config, `model = ["python3", "bidding_model.py"]`. It reads a question a line and answers each with a line; what it prints
must reach the keeper at once. This one waits for the margin in its first argument, 1.5 % if there is none, or until waiting gains nothing.
"""

import json
import sys

WANTED_BPS = int(sys.argv[1]) if len(sys.argv) > 1 else 150


def highest_price(lot: dict[str, str]) -> int:
    """In wei; 0: at no price."""
    worth = int(lot["value"]) - int(lot["cost"])
    if int(lot["gain"]) <= 0:
        return max(worth, 0)
    return max(worth * 10_000 // (10_000 + WANTED_BPS), 0)


for line in sys.stdin:
    question = json.loads(line)
    print(json.dumps({"id": question["id"], "price": str(highest_price(question))}), flush=True)
