"""Write the cards of the included weights: `python scripts/docs/cards.py`.

A card is generated from the weights and the file NAME.json beside them. Run this script after changing either;
tests/checkpoints/test_shipped.py compares the cards with their sources.
"""

from __future__ import annotations

from dvspipe.checkpoints.checkpoint import SHIPPED, shipped_checkpoints
from dvspipe.checkpoints.model_card import write_shipped_card, write_weights_card
from dvspipe.inference.joints import WEIGHTS
from dvspipe.results import ShippedRecord

if __name__ == "__main__":
    cards = {SHIPPED / f"{name}.md": write_shipped_card(name) for name in shipped_checkpoints()}
    joints = ShippedRecord.read(WEIGHTS.with_suffix(".json"))
    cards[WEIGHTS.with_suffix(".md")] = write_weights_card("joints", joints)

    for path, card in cards.items():
        path.write_text(card, encoding="utf-8")
        print(path)
