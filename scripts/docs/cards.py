"""Write the cards of the included weights: `python scripts/docs/cards.py`.

A card is generated from the weights and the file NAME.json beside them. Run this script after changing either;
tests/checkpoints/test_shipped.py compares the cards with their sources.
"""

from __future__ import annotations

from dvspipe.checkpoints.checkpoint import SHIPPED, shipped_checkpoints
from dvspipe.checkpoints.model_card import write_shipped_card

if __name__ == "__main__":
    for name in shipped_checkpoints():
        path = SHIPPED / f"{name}.md"
        path.write_text(write_shipped_card(name), encoding="utf-8")
        print(path)
