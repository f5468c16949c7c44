"""What each notebook computes and draws, one module a chapter."""
