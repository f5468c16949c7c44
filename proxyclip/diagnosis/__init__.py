"""Why a number differs: one setting of the protocol changed at a time, and what each costs in mIoU."""
