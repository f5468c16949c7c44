"""The generated parts of pages: what is made from results, cards, models and published numbers."""
