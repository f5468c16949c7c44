"""The steps from an image to its labels: read it, cut it into windows, embed, stitch, label."""
