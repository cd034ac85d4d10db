"""What tables claim, computed again: sums, averages, differences, possible percentages, agreement between sources."""
