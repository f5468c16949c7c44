"""One patch, its attention, live: a model and an image as a page that needs neither."""
