"""Diagnosis: change one setting of the protocol at a time and measure what each costs in mIoU."""
