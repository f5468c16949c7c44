"""Evaluation: mIoU of many rules in one pass over a set, sharded, resumable and exact."""
