"""One package and its images wherever they are: reads, writes and lists referrers."""
