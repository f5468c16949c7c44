"""What each family of tiny models learns from, as losses on crops of cached scenes."""
