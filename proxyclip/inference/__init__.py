"""The steps between an image and its labels: read, cut into windows, embed, stitch, label."""
