"""Networks read densely: CLIP and the vision foundation models."""
