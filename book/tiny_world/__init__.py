"""The page on the tiny world: what is measured on the generated scenes, and the text made from it."""
