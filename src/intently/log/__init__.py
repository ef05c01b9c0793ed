"""Reading, checking and packing a shop's log."""
